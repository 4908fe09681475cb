package watch

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// app is an app password of alice.
func app(name string) accounts.Credential {
	return accounts.Credential{ID: "app-" + name, Name: name, Kind: accounts.KindApp, Created: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}
}

// with hands in a message of alice, of a session that was opened with a credential.
func (w *world) with(c accounts.Credential, to string) bool {
	w.t.Helper()
	j := w.Submitted(w.t.Context(), Submission{Act: Act{Account: addr(w.t, "alice@local.test"), Used: []accounts.Credential{c}}, ID: w.nextID(), Ways: []Way{{Recipient: addr(w.t, to)}}})
	if j.Contained {
		return true
	}
	must(w.t, j.Fault)
	_, err := w.st.Apply(w.t.Context(), store.Tx{Mutations: j.Also}, store.Durable)
	must(w.t, err)
	j.Done(true)
	return false
}

// friend makes somebody known to alice, for as long as counts.
func (w *world) friend(address string) {
	w.t.Helper()
	_, err := w.Learn(w.t.Context(), addr(w.t, "alice@local.test"), []Acquaintance{{Way: Way{Recipient: addr(w.t, address)}}}, func(int) [][]byte { return nil })
	must(w.t, err)
}

// given counts what the store has of credentials with which evidence was given.
func (w *world) given(account string) (n int) {
	w.t.Helper()
	must(w.t, w.st.Scan(w.t.Context(), store.Prefix(keyOf(prefixGave, w.o.Key.Account(addr(w.t, account).Key()))), func(_, _ []byte) (bool, error) { n++; return true, nil }))
	return n
}

// strangers is how many messages to strangers, one every second, contain an account.
func strangers(t *testing.T) (n int) {
	w := newWorld(t, nil)
	for ; !w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n)); n++ {
		w.pass(time.Second)
	}
	return n + 1
}

// A thief stops one stranger short, and the owner writes to somebody new: whoever of them it was, the incident
// names both credentials and none with which nothing unusual was done. A crash between forgets no part of it.
func TestWhoGaveEvidenceIsNamed(t *testing.T) {
	most := strangers(t)
	if most < 3 {
		t.Fatalf("%d messages to strangers contain an account, so that nobody can share them", most)
	}
	for _, crash := range []bool{false, true} {
		w := newWorld(t, nil)
		began := w.time()
		w.friend("friend@remote.test")
		for n := range most - 1 {
			if w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n)) {
				t.Fatalf("contained by %d", n+1)
			}
			w.pass(time.Second)
		}
		if crash {
			w.open(nil)
		}
		if w.with(app("desk"), "friend@remote.test") {
			t.Fatal("contained by a letter to a friend")
		}
		for n := range 5 {
			if w.with(app("phone"), fmt.Sprintf("new%d@far%d.test", n, n)) {
				break
			}
		}
		if len(w.found) != 1 || !w.found[0].Known || !slices.Equal(w.found[0].Used, []string{"app-phone", "app-stolen"}) {
			t.Fatalf("crash %v: %+v", crash, w.found)
		}
		if since := w.found[0].Since; since.After(began) {
			t.Errorf("crash %v: the incident begins %s after the thief", crash, since.Sub(began))
		}
	}
}

// What gives no cause is not named: who signed in from somewhere new, where it is held against the account
// whom it writes to; who wrote to somebody new, where it is whence it signs in.
func TestEachEvidenceNamesItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	alice := addr(t, "alice@local.test")
	came := func(c accounts.Credential, n int) {
		w.SignedIn(t.Context(), Act{Account: alice, Used: []accounts.Credential{c}, Network: fmt.Sprintf("%d.0.2.0/24", 20+n), Program: "mua"})
		w.pass(time.Second)
	}
	came(app("desk"), 0) // the first of all is no new place
	came(app("phone"), 1)
	for n := 0; len(w.found) == 0 && n < 50; n++ {
		w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n))
	}
	if len(w.found) != 1 || !slices.Equal(w.found[0].Used, []string{"app-stolen"}) {
		t.Errorf("by whom it writes to: %+v", w.found)
	}

	w = newWorld(t, nil)
	came(app("desk"), 0)
	w.pass(evidencePause)
	w.with(app("phone"), "v@remote.test")
	for n := 1; len(w.found) == 0 && n < 20; n++ {
		c := app("stolen")
		if n >= 5 { // the last one is the owner's, in a hotel
			c = app("travel")
		}
		came(c, n)
	}
	if len(w.found) != 1 || !slices.Equal(w.found[0].Used, []string{"app-travel", "app-stolen"}) {
		t.Errorf("by whence it signs in: %+v", w.found)
	}
}

