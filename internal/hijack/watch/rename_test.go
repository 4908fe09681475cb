package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// moving makes one act of moving what is known of an account; ends is what became of it, and
// crash that the process ended right after.
func (w *world) moving(from, to string, ends error, crash bool) {
	w.t.Helper()
	tx, done, err := store.Tx{}.With(w.t.Context(), w.Moving(addr(w.t, from), addr(w.t, to)))
	must(w.t, err)
	if ends == nil {
		_, err = w.st.Apply(w.t.Context(), tx, store.Durable)
		must(w.t, err)
	}
	if crash {
		w.open(nil)
		return
	}
	must(w.t, done(ends))
}

// left counts the keys that the store has of an account.
func (w *world) left(account string) (n int) {
	key := addr(w.t, account).Key()
	who := w.o.Key.Account(key)
	for _, k := range [][]byte{keyOf(prefixPair, who), keyOf(prefixSite, who), keyOf(prefixFrom, who), keyOf(prefixProgram, who), keyOf(prefixChanged, who), keyOf(prefixHeard, who), []byte(prefixRename + key)} {
		must(w.t, w.st.Scan(w.t.Context(), store.Prefix(k), func(_, _ []byte) (bool, error) { n++; return true, nil }))
	}
	return n
}

// Whom an account corresponds with, whence it signs in and what speaks against it follow it to
// its other address, also where the process ends after the act; whoever gets the former address
// is a stranger to all of them.
func TestARenamedAccountIsKnown(t *testing.T) {
	const many = followMost // correspondents, so that it takes several acts
	for _, crash := range []bool{false, true} {
		w := newWorld(t, nil)
		alice, smith := "alice@local.test", "smith@local.test"
		who := w.o.Key.Account(alice)
		var friends []hijack.Fingerprint
		for n := range many {
			friends = append(friends, w.o.Key.Address(addr(t, fmt.Sprintf("f%d@remote.test", n))))
		}
		_, err := w.st.Apply(t.Context(), store.Tx{Mutations: newBook(t.Context(), w.st, w.time(), time.Hour).learn(hijack.Wrote(who, friends, w.time()))}, store.Durable)
		must(t, err)
		w.hears("stranger@remote.test", alice)
		w.SignedIn(t.Context(), Act{Account: addr(t, alice), Network: "192.0.2.0/24", Program: "mua"})
		w.Changed(t.Context(), addr(t, alice), "its forward")
		w.pass(48 * time.Hour)
		w.moving(alice, smith, nil, crash)
		if n := w.known(smith, "f%d@remote.test", many); n != many || !w.knows(smith, "stranger@remote.test") {
			t.Errorf("crash %v: %d correspondents are known", crash, n)
		}
		if n := w.left(alice); n != 0 {
			t.Errorf("crash %v: %d keys are left", crash, n)
		}
		b := newBook(t.Context(), w.st, w.time(), time.Hour)
		if _, ok := b.wrote(friends[3], w.o.Key.Account(smith)); !ok {
			t.Errorf("crash %v: the other side does not know it", crash)
		}
		if fresh, _ := w.origin(t.Context(), keyOf(prefixFrom, w.o.Key.Account(smith)), keyOf(prefixFrom, w.o.Key.Account(smith), w.o.Key.Text("network", "192.0.2.0/24")), w.time()); fresh {
			t.Errorf("crash %v: its network is new to it", crash)
		}
		if c := w.changes(t.Context(), w.o.Key.Account(smith), w.time().Add(-48*time.Hour)); len(c) != 1 {
			t.Errorf("crash %v: changes %v", crash, c)
		}
	}
}

// What speaks against an account speaks against it under its other address, and not where the
// act failed.
func TestEvidenceFollowsARenamedAccount(t *testing.T) {
	for _, ends := range []error{nil, store.ErrUnavailable} {
		w := newWorld(t, nil)
		w.blast(3, time.Second)
		known := func(a mail.Address) string {
			x, err := w.enter(t.Context(), a)
			must(t, err)
			defer w.unpin(x)
			defer x.mu.Unlock()
			return string(x.state.Append(nil))
		}
		alice, smith := addr(t, "alice@local.test"), addr(t, "smith@local.test")
		before, nothing := known(alice), known(smith)
		if before == nothing {
			t.Fatal("nothing is known of it")
		}
		w.moving("alice@local.test", "smith@local.test", ends, false)
		for _, at := range []string{"at once", "after a restart"} {
			want := [2]string{nothing, before}
			if ends != nil {
				want = [2]string{before, nothing}
			}
			if got := [2]string{known(alice), known(smith)}; got != want {
				t.Errorf("%v, %s: known is %q, want %q", ends, at, got, want)
			}
			w.open(nil)
		}
	}
}

// Of who gets the address of an account that is gone nothing is known, and nothing speaks against him; the site knows whom it
// knew, and where the act fails all is as before.
func TestAnHeirBeginsAnew(t *testing.T) {
	const many = followMost // correspondents, so that it takes several acts
	alice := "alice@local.test"
	who := addr(t, alice)
	for name, c := range map[string]struct {
		ends  error
		crash bool
	}{"at once": {nil, false}, "after a crash": {nil, true}, "it failed": {store.ErrUnavailable, false}} {
		w := newWorld(t, nil)
		var friends []hijack.Fingerprint
		for n := range many {
			friends = append(friends, w.o.Key.Address(addr(t, fmt.Sprintf("f%d@remote.test", n))))
		}
		_, err := w.st.Apply(t.Context(), store.Tx{Mutations: newBook(t.Context(), w.st, w.time(), time.Hour).learn(hijack.Wrote(w.o.Key.Account(alice), friends, w.time()))}, store.Durable)
		must(t, err)
		w.hears("stranger@remote.test", alice)
		w.SignedIn(t.Context(), Act{Account: who, Network: "192.0.2.0/24", Program: "mua"})
		w.Changed(t.Context(), who, "its forward")
		for n := range 2 {
			w.with(app("stolen"), fmt.Sprintf("v%d@far%d.test", n, n))
		}
		known := func() string {
			a, err := w.enter(t.Context(), who)
			must(t, err)
			defer w.unpin(a)
			defer a.mu.Unlock()
			return fmt.Sprintf("%x %v %d %v", a.state.Append(nil), a.since.IsZero(), len(a.gave), a.wrong)
		}
		before, left := known(), w.left(alice)
		tx, done, err := store.Tx{}.With(t.Context(), w.Dropping(who))
		must(t, err)
		if c.ends == nil {
			_, err = w.st.Apply(t.Context(), tx, store.Durable)
			must(t, err)
		}
		if c.crash {
			w.open(nil)
		} else {
			must(t, done(c.ends))
		}
		if c.ends != nil {
			if known() != before || w.left(alice) != left || w.given(alice) != 1 {
				t.Errorf("%s: %d of %d keys are left", name, w.left(alice), left)
			}
			continue
		}
		nothing := fmt.Sprintf("%x true 0 %v", hijack.State{}.Append(nil), mistakes{})
		if got, n := known(), w.left(alice)+w.given(alice); got != nothing || n != 0 {
			t.Errorf("%s: %d keys are left, and known is %s", name, n, got)
		}
		b := newBook(t.Context(), w.st, w.time(), time.Hour)
		if _, ok := b.wrote(friends[3], w.o.Key.Account(alice)); ok {
			t.Errorf("%s: the other side knows an heir", name)
		}
		if _, ok := b.Site(friends[3]); !ok {
			t.Errorf("%s: the site has forgotten whom it wrote to", name)
		}
	}
}
