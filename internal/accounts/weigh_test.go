package accounts

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/guess"
)

// hashTime is what a hash takes in the tests of this file, by the clock of their bubble.
const hashTime = 30 * time.Millisecond

// seen is one answer, and how long it took.
type seen struct {
	reply int
	took  time.Duration
}

// siege has strangers guess at random times, so often that they have to wait, and somebody at home try
// a password four times from a random time on, while others of his guess names that nobody has.
func siege(t *testing.T, seed uint64, l Limits, world func(testing.TB, Limits) *fixture, user, password string) (tries, others []seen) {
	synctest.Test(t, func(t *testing.T) {
		f := world(t, l)
		if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
			t.Fatal(err)
		}
		f.right.drop("alice@local.test")
		f.matches = func(a argonHash, password string) bool {
			time.Sleep(hashTime)
			return a.matches(password)
		}
		r := rand.New(rand.NewPCG(seed, 1))
		between := time.Duration(r.IntN(30)+35) * time.Millisecond / time.Duration(l.HashAtOnce) // two hash times are allowed
		var all sync.WaitGroup
		try := func(user, password string, p Peer) seen {
			began := time.Now()
			err := f.signIn(user, password, p)
			return seen{Reply(err).Code, time.Since(began)}
		}
		others = make([]seen, r.IntN(30)+30)
		at := r.IntN(20) + 10
		for n := range others {
			all.Go(func() { others[n] = try(fmt.Sprintf("nobody%d@local.test", n), "guess", peerN(n)) })
			if n == at {
				time.Sleep(time.Millisecond) // not at one moment with another
				all.Go(func() {
					for range 4 {
						tries = append(tries, try(user, password, home()))
					}
				})
			}
			time.Sleep(time.Duration(r.Int64N(int64(2 * between))))
		}
		all.Wait()
		if s := f.HashStats(); s.Waiting != 0 || s.Running != 0 || f.hasher.free != s.Slots {
			t.Errorf("%+v, %d free", s, f.hasher.free)
		}
	})
	return tries, others
}

// paced are limits by which strangers keep their pace.
func paced(slots, queue int, wait time.Duration) Limits {
	l := laxLimits()
	l.HashAtOnce, l.HashQueue, l.HashWait = slots, queue, wait
	return l
}

func officeOf(t testing.TB, l Limits) *fixture {
	f, _ := inOffice(t, l)
	return f
}

// Whoever shares a network with an owner learns nothing of it by what he is answered, when, and how
// long his other guesses wait: while strangers have to, a wrong password of the owner is answered
// as one of nobody's is, and so is the same again. What is left is the hash itself: what comes while it is
// computed may wait for it.
func TestWhatIsWrongDoesNotTellWhoIsKnown(t *testing.T) {
	const sieges = 40
	for name, c := range map[string]struct {
		limits Limits
		world  func(testing.TB, Limits) *fixture
	}{
		"one slot": {paced(1, 64, time.Minute), withAliceOnly}, "three slots": {paced(3, 64, time.Minute), withAliceOnly},
		"few may wait": {paced(1, 2, time.Minute), withAliceOnly}, "not for long": {paced(1, 64, 200*time.Millisecond), withAliceOnly},
		"of a directory": {paced(1, 64, time.Minute), officeOf},
	} {
		t.Run(name, func(t *testing.T) {
			same, undisturbed, waited, replies := 0, 0, 0, map[int]int{}
			var all, more time.Duration
			for seed := range uint64(sieges) {
				nobody, others := siege(t, seed, c.limits, c.world, "nobody@local.test", "wrong")
				known, othersThen := siege(t, seed, c.limits, c.world, "alice@local.test", "wrong")
				replies[nobody[0].reply]++
				if nobody[0].took > hashTime {
					waited++
				}
				all, more = all+nobody[0].took, more+known[0].took-nobody[0].took
				if slices.Equal(nobody, known) {
					same++
				}
				if slices.Equal(others, othersThen) {
					undisturbed++
				}
			}
			t.Logf("of %d, %d waited, %d are the same, %d disturbed no other; %v more of %v; %v", sieges, waited, same, undisturbed, more, all, replies)
			if waited < sieges/3 || same < sieges*9/10 || undisturbed < sieges/2 || more.Abs() > all/30 {
				t.Errorf("of %d, %d waited, %d are the same, %d disturbed no other; %v more of %v", sieges, waited, same, undisturbed, more, all)
			}
		})
	}
}

