package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// hears brings a message with a DMARC pass in for accounts, and makes it durable.
func (w *world) hears(from string, to ...string) {
	w.t.Helper()
	var ways []Way
	for _, a := range to {
		ways = append(ways, Way{Recipient: addr(w.t, a), Mailbox: addr(w.t, a)})
	}
	j := w.Heard(w.t.Context(), addr(w.t, from), ways)
	if len(j.Also) > 0 {
		_, err := w.st.Apply(w.t.Context(), store.Tx{Mutations: j.Also}, store.Lazy)
		must(w.t, err)
	}
	j.Done(true)
}

// knows reports whether an account knows somebody by now.
func (w *world) knows(account, who string) bool {
	b := newBook(w.t.Context(), w.st, w.time(), w.o.Limits.HeardFor)
	since, known := b.Since(w.o.Key.Account(account), w.o.Key.Address(addr(w.t, who)))
	return known && w.time().Sub(since) >= hijack.Settled
}

func (w *world) known(account, form string, n int) (known int) {
	for i := range n {
		if w.knows(account, fmt.Sprintf(form, i)) {
			known++
		}
	}
	return known
}

// An account that answers strangers who wrote first is as usual; without their mail it is not.
func TestWhoWroteFirstIsAnswered(t *testing.T) {
	for _, wrote := range []bool{true, false} {
		w := newWorld(t, nil)
		held := 0
		for n := range 20 {
			who := fmt.Sprintf("c%d@client%d.test", n, n)
			if wrote {
				w.hears(who, "alice@local.test")
			}
			w.pass(10 * time.Second)
			_, j := w.submit(who)
			if j.Contained || j.Waits {
				held++
			}
		}
		if wrote && (held > 0 || len(w.found) > 0) || !wrote && (held == 0 || len(w.found) != 1) {
			t.Errorf("they wrote first: %v; %d of 20 answers held, %d incidents", wrote, held, len(w.found))
		}
	}
}

// Whom an account answered it knows for good, and a stranger only for a time.
func TestAnAnswerLasts(t *testing.T) {
	w := newWorld(t, nil)
	w.hears("answered@a.test", "alice@local.test")
	w.hears("silent@a.test", "alice@local.test")
	w.submit("answered@a.test")
	w.pass(89 * 24 * time.Hour)
	if !w.knows("alice@local.test", "silent@a.test") {
		t.Error("a stranger is forgotten too early")
	}
	// A clock that is set ahead makes nobody forget.
	age := w.o.Age
	w.o.Age = func(time.Time) time.Duration { return 0 }
	w.pass(10 * 365 * 24 * time.Hour)
	w.fade(t.Context())
	w.pass(-10 * 365 * 24 * time.Hour)
	w.o.Age, w.faded = age, time.Time{}
	if !w.knows("alice@local.test", "silent@a.test") {
		t.Error("a stranger is forgotten by a clock that is ahead")
	}
	w.pass(2 * 24 * time.Hour)
	if w.knows("alice@local.test", "silent@a.test") || !w.knows("alice@local.test", "answered@a.test") {
		t.Error("after 91 days the silent one is known, or the other is not")
	}
	w.fade(t.Context())
	all, err := w.recordsOf(t.Context(), w.o.Key.Account("alice@local.test"))
	must(t, err)
	if len(all) != 0 {
		t.Errorf("%d strangers are kept", len(all))
	}
}

// A stranger is known to whom he wrote to, and to nobody else; he makes nobody acquainted.
func TestOnlyWhomHeWroteTo(t *testing.T) {
	w := newWorld(t, nil)
	w.hears("x@a.test", "alice@local.test")
	b := newBook(t.Context(), w.st, w.time(), w.o.Limits.HeardFor)
	x, alice := w.o.Key.Address(addr(t, "x@a.test")), w.o.Key.Account("alice@local.test")
	if !w.knows("alice@local.test", "x@a.test") || w.knows("bob@local.test", "x@a.test") {
		t.Error("alice does not know him, or bob does")
	}
	if _, met := b.Site(x); met {
		t.Error("the site knows him")
	}
	for _, who := range []hijack.Fingerprint{x, alice} {
		for other := range b.Known(who) {
			t.Errorf("%x is in common with %x", other, who)
		}
	}
	// A message to many teaches nobody.
	w.hears("y@a.test", "alice@local.test", "bob@local.test", "carol@local.test")
	if w.knows("alice@local.test", "y@a.test") {
		t.Error("an announcement makes its author known")
	}
	if j := w.Heard(t.Context(), mail.Address{}, []Way{{Mailbox: addr(t, "alice@local.test")}}); len(j.Also) != 0 {
		t.Error("nobody is learnt")
	}
}

