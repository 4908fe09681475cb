package accounts

import (
	"context"
	"testing"
	"time"
)

// toRead is a peer who is there to read.
func toRead(p Peer) Peer {
	p.For = ScopeReceive
	return p
}

// An account of which one credential was misused sends with none, and is read on with the others,
// in new sessions and in those that are open; wholly frozen before or afterwards, it is not read
// either.
func TestAContainedAccountReadsOn(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	for _, row := range []struct {
		name   string
		before func(f *fixture) error
		after  func(f *fixture) error
		reads  bool
	}{
		{"contained", nil, nil, true},
		{"contained again", nil, func(f *fixture) error {
			_, _, err := f.Contain(ctx, alice, Containment{Freeze: "more", ReadsOn: true}, nothingTold)
			return err
		}, true},
		{"frozen afterwards", nil, func(f *fixture) error { _, err := f.Freeze(ctx, alice, "by hand", nil); return err }, false},
		{"contained afterwards without a known credential", nil, func(f *fixture) error {
			_, _, err := f.Contain(ctx, alice, Containment{Freeze: "more"}, nothingTold)
			return err
		}, false},
		{"frozen before", func(f *fixture) error { _, err := f.Freeze(ctx, alice, "by hand", nil); return err }, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := withAlice(t, laxLimits())
			used, stolen := f.app(t, AppPassword{Name: "stolen", Scope: ScopeAll})
			_, phone := f.app(t, AppPassword{Name: "phone", Scope: ScopeAll})
			proofs := map[string]Proof{}
			for _, word := range []string{stolen, phone, alicePassword} {
				for _, p := range []Peer{home(), toRead(home())} {
					proof, err := f.SignIn(ctx, "alice@local.test", word, p)
					if err != nil {
						t.Fatal(err)
					}
					proofs[word+p.For.String()] = proof
				}
			}
			if row.before != nil {
				if err := row.before(f); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := f.Contain(ctx, alice, Containment{Freeze: "misused", ReadsOn: true, Revoke: Choice{IDs: []string{used.ID}}}, nothingTold); err != nil {
				t.Fatal(err)
			}
			if row.after != nil {
				if err := row.after(f); err != nil {
					t.Fatal(err)
				}
			}
			again := open(t, f.st, Options{Limits: laxLimits()}) // the same is there after a start
			for _, id := range []*fixture{f, again} {
				for _, word := range []string{stolen, phone, alicePassword} {
					for _, p := range []Peer{home(), toRead(home())} {
						want := row.reads && p.For == ScopeReceive && word != stolen
						if err := id.signIn("alice@local.test", word, p); (err == nil) != want || err != nil && Reply(err).Code != 535 {
							t.Errorf("%s to %s by PLAIN: %v", word, p.For, err)
						}
						if _, err := scramIn(t, id, word, p); (err == nil) != want {
							t.Errorf("%s to %s by SCRAM: %v", word, p.For, err)
						}
						if why := id.Fallen(proofs[word+p.For.String()]); (why == "") != want {
							t.Errorf("a session of %s to %s: %q", word, p.For, why)
						}
					}
				}
			}
			if f.Active(alice) {
				t.Error("it may send")
			}
			if a, err := f.Thaw(ctx, alice, nil); err != nil || a.ReadsOn || !f.Active(alice) {
				t.Errorf("after its end: %+v, %v", a, err)
			}
			if err := f.signIn("alice@local.test", stolen, toRead(home())); err == nil {
				t.Error("what was misused opens the account again")
			}
		})
	}
}

// Nobody reads on whose directory does not list him any more.
func TestWhoIsNotListedReadsNothing(t *testing.T) {
	a := Account{Standing: StandingFrozen, ReadsOn: true}
	if !a.acts(ScopeReceive) || a.acts(ScopeSend) || a.acts(ScopeAll) || a.acts(0) {
		t.Error("a contained account does else than read")
	}
	a.Source = Source{Directory: "people", Absent: true}
	if a.seen().acts(ScopeReceive) {
		t.Error("who is not listed reads")
	}
	a.Source = Source{AlsoIn: "people"}
	if a.seen().acts(ScopeReceive) {
		t.Error("who is disputed reads")
	}
	if (Account{Standing: StandingFrozen}).acts(ScopeReceive) || (Account{ReadsOn: true}).acts(ScopeReceive) || !(Account{Standing: StandingActive}).acts(ScopeSend) {
		t.Error("ReadsOn is more than it is")
	}
}