// What was used is forgotten with the evidence: when nothing speaks against the account any more, also of one that
// never rests, and by the end of an incident, unless that failed.
func TestWhatWasUsedIsForgotten(t *testing.T) {
	w := newWorld(t, nil)
	alice := addr(t, "alice@local.test")
	w.friend("friend@remote.test")
	for n := range 2 {
		w.SignedIn(t.Context(), Act{Account: alice, Used: []accounts.Credential{app("phone")}, Network: fmt.Sprintf("198.51.%d.0/24", 100+n), Program: "mua"})
	}
	if n := w.given(alice.String()); n != 1 {
		t.Fatalf("%d credentials are noted", n)
	}
	w.pass(evidencePause + time.Minute)
	w.with(app("desk"), "friend@remote.test")
	if n := w.given(alice.String()); n != 0 {
		t.Errorf("%d credentials are noted after a pause", n)
	}

	w = newWorld(t, nil)
	w.friend("friend@remote.test")
	w.with(app("phone"), "new@far.test")
	for range 4 {
		if n := w.given(alice.String()); n != 1 {
			t.Fatalf("%d credentials are noted at once", n)
		}
		w.pass(giftPause/4 - time.Second)
		w.with(app("desk"), "friend@remote.test")
	}
	w.pass(giftPause / 4)
	w.with(app("desk"), "friend@remote.test")
	if n := w.given(alice.String()); n != 0 {
		t.Errorf("%d credentials are noted of an account that never rests", n)
	}

	w = newWorld(t, nil)
	for n := 0; len(w.found) == 0 && n < 50; n++ {
		w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n))
	}
	for _, fails := range []error{store.ErrConflict, nil} {
		tx, done, err := store.Tx{}.With(t.Context(), w.Clearing(alice, w.time(), true))
		must(t, err)
		if fails == nil {
			_, err = w.st.Apply(t.Context(), tx, store.Durable)
			must(t, err)
		}
		must(t, done(fails))
		a, err := w.enter(t.Context(), alice)
		must(t, err)
		kept := len(a.gave)
		a.mu.Unlock()
		w.unpin(a)
		if want := map[bool]int{true: 1}[fails != nil]; kept != want || w.given(alice.String()) != want {
			t.Errorf("after the end of an incident (%v) %d credentials are known, and %d stored", fails, kept, w.given(alice.String()))
		}
	}
}

// An account that is renamed takes with it what was used.
func TestWhatWasUsedIsRenamed(t *testing.T) {
	for _, crash := range []bool{false, true} {
		w := newWorld(t, nil)
		for n := range 2 {
			w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", n, n))
		}
		w.moving("alice@local.test", "smith@local.test", nil, crash)
		if n, left := w.given("smith@local.test"), w.given("alice@local.test"); n != 1 || left != 0 {
			t.Fatalf("crash %v: %d are noted of the account, and %d of its former address", crash, n, left)
		}
		var last incident.Incident
		for n := 0; len(w.found) == 0 && n < 50; n++ {
			m := Submission{Act: Act{Account: addr(t, "smith@local.test"), Used: []accounts.Credential{app("phone")}}, ID: w.nextID(), Ways: []Way{{Recipient: addr(t, fmt.Sprintf("w%d@far%d.test", n, n))}}}
			j := w.Submitted(t.Context(), m)
			j.Done(true)
		}
		if len(w.found) == 1 {
			last = w.found[0]
		}
		if !slices.Equal(last.Used, []string{"app-phone", "app-stolen"}) {
			t.Errorf("crash %v: %+v", crash, last)
		}
	}
}

