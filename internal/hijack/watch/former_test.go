package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Who left is still on the lists of people, in their programs and in their heads: to be refused for him says nothing, however
// his address went, and after a restart too. Whom nobody here ever was, counts.
func TestAnOldListContainsNobody(t *testing.T) {
	planned := func(w *world, p store.Planner) {
		tx, done, err := store.Tx{}.With(t.Context(), p)
		must(t, err)
		_, err = w.st.Apply(t.Context(), tx, store.Durable)
		must(t, err)
		must(t, done(nil))
	}
	for name, c := range map[string]struct {
		goes func(w *world, a mail.Address)
		want bool
	}{
		"an account was removed": {func(w *world, a mail.Address) { planned(w, w.Dropping(a)) }, false},
		"it was renamed":         {func(w *world, a mail.Address) { planned(w, w.Moving(a, addr(t, "new."+a.String()))) }, false},
		"an alias was removed":   {func(w *world, a mail.Address) { w.Gone(t.Context(), a) }, false},
		"the directory lists it no more": {func(w *world, a mail.Address) {
			w.roles[a.Key()] = accounts.Account{Address: a, Standing: accounts.StandingDisputed}
		}, false},
		"nobody was that": {func(*world, mail.Address) {}, true},
	} {
		w := newWorld(t, nil)
		people := func(n int) mail.Address { return addr(t, fmt.Sprintf("p%d@second.test", n)) }
		for n := range 20 {
			c.goes(w, people(n))
		}
		w.open(nil)
		for n := range 20 {
			if w.Mistaken(t.Context(), addr(t, "alice@local.test"), people(n)) {
				w.Refused(t.Context(), Act{Account: addr(t, "alice@local.test")}, 1, 1)
			}
			w.pass(time.Second)
		}
		if got := len(w.found) > 0; got != c.want {
			t.Errorf("%s: contained %v", name, got)
		}
	}
}