// Meanwhile the right password of an owner at home is judged before all strangers, one of a directory too.
func TestTheRightPasswordAtHomeDoesNotWait(t *testing.T) {
	for name, world := range map[string]func(testing.TB, Limits) *fixture{"ours": withAliceOnly, "of a directory": officeOf} {
		for seed := range uint64(20) {
			for _, l := range []Limits{paced(1, 64, time.Minute), paced(1, 2, time.Minute), paced(2, 64, time.Minute)} {
				tries, _ := siege(t, seed, l, world, "alice@local.test", alicePassword)
				for _, s := range tries {
					if s.reply != 235 || s.took > 2*hashTime {
						t.Errorf("%s, seed %d: %v", name, seed, tries)
						break
					}
				}
			}
		}
	}
}

func withAliceOnly(t testing.TB, l Limits) *fixture {
	f := fresh(t, l)
	f.add(t, "alice@local.test", alicePassword)
	return f
}

// A password that was judged and not told of is remembered: it is no new guess, and it is told in a turn of
// strangers. So a telephone at home with an old password locks nobody out while strangers guess.
func TestAnOldPasswordAtHomeCostsOneGuess(t *testing.T) {
	l := cheapLimits()
	l.HashAtOnce, l.HashQueue, l.HashWait = 1, 1, 20*time.Millisecond
	f := withAliceOnly(t, l)
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	f.hasher.spend(time.Hour)
	p := f.hasher.enter(laneStranger, nil) // no stranger has a place from now on
	for n := range 30 {
		wantFailure(t, fmt.Sprint("try ", n), f.signIn("alice@local.test", "old password", home()), ErrBusy, RuleBusy)
	}
	if started := f.HashStats().Started; started != 1+1+1 { // of Add, of the owner and of the telephone
		t.Errorf("%d hashes", started)
	}
	f.right.drop("alice@local.test")
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Errorf("beside the telephone: %v", err)
	}
	f.hasher.leave(p, nil)
	f.hasher.mu.Lock()
	f.hasher.pace.paid = time.Time{}
	f.hasher.mu.Unlock()
	before := f.HashStats().Started
	for range 3 {
		wantFailure(t, "when there is room", f.signIn("alice@local.test", "old password", home()), ErrBadCredentials, RuleBadPassword)
	}
	if n := f.HashStats().Started - before; n != 1 {
		t.Errorf("%d hashes to say so", n)
	}
	if v := f.guesses.Begin(guess.Attempt{Account: "alice@local.test", From: home().Remote, Known: true}, f.clock.Now()); !v.Judge() {
		t.Errorf("%+v", v)
	}
}

// Whoever leaves while his wrong password waits to be told has used up his guess.
func TestWhoLeavesHasGuessed(t *testing.T) {
	f := withAliceOnly(t, cheapLimits())
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	f.hasher.spend(time.Hour)
	judged := 0
	for n := range 30 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := f.SignIn(ctx, "alice@local.test", fmt.Sprint("guess ", n), home())
		cancel()
		if ruleOf(err) == RuleCancelled {
			judged++
		} else {
			wantFailure(t, "one more", err, ErrTooMany, Rule(guess.RuleKnown))
		}
	}
	if judged != 5 {
		t.Errorf("%d were judged", judged)
	}
	if s := f.HashStats(); s.Waiting != 0 || s.Running != 0 {
		t.Errorf("%+v", s)
	}
}
