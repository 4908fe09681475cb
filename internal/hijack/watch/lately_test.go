package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// asked counts what is looked for in a store.
type asked struct {
	store.Store
	times int
}

func (s *asked) Get(ctx context.Context, key []byte) ([]byte, error) {
	s.times++
	return s.Store.Get(ctx, key)
}

// Somebody who writes often is looked for once in a while, whether he is answered or not; and others
// who write meanwhile are looked for at once.
func TestWhoWritesOftenIsNotLookedForEachTime(t *testing.T) {
	for _, who := range []string{"friend@a.test", "list@a.test"} {
		w := newWorld(t, nil)
		w.submit("friend@a.test")
		w.hears(who, "alice@local.test")
		s := &asked{Store: w.st}
		w.o.Store = s
		asks := func(who string) int {
			s.times = 0
			w.hears(who, "alice@local.test")
			return s.times
		}
		asks(who) // finds what was written
		if n := asks(who); n != 0 {
			t.Errorf("%s is looked for %d times at once again", who, n)
		}
		if n := asks("other@b.test"); n == 0 || !w.knows("alice@local.test", "other@b.test") {
			t.Error("another one is not looked for")
		}
		w.pass(latelyFor)
		if asks(who) == 0 {
			t.Errorf("%s is never looked for again", who)
		}
		for n := range mostLately {
			for range 2 {
				asks(fmt.Sprintf("c%d@c.test", n))
			}
		}
		if asks("c0@c.test")+asks("c7@c.test") > 0 {
			t.Error("not so many are remembered as it says")
		}
		if asks(who) == 0 {
			t.Errorf("%s keeps a place before all others", who)
		}
	}
}

// Who was forgotten is heard anew, though he was known a moment ago.
func TestWhoIsForgottenIsHeardAnew(t *testing.T) {
	alice := addr(t, "alice@local.test")
	for name, forget := range map[string]func(w *world){
		"with an incident": func(w *world) {
			s, err := w.Clearing(alice, w.time(), false)(t.Context())
			must(t, err)
			_, err = w.st.Apply(t.Context(), store.Tx{Mutations: s.Mutations}, store.Durable)
			must(t, err)
			must(t, s.Done(nil))
		},
		"with a freeze that ends and vouches for nothing": func(w *world) {
			w.with(app("stolen"), "v@remote.test")
			w.Watch.o.Credentials = func(mail.Address) ([]accounts.Credential, error) { return []accounts.Credential{app("stolen")}, nil }
			tx, done, err := store.Tx{}.With(t.Context(), w.Thawing(alice, w.time().Add(-time.Hour)))
			must(t, err)
			_, err = w.st.Apply(t.Context(), tx, store.Durable)
			must(t, err)
			must(t, done(nil))
		},
		"since the account has another address": func(w *world) { w.moving("alice@local.test", "smith@local.test", nil, false) },
		"with the account": func(w *world) {
			s, err := w.Dropping(alice)(t.Context())
			must(t, err)
			_, err = w.st.Apply(t.Context(), store.Tx{Mutations: s.Mutations}, store.Durable)
			must(t, err)
			must(t, s.Done(nil))
		},
		"for want of room": func(w *world) {
			for n := range w.o.Limits.Heard {
				w.pass(time.Minute)
				w.hears(fmt.Sprintf("c%d@d%d.test", n, n%4), "alice@local.test")
			}
		},
	} {
		w := newWorld(t, nil)
		w.o.Limits.HeardDay = 1000
		for range 3 {
			w.hears("x@a.test", "alice@local.test")
		}
		forget(w)
		if w.knows("alice@local.test", "x@a.test") {
			t.Fatalf("%s: he is not forgotten", name)
		}
		if w.hears("x@a.test", "alice@local.test"); !w.knows("alice@local.test", "x@a.test") {
			t.Errorf("%s: he is not heard anew", name)
		}
	}
}

// Where strangers are remembered for less than an hour, nobody counts as remembered beyond that.
func TestAShortMemoryIsNotProlonged(t *testing.T) {
	w := newWorld(t, nil)
	w.o.Limits.HeardFor = 10 * time.Minute
	for range 3 {
		w.hears("x@a.test", "alice@local.test")
	}
	w.pass(11 * time.Minute)
	if w.hears("x@a.test", "alice@local.test"); !w.knows("alice@local.test", "x@a.test") {
		t.Error("he is not heard anew")
	}
}
