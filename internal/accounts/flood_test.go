package accounts

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/guess"
)

// Row H28: a thousand sign-ins at once with different passwords.
func TestAFloodOfSignInsIsBounded(t *testing.T) {
	l := laxLimits()
	l.HashAtOnce, l.HashQueue, l.HashWait = 2, 10, time.Minute
	l.HashMemory = 1024
	f := withAlice(t, l)
	before := f.HashStats()
	var wg sync.WaitGroup
	var mu sync.Mutex
	replies := map[int]int{}
	start := make(chan struct{})
	for n := range 1000 {
		wg.Go(func() {
			<-start
			user := []string{"alice@local.test", "nobody@local.test"}[n%2]
			err := f.signIn(user, "password "+strings.Repeat("x", n/2), peerN(n))
			mu.Lock()
			defer mu.Unlock()
			replies[Reply(err).Code]++
		})
	}
	close(start)
	wg.Wait()
	after := f.HashStats()
	if after.Peak > 2 || after.Running != 0 || after.Waiting != 0 {
		t.Errorf("%+v", after)
	}
	if replies[535]+replies[454] != 1000 || replies[454] == 0 || uint64(replies[535]) != after.Started-before.Started {
		t.Errorf("replies %v, %d hashes", replies, after.Started-before.Started)
	}
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// Many connections of one client at once cost one hash and one guess, and all
// get in, though the queue has room for few.
func TestEqualSignInsAreJoined(t *testing.T) {
	l := cheapLimits()
	l.HashAtOnce, l.HashQueue = 1, 1
	f := withAlice(t, l)
	if err := f.hasher.acquire(context.Background(), laneKnown); err != nil { // hold the only slot
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 200)
	for range cap(errs) {
		wg.Go(func() { errs <- f.signIn("alice@local.test", alicePassword, home()) })
	}
	for f.HashStats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	f.hasher.release()
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := f.HashStats().Started; n != 4 { // two of Add, the one held, and one
		t.Errorf("%d hashes, want 4", n)
	}
}

// When the one that works for others leaves, another takes over.
func TestAJoinedSignInSurvivesItsLeader(t *testing.T) {
	l := cheapLimits()
	l.HashAtOnce = 1
	f := withAlice(t, l)
	if err := f.hasher.acquire(context.Background(), laneKnown); err != nil {
		t.Fatal(err)
	}
	leaderCtx, leave := context.WithCancel(context.Background())
	leader, follower := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := f.SignIn(leaderCtx, "alice@local.test", alicePassword, home())
		leader <- err
	}()
	for f.HashStats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() { follower <- f.signIn("alice@local.test", alicePassword, home()) }()
	time.Sleep(5 * time.Millisecond)
	leave()
	wantFailure(t, "leader", <-leader, ErrCancelled, RuleCancelled)
	f.hasher.release()
	if err := <-follower; err != nil {
		t.Errorf("follower: %v", err)
	}
	for range 5 { // the whole burst
		if v := f.guesses.Begin(f.guessOf("alice@local.test", nil, peerN(1)), f.clock.Now()); v.Rule != guess.RuleWithin {
			t.Errorf("a cancelled guess was charged: %+v", v)
		}
	}
}