// A person who stops an account and sets it free again, and neither vouches for it nor takes from it what the evidence was
// given with, has changed nothing: whoever gave it is contained by what was missing, as if nobody had stopped him. One that
// was revoked, or a password that is another one now, ends it.
func TestAFreezeAloneForgivesNothing(t *testing.T) {
	most := strangers(t)
	alice := addr(t, "alice@local.test")
	cert := accounts.Credential{ID: "", Kind: accounts.KindCertificate, Name: "one of several"}
	token := accounts.Credential{ID: accounts.TokenID, Kind: accounts.KindToken}
	for name, c := range map[string]struct {
		used accounts.Credential
		has  []accounts.Credential
		want bool
	}{
		"nothing was changed":            {app("stolen"), []accounts.Credential{app("desk"), app("stolen")}, true},
		"it was revoked":                 {app("stolen"), []accounts.Credential{app("desk")}, false},
		"a certificate, nobody's":        {cert, []accounts.Credential{app("desk")}, false},
		"a certificate, of several":      {cert, []accounts.Credential{{ID: "cert7", Kind: accounts.KindCertificate}}, true},
		"a token, which is kept nowhere": {token, []accounts.Credential{app("desk")}, true},
		"what has no name":               {accounts.Credential{Kind: accounts.KindLocal}, []accounts.Credential{app("desk")}, false},
	} {
		w := newWorld(t, nil)
		for n := range most - 1 {
			if w.with(c.used, fmt.Sprintf("v%d@remote%d.test", n, n)) {
				t.Fatalf("%s: contained by %d", name, n+1)
			}
			w.pass(time.Second)
		}
		fault := errors.New("the accounts do not read")
		w.Watch.o.Credentials = func(mail.Address) ([]accounts.Credential, error) { return nil, fault }
		if _, err := w.Thawing(alice, w.time())(t.Context()); !errors.Is(err, fault) {
			t.Errorf("%s: what is not known is taken for gone: %v", name, err)
		}
		w.Watch.o.Credentials = func(of mail.Address) ([]accounts.Credential, error) { return c.has, nil }
		tx, done, err := store.Tx{}.With(t.Context(), w.Thawing(alice, w.time()))
		must(t, err)
		_, err = w.st.Apply(t.Context(), tx, store.Durable)
		must(t, err)
		must(t, done(nil))
		if got := w.with(c.used, "next@elsewhere.test"); got != c.want {
			t.Errorf("%s: contained by the next stranger: %v", name, got)
		}
	}
}

// Who first wrote to an account while it was stopped is unknown to it afterwards, whether what spoke against it stands or not:
// whoever waits for its end has won nobody by waiting. Who wrote before is known as before.
func TestWhoWroteWhileItWasStoppedIsUnknown(t *testing.T) {
	const alice = "alice@local.test"
	for name, has := range map[string][]accounts.Credential{"evidence stands": {app("stolen")}, "it was revoked": {app("desk")}} {
		w := newWorld(t, nil)
		w.hears("early@far.test", alice)
		w.with(app("stolen"), "v@remote.test")
		w.pass(time.Hour)
		since := w.time()
		w.hears("late@far.test", alice)
		w.pass(time.Hour)
		if !w.knows(alice, "late@far.test") {
			t.Fatalf("%s: who wrote is a stranger", name)
		}
		w.Watch.o.Credentials = func(mail.Address) ([]accounts.Credential, error) { return has, nil }
		tx, done, err := store.Tx{}.With(t.Context(), w.Thawing(addr(t, alice), since))
		must(t, err)
		_, err = w.st.Apply(t.Context(), tx, store.Durable)
		must(t, err)
		must(t, done(nil))
		if w.knows(alice, "late@far.test") || !w.knows(alice, "early@far.test") {
			t.Errorf("%s: known are late %v, early %v", name, w.knows(alice, "late@far.test"), w.knows(alice, "early@far.test"))
		}
	}
}
