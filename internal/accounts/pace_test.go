package accounts

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However passwords come, what wrong ones took is at most a part of the time, what may be spent at once
// and the last of them.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pace{part: rapid.IntRange(1, 5).Draw(t, "part"), spare: time.Duration(rapid.IntRange(0, 500).Draw(t, "spare")) * time.Millisecond}
		begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		now, spent := begin, time.Duration(0)
		for range rapid.IntRange(1, 100).Draw(t, "passwords") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "pause")) * time.Millisecond)
			wait := p.wait(now)
			if now = now.Add(wait); p.wait(now) != 0 {
				t.Fatalf("who waited for %v has to wait %v more", wait, p.wait(now))
			}
			took := time.Duration(rapid.IntRange(1, 100).Draw(t, "took")) * time.Millisecond
			if most := now.Sub(begin)/time.Duration(p.part) + p.spare; spent > most {
				t.Fatalf("%v were spent before the one that begins after %v, of %v", spent, now.Sub(begin), most)
			}
			now = now.Add(took)
			p.charge(now, took)
			spent += took
		}
		if wait := p.wait(now.Add(time.Hour)); wait != 0 {
			t.Fatalf("after an hour one waits %v", wait)
		}
	})
}

// Strangers keep the pace, each in his turn; who is known does not wait for it, and takes the
// slot that is free meanwhile.
func TestStrangersKeepThePace(t *testing.T) {
	h := hasherOf(1, 10, time.Minute)
	h.pace = pace{part: 2}
	acquire := func(l lane) {
		t.Helper()
		if err := h.acquire(context.Background(), l); err != nil {
			t.Fatal(err)
		}
	}
	const took = 50 * time.Millisecond
	acquire(laneStranger)
	h.release()
	began := time.Now()
	h.spend(took)
	turns := make(chan string, 3)
	enqueue(h, laneStranger, "stranger 1", turns)
	enqueue(h, laneStranger, "stranger 2", turns)
	acquire(laneKnown)
	if wait := time.Since(began); wait > took || h.snapshot().Waiting != 2 {
		t.Errorf("who is known waited for %v, and %d strangers wait", wait, h.snapshot().Waiting)
	}
	h.release()
	for n := range 2 {
		if got, want := <-turns, fmt.Sprint("stranger ", n+1); got != want {
			t.Errorf("%s came, want %s", got, want)
		}
		if wait, least := time.Since(began), time.Duration(n+1)*2*took; wait < least {
			t.Errorf("stranger %d came after %v, want %v", n+1, wait, least)
		}
		h.spend(took)
		h.release()
	}
	if s := h.snapshot(); s.Running != 0 || s.Waiting != 0 || h.free != 1 {
		t.Errorf("%+v, %d free", s, h.free)
	}
}

// Only what lets nobody in is counted: not a right password. Nobody's name, a frozen account and one
// that knows the network count alike.
func TestWhatIsCounted(t *testing.T) {
	l := laxLimits()
	l.HashWrong, l.HashSpare = 1<<20, 1 // what is counted keeps others waiting for minutes
	f := withAlice(t, l)
	f.add(t, "frozen@local.test", alicePassword)
	if _, err := f.Freeze(context.Background(), address(t, "frozen@local.test"), "test", nil); err != nil {
		t.Fatal(err)
	}
	counted := func(what, user, password string, p Peer, want bool) {
		t.Helper()
		f.hasher.pace.paid = time.Time{}
		f.signIn(user, password, p)
		if wait := f.hasher.pace.wait(time.Now()); wait > time.Second != want {
			t.Errorf("%s: others wait %v, want that they do: %v", what, wait, want)
		}
	}
	counted("the right password", "alice@local.test", alicePassword, peerN(1), false)
	counted("a wrong one", "alice@local.test", "wrong 1", peerN(2), true)
	counted("the same again", "alice@local.test", "wrong 1", peerN(2), false)
	counted("from a network that she was in", "alice@local.test", "wrong 2", peerN(1), true)
	counted("nobody's", "nobody@local.test", "wrong 1", peerN(3), true)
	counted("of a frozen account", "frozen@local.test", "wrong 1", peerN(4), true)
	counted("of a frozen account, the right one", "frozen@local.test", alicePassword, peerN(5), true)
	f, _ = inOffice(t, l)
	counted("the right password, which a directory has", "alice@local.test", alicePassword, peerN(1), false)
	counted("a wrong one", "alice@local.test", "wrong 1", peerN(2), true)
}