// What strangers can put into the store, and into an account, is bounded, also by restarts.
func TestStrangersAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	for n := range 60 {
		w.hears(fmt.Sprintf("c%d@one.test", n), "alice@local.test")
		w.hears(fmt.Sprintf("c%d@one.test", n), "alice@local.test") // again is nobody new
		if n%7 == 0 {
			w.open(nil)
		}
	}
	if n := w.known("alice@local.test", "c%d@one.test", 60); n != 25 {
		t.Errorf("%d of one domain within a day", n)
	}
	for n := range 60 {
		w.hears(fmt.Sprintf("c%d@d.test", n), "alice@local.test")
		if n == 2 {
			w.open(nil)
		}
	}
	if n := w.known("alice@local.test", "c%d@d.test", 60); n != 5 {
		t.Errorf("%d more of another domain", n)
	}
	if w.hears("c@one.test", "bob@local.test"); !w.knows("bob@local.test", "c@one.test") {
		t.Error("another account has another day")
	}
	for day := range 10 {
		w.pass(24 * time.Hour)
		for n := range 20 {
			w.hears(fmt.Sprintf("c%d@day%d.test", n, day), "alice@local.test")
		}
		all, err := w.recordsOf(t.Context(), w.o.Key.Account("alice@local.test"))
		must(t, err)
		if len(all) > 40 {
			t.Fatalf("%d strangers are kept", len(all))
		}
	}
	if n := w.known("alice@local.test", "c%d@day9.test", 20); n != 20 {
		t.Errorf("%d of today's are known: the oldest must make room", n)
	}
	if n := w.known("alice@local.test", "c%d@one.test", 60); n != 0 {
		t.Errorf("%d of the oldest are known", n)
	}
}

// Whoever wrote for the first time since an incident began is forgotten with it.
func TestAnIncidentForgetsItsStrangers(t *testing.T) {
	w := newWorld(t, nil)
	w.hears("before@a.test", "alice@local.test")
	w.pass(time.Hour)
	since := w.time()
	w.hears("after@a.test", "alice@local.test")
	s, err := w.Clearing(addr(t, "alice@local.test"), since, false)(t.Context())
	must(t, err)
	_, err = w.st.Apply(t.Context(), store.Tx{Mutations: s.Mutations}, store.Durable)
	must(t, err)
	must(t, s.Done(nil))
	if !w.knows("alice@local.test", "before@a.test") || w.knows("alice@local.test", "after@a.test") {
		t.Error("the one before is forgotten, or the one after is known")
	}
}

// A new network and a new program each make a theft likelier; the first of each is none.
func TestWhereAndWithWhatOneSignsIn(t *testing.T) {
	a := addr(t, "alice@local.test")
	odds := func(acts ...Act) int {
		w := newWorld(t, nil)
		for _, act := range acts {
			act.Account = a
			w.SignedIn(t.Context(), act)
			w.open(nil)
		}
		ids, _ := w.blast(100, time.Hour)
		return len(ids)
	}
	state := func(acts ...Act) hijack.State {
		w := newWorld(t, nil)
		for _, act := range acts {
			act.Account = a
			w.SignedIn(t.Context(), act)
		}
		e, err := w.enter(t.Context(), a)
		must(t, err)
		defer e.mu.Unlock()
		return e.state
	}
	usual := Act{Network: "192.0.2.0/24", Program: "thunderbird"}
	elsewhere, other := usual, usual
	elsewhere.Network, other.Program = "198.51.100.0/24", "swaks"
	if state(usual) != state(usual, usual) {
		t.Error("the same again says something")
	}
	for what, act := range map[string]Act{"network": elsewhere, "program": other} {
		if state(usual, act) == state(usual, usual) {
			t.Errorf("a new %s says nothing", what)
		}
		if state(usual, act, act) != state(usual, act) {
			t.Errorf("the new %s is new again", what)
		}
	}
	if state(usual, other) == state(usual, elsewhere) {
		t.Error("a program is counted as a network")
	}
	if before, after := odds(usual), odds(usual, other); after > before {
		t.Errorf("%d messages after a new program, %d without", after, before)
	}
}
