package accounts

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"
)

// limitedAlice guesses at alice from many networks until nothing is left for those that are new to
// her.
func limitedAlice(t *testing.T, f *fixture) {
	t.Helper()
	for n := range 100 {
		f.signIn("alice@local.test", fmt.Sprint("guess ", n), peerN(3000+n))
	}
	wantFailure(t, "a network that has not tried", f.signIn("alice@local.test", alicePassword, peerN(2500)), ErrTooMany, Rule("signin-account-rate"))
}

// What cannot be guessed gets in whatever strangers do, by every mechanism and from a network
// that guesses, and so does a device that shows the account's certificate.
func TestTheOwnersWaysIn(t *testing.T) {
	f := withAlice(t, cheapLimits())
	alice := address(t, "alice@local.test")
	_, app, err := f.AddApp(context.Background(), alice, AppPassword{Name: "phone", Scope: ScopeSend}, func(Credential) [][]byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, f.clock.Now(), nil)
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	limitedAlice(t, f)
	guesser := peerN(3001)
	if err := f.signIn("alice@local.test", app, guesser); err != nil {
		t.Errorf("app password: %v", err)
	}
	limitedAlice(t, f)
	x, _ := f.Begin(MechScram, peerN(3002))
	if got := converse(t, x, scramClient(t, "alice@local.test", app).NewConversation()); got != ok235 {
		t.Errorf("app password by SCRAM: %s", got)
	}
	state := exporterState(t)
	state.PeerCertificates = []*x509.Certificate{leaf}
	device := peerN(3003)
	device.TLS = &state
	if got, _ := say(f.Identity, device, MechExternal, []byte("")); got != ok235 {
		t.Errorf("EXTERNAL: %s", got)
	}
	device.Remote = peerN(3004).Remote
	wantFailure(t, "a wrong password beside it", f.signIn("alice@local.test", "wrong", device), ErrBadCredentials, RuleBadPassword)
	if err := f.signIn("alice@local.test", alicePassword, device); err != nil {
		t.Errorf("the password on a device with a certificate: %v", err)
	}
	bobs := device // the certificate is no device of bob's
	bobs.Remote = peerN(3005).Remote
	for n := range 40 {
		f.signIn("bob@local.test", fmt.Sprint("guess ", n), bobs)
	}
	wantFailure(t, "bob with alice's certificate", f.signIn("bob@local.test", "one more", bobs), ErrTooMany, Rule("signin-account-rate"))
}

// A telephone with an old password tries all day, by PLAIN and by SCRAM, at home and elsewhere.
// Its owner gets in beside it with the new one, there and from a network that is new.
func TestATelephoneWithAnOldPasswordLocksNobodyOut(t *testing.T) {
	for _, mech := range []string{MechPlain, MechScram} {
		for _, where := range []Peer{home(), peerN(7)} {
			f := withAlice(t, cheapLimits())
			if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
				t.Fatal(err)
			}
			if _, err := f.SetPassword(context.Background(), address(t, "alice@local.test"), "another password", nil); err != nil {
				t.Fatal(err)
			}
			for n := range 400 {
				x, err := f.Begin(mech, where)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				if mech == MechScram {
					got = converse(t, x, scramClient(t, "alice@local.test", alicePassword).NewConversation())
				} else {
					got, _ = say(f.Identity, where, mech, []byte("\x00alice@local.test\x00"+alicePassword))
				}
				if got != bad535 {
					t.Fatalf("%s, try %d: %s", mech, n, got)
				}
				if n%100 == 99 {
					if err := f.signIn("alice@local.test", "another password", home()); err != nil {
						t.Fatalf("%s: the owner at home: %v", mech, err)
					}
					if err := f.signIn("alice@local.test", "another password", peerN(1000+n)); err != nil {
						t.Fatalf("%s: the owner elsewhere: %v", mech, err)
					}
				}
				f.clock.advance(10 * time.Second)
			}
			if _, guessed := f.tally.At("alice@local.test", f.clock.Now()); guessed {
				t.Errorf("%s: a telephone is taken for somebody who guesses", mech)
			}
		}
	}
}