// Which tokens are dead goes by when they were made: from a moment on up to the end, or all up to
// it where one was used.
func TestDeadTokens(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_000_000+int64(s), 0).UTC() }
	since := deadTokens{}.with(Choice{Since: at(10).Add(700 * time.Millisecond)})
	used := since.with(Choice{IDs: []string{"pw1", TokenID}})
	for name, row := range map[string]struct {
		d    deadTokens
		dead []int
	}{
		"none":                     {deadTokens{}, nil},
		"of no misuse":             {deadTokens{}.with(Choice{IDs: []string{"pw1"}}), nil},
		"an end of nothing":        {deadTokens{}.until(at(20)), nil},
		"made since":               {since, []int{10, 11, 20, 30}},
		"made since, to the end":   {since.until(at(20)), []int{10, 11, 20}},
		"ended once":               {since.until(at(20)).until(at(40)), []int{10, 11, 20}},
		"used":                     {used, []int{0, 9, 10, 11, 20, 30}},
		"used, to the end":         {used.until(at(20)), []int{0, 9, 10, 11, 20}},
		"an earlier one":           {since.with(Choice{Since: at(9)}), []int{9, 10, 11, 20, 30}},
		"a later one adds nothing": {since.with(Choice{Since: at(11)}), []int{10, 11, 20, 30}},
		"again after the end":      {since.until(at(20)).with(Choice{Since: at(30)}), []int{10, 11, 20, 30}},
	} {
		for _, s := range []int{0, 9, 10, 11, 20, 30} {
			want := false
			for _, n := range row.dead {
				want = want || n == s
			}
			if got := row.d.dead(Credential{Kind: KindToken, Created: at(s)}); got != want {
				t.Errorf("%s: a token made at %d: %v", name, s, got)
			}
		}
	}
}

// A containment takes the tokens with it that were made since, or all where one was used; its end
// brings none of them back.
func TestContainmentTakesTokens(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	for _, usedIt := range []bool{false, true} {
		f, p := withProvider(t, laxLimits())
		old := p.Token("alice@local.test", nil)
		session, err := f.SignInByToken(ctx, "alice@local.test", old, toRead(home()))
		if err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Minute)
		c := Containment{Freeze: "misused", ReadsOn: true, Revoke: Choice{Since: f.clock.Now()}}
		if usedIt {
			c.Revoke.IDs = []string{TokenID}
		}
		young := p.Token("alice@local.test", nil)
		if _, _, err := f.Contain(ctx, alice, c, nothingTold); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Minute)
		late := p.Token("alice@local.test", nil)
		check := func(when, token string, reads, sends bool) {
			t.Helper()
			for _, peer := range []Peer{home(), toRead(home())} {
				want := sends && peer.For == ScopeSend || reads && peer.For == ScopeReceive
				if _, err := f.SignInByToken(ctx, "alice@local.test", token, peer); (err == nil) != want || err != nil && Reply(err).Code != 535 {
					t.Errorf("used %v, %s, to %s: %v", usedIt, when, peer.For, err)
				}
			}
		}
		check("a token from before", old, !usedIt, false)
		check("one made since", young, false, false)
		check("one made meanwhile", late, false, false)
		if why := f.Fallen(session); (why == "") != !usedIt {
			t.Errorf("used %v: the session is told %q", usedIt, why)
		}
		if _, err := f.Thaw(ctx, alice, nil); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Second)
		check("a token from before, after the end", old, !usedIt, !usedIt)
		check("one made since, after the end", young, false, false)
		check("one made meanwhile, after the end", late, false, false)
		check("a new one", p.Token("alice@local.test", nil), true, true)
		again := open(t, f.st, Options{Limits: laxLimits()})
		if r := again.record(alice.Key()); r.tokens != f.record(alice.Key()).tokens || !r.tokens.Any {
			t.Errorf("after a start: %+v", r.tokens)
		}
	}
}

// A certificate of which a partner doesn't say which it was stands for all of the account.
func TestAnyCertificateIsAll(t *testing.T) {
	c := Choice{IDs: []string{AnyCertificate}}
	for kind, want := range map[Kind]bool{KindCertificate: true, KindApp: false, KindPassword: false, KindUnknown: false} {
		if got := c.Has(Credential{ID: "x1", Kind: kind}); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
