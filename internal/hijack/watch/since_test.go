package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/accounts"
)

// An incident begins with the first that is unusual, and not with what the account does day and night: what was made long
// before the theft is not revoked for it, and whom the account wrote to before stays known to it.
func TestAnIncidentBeginsWithTheTheft(t *testing.T) {
	alice := addr(t, "alice@local.test")
	looks := func(w *world, c accounts.Credential, network string) {
		w.SignedIn(t.Context(), Act{Account: alice, Used: []accounts.Credential{c}, Network: network, Program: "mua", Reads: true})
	}
	rests := func(w *world, long time.Duration) {
		for until := w.time().Add(long); w.time().Before(until); w.pass(15 * time.Minute) {
			looks(w, app("phone"), "192.0.2.0/24")
		}
	}
	for name, c := range map[string]struct {
		before func(*world)
		came   bool // the thief is told by whence he comes, three hours before he writes
	}{
		"a phone that looks for mail day and night":      {func(w *world) { rests(w, 20*24*time.Hour) }, true},
		"the same, and the thief comes from where it is": {func(w *world) { rests(w, 20*24*time.Hour) }, false},
		"somebody who is away": {func(w *world) {
			looks(w, app("phone"), "192.0.2.0/24")
			w.with(app("desk"), "friend@remote.test")
			w.pass(20 * 24 * time.Hour)
		}, false},
		"one who wrote to somebody new a day ago": {func(w *world) {
			w.with(app("desk"), "new@far.test")
			w.with(app("desk"), "friend@remote.test")
			rests(w, 24*time.Hour)
		}, true},
	} {
		w := newWorld(t, settled)
		w.friend("friend@remote.test")
		for n := range 6 { // so that a stranger is one
			w.friend(fmt.Sprintf("friend%d@remote.test", n))
		}
		c.before(w)
		began := w.time()
		if c.came {
			looks(w, app("stolen"), "203.0.113.0/24")
			rests(w, 3*time.Hour)
		}
		for n := 0; len(w.found) == 0 && n < 50; n++ {
			w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n))
			w.pass(time.Second)
		}
		if len(w.found) != 1 {
			t.Fatalf("%s: %d incidents", name, len(w.found))
		}
		if early := began.Sub(w.found[0].Since); early < 0 || early > 15*time.Minute {
			t.Errorf("%s: the incident begins %s before the theft", name, early)
		}
	}
}