// A former password opens nothing, by whichever mechanism, and only the last ones are known; a
// revoked one is a former one.
func TestAFormerPasswordOpensNothing(t *testing.T) {
	ctx := context.Background()
	f := withAlice(t, laxLimits())
	alice := address(t, "alice@local.test")
	passwords := []string{alicePassword, "second password", "third password", "fourth password"}
	for _, p := range passwords[1:] {
		if _, err := f.SetPassword(ctx, alice, p, nil); err != nil {
			t.Fatal(err)
		}
	}
	why := func(password string) string {
		x, err := f.Begin(MechScram, home())
		if err != nil {
			t.Fatal(err)
		}
		if got := converse(t, x, scramClient(t, "alice@local.test", password).NewConversation()); got != bad535 {
			t.Errorf("%s: %s", password, got)
		}
		return x.Attempt().Why
	}
	for n, want := range []string{"wrong password", "a former password", "a former password"} {
		if got := why(passwords[n]); got != want {
			t.Errorf("password %d of four: %s", n, got)
		}
		wantFailure(t, "by PLAIN", f.signIn("alice@local.test", passwords[n], home()), ErrBadCredentials, RuleBadPassword)
	}
	if _, err := f.Revoke(ctx, alice, Choice{Since: time.Unix(1, 0)}, func([]Credential) [][]byte { return nil }); err != nil {
		t.Fatal(err)
	}
	again := open(t, f.st, Options{Limits: laxLimits()}) // it is kept over a restart
	f.Identity = again.Identity
	x, _ := f.Begin(MechScram, home())
	if got := converse(t, x, scramClient(t, "alice@local.test", passwords[3]).NewConversation()); got != bad535 {
		t.Errorf("the revoked one: %s", got)
	}
	if n := len(f.record("alice@local.test").former); n != formerPasswords {
		t.Errorf("%d are kept", n)
	}
}

// A restart gives an attacker one try and one of the reserve, and an owner at home three.
func TestARestartIsNoNewBudget(t *testing.T) {
	f := withAlice(t, cheapLimits())
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	limitedAlice(t, f)
	o := Options{Limits: cheapLimits(), Now: f.clock.Now}
	judged := 0
	for n := range 10 {
		id, err := Open(context.Background(), f.st, o)
		if err != nil {
			t.Fatal(err)
		}
		for m := range 100 {
			if _, err := id.SignIn(context.Background(), "alice@local.test", fmt.Sprint("guess ", n, m), peerN(n*100+m)); ruleOf(err) == RuleBadPassword {
				judged++
			}
		}
		for m := range 2 {
			if _, err := id.SignIn(context.Background(), "alice@local.test", fmt.Sprint("typo ", m), home()); ruleOf(err) != RuleBadPassword {
				t.Errorf("start %d: the owner's typo: %v", n, err)
			}
		}
		if _, err := id.SignIn(context.Background(), "alice@local.test", alicePassword, home()); err != nil {
			t.Errorf("start %d: the owner at home: %v", n, err)
		}
	}
	if judged != 10*2 {
		t.Errorf("%d guesses were judged after 10 starts, want 20", judged)
	}
}

// Whatever form an address has, it is one account that is guessed at.
func TestFormsOfANameAreOneAccount(t *testing.T) {
	f := withAlice(t, cheapLimits())
	f.add(t, "andr\u00e9@local.test", "rieu violin")
	judged := 0
	for n := range 60 {
		user := []string{"andr\u00e9@local.test", "andre\u0301@local.test", "ANDR\u00c9@Local.Test", "\"andr\u00e9\"@LOCAL.test"}[n%4]
		switch err := f.signIn(user, fmt.Sprint("guess ", n), peerN(0)); ruleOf(err) {
		case RuleBadPassword:
			judged++
		case Rule("signin-account-rate"):
		default:
			t.Fatal(err)
		}
	}
	if judged != 5+2 {
		t.Errorf("%d were judged", judged)
	}
}

// Whoever is guessed at is told by the account's address, with where from; each once when it begins.
// A name that is nobody's is never told, and a removed account is forgotten.
func TestWhoIsToldOfAsGuessedAt(t *testing.T) {
	f := withAlice(t, cheapLimits())
	alice := address(t, "alice@local.test")
	for range 4 {
		f.signIn("alice@local.test", "one old password", peerN(1))
		f.signIn("nobody@local.test", "one old password", peerN(1))
	}
	if r, ok := f.GuessedAt(alice); ok || f.CountGuessedAt() != 0 || len(f.GuessingBegun()) != 0 {
		t.Errorf("a telephone guesses: %+v", r)
	}
	for n := range 30 {
		for _, who := range []string{"ALICE@local.test", "nobody@local.test"} {
			f.signIn(who, fmt.Sprint("guess ", n), peerN(n%3))
		}
	}
	r, ok := f.GuessedAt(alice)
	if !ok || r.Account != "alice@local.test" || r.Refused == 0 || r.Wrong == 0 || len(r.Sources) != 3 {
		t.Errorf("%v %+v", ok, r)
	}
	first, of := f.AllGuessedAt(5)
	if of != 1 || len(first) != 1 || first[0].Account != "alice@local.test" || f.CountGuessedAt() != 1 {
		t.Errorf("%d: %+v", of, first)
	}
	if first, of := f.AllGuessedAt(0); of != 1 || len(first) != 0 {
		t.Errorf("%d: %+v", of, first)
	}
	if begun := f.GuessingBegun(); len(begun) != 1 || begun[0].Account != "alice@local.test" || len(f.GuessingBegun()) != 0 {
		t.Errorf("begun: %+v", begun)
	}
	if err := f.Remove(context.Background(), alice, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.GuessedAt(alice); ok || f.CountGuessedAt() != 0 {
		t.Error("a removed account is guessed at")
	}
}
