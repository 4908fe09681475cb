package callout

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of invented names from one network takes no question from others: their real
// recipients are judged, whether they are known or new.
func TestOneNetworkThatGuessesStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 200 {
			w.server.set(func() { w.server.takes[fmt.Sprintf("p%d@x.test", i)] = true })
		}
		w.want("alice@x.test", Yes, 1)
		refused, done := 0, make(chan struct{})
		go func() {
			defer close(done)
			for i := range 20_000 { // 1000 in a second
				if w.askFrom("203.0.113.1", fmt.Sprintf("u%d@x.test", i)).Known == Unknown {
					refused++
				}
				time.Sleep(time.Millisecond)
			}
		}()
		for i := range 190 { // 10 in a second
			if a := w.askFrom("198.51.100.9", fmt.Sprintf("p%d@x.test", i)); a.Known != Yes {
				t.Errorf("p%d is not known: %s", i, a.Why)
			}
			if a := w.askFrom("198.51.100.9", "alice@x.test"); a.Known != Yes {
				t.Errorf("alice is not known: %s", a.Why)
			}
			time.Sleep(100 * time.Millisecond)
		}
		<-done
		if refused < 18_000 {
			t.Errorf("%d guesses of 20000 were not asked", refused)
		}
	})
}

// Guesses from many networks share what one has; those who write to people that exist
// are no guessers.
func TestManyNetworksThatGuessStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 300 {
			w.server.set(func() { w.server.takes[fmt.Sprintf("p%d@x.test", i)] = true })
		}
		guess := func(from, n int) {
			for i := range n {
				w.askFrom(fmt.Sprintf("203.0.%d.1", from), fmt.Sprintf("u%d.%d.%d@x.test", from, i, w.server.questions()))
				time.Sleep(100 * time.Millisecond)
			}
		}
		var wait sync.WaitGroup
		for from := range 50 { // each shows first what it is
			wait.Go(func() { guess(from, 500) })
		}
		time.Sleep(25 * time.Second)
		missed := 0
		for i := range 190 {
			// One in three of theirs does not exist either: that is no guessing.
			if i%3 == 0 {
				w.askFrom("198.51.100.9", fmt.Sprintf("typo%d@x.test", i))
			}
			if a := w.askFrom("198.51.100.9", fmt.Sprintf("p%d@x.test", i)); a.Known != Yes {
				missed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		wait.Wait()
		if missed > 0 {
			t.Errorf("%d of 190 were not asked about", missed)
		}
	})
}

// One network fills no more of those who wait than leaves others half of the places.
func TestOneNetworkDoesNotWaitForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Waiting, l.Rate = 40, 100_000 })
		w.server.slow = time.Second
		var wait sync.WaitGroup
		var mu sync.Mutex
		why := map[string]int{}
		for i := range 100 {
			wait.Go(func() {
				a := w.askFrom("203.0.113.1", fmt.Sprintf("u%d@x.test", i))
				mu.Lock()
				defer mu.Unlock()
				why[a.Why]++
			})
		}
		synctest.Wait()
		if len(why) != 1 || why["too many from the client's network wait for the server behind"] != 80 {
			t.Error(why)
		}
		if a := w.askFrom("198.51.100.9", "alice@x.test"); a.Known != Yes {
			t.Error(a.Why)
		}
		if n := w.server.questions(); n > 22 {
			t.Errorf("%d questions", n)
		}
		wait.Wait()
		for n, at := range w.servers["inner:25"].networks {
			if at.waiting != 0 {
				t.Errorf("%v still waits for %d", n, at.waiting)
			}
		}
		time.Sleep(time.Minute) // what was begun ends
	})
}

// A burst of a single network that nobody else competes with is asked as ever.
func TestAloneANetworkHasHalfOfTheRateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Rate = 100 })
		known := 0
		for i := range 40 {
			w.server.set(func() { w.server.takes[fmt.Sprintf("p%d@x.test", i)] = true })
			if w.askFrom("198.51.100.9", fmt.Sprintf("p%d@x.test", i)).Known == Yes {
				known++
			}
		}
		if known < 35 {
			t.Errorf("%d of 40", known)
		}
	})
}

// The networks that are told apart are bounded, and so is what looking for place costs.
func TestNetworksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Networks = 50 })
		for i := range 1000 {
			w.askFrom(fmt.Sprintf("10.%d.%d.1", i/250, i%250), fmt.Sprintf("u%d@x.test", i))
			time.Sleep(20 * time.Millisecond)
		}
		if n := len(w.servers["inner:25"].networks); n > 51 {
			t.Errorf("%d networks", n)
		}
		time.Sleep(time.Hour)
		w.askFrom("198.51.100.9", "bob@x.test")
		if n := len(w.servers["inner:25"].networks); n > 2 {
			t.Errorf("%d networks when all have done nothing for an hour", n)
		}
		if _, ok := w.servers["inner:25"].networks[netip.MustParsePrefix("198.51.100.0/24")]; !ok {
			t.Error("the newcomer has no place of its own")
		}
	})
}

// A refusal at a delivery ends the yes, grace and all; what the operator forgets is asked
// again.
func TestWhatIsRememberedCanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("alice@x.test", Yes, 1)
		w.want("bob@x.test", No, 2)
		w.Refused("inner:25", mustAddress(t, "alice@x.test"))
		w.Refused("inner:25", mustAddress(t, "bob@x.test"))
		w.Refused("other:25", mustAddress(t, "alice@x.test"))
		w.server.set(func() { w.server.takes["alice@x.test"] = false })
		w.want("alice@x.test", No, 3)
		w.want("bob@x.test", No, 3)
		var all []string
		w.Remembered(func(r Remembered) bool {
			all = append(all, fmt.Sprint(r.Address, r.Server, r.Answer.Known, r.Until.Sub(r.At)))
			return true
		})
		if len(all) != 2 {
			t.Error(all)
		}
		w.server.set(func() { w.server.takes["alice@x.test"], w.server.takes["bob@x.test"] = true, true })
		if n := w.Forget(func(_, a string) bool { return a == "alice@x.test" }); n != 1 {
			t.Errorf("%d forgotten", n)
		}
		w.want("alice@x.test", Yes, 4)
		w.want("bob@x.test", No, 4)
		if n := w.Forget(func(string, string) bool { return true }); n != 2 {
			t.Errorf("%d forgotten", n)
		}
		w.want("bob@x.test", Yes, 5)
		time.Sleep(26 * time.Hour)
		w.Remembered(func(r Remembered) bool { t.Errorf("%+v counts for ever", r); return true })
	})
}
