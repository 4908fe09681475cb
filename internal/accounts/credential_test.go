package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/store"
)

// app gives alice an app password.
func (f *fixture) app(t testing.TB, want AppPassword) (Credential, string) {
	t.Helper()
	if want.Scope == 0 {
		want.Scope = ScopeAll
	}
	c, password, err := f.AddApp(context.Background(), address(t, "alice@local.test"), want, nothingTold1)
	if err != nil {
		t.Fatal(err)
	}
	return c, password
}

func nothingTold1(Credential) [][]byte    { return nil }
func nothingTold(_ []Credential) [][]byte { return nil }

// scramIn signs in by SCRAM-SHA-256.
func scramIn(t testing.TB, f *fixture, password string, p Peer) (Proof, error) {
	t.Helper()
	x, err := f.Begin(MechScram, p)
	if err != nil {
		t.Fatal(err)
	}
	c := scramClient(t, "alice@local.test", password).NewConversation()
	msg, _ := c.Step("")
	for {
		challenge, done, err := x.Next(context.Background(), []byte(msg))
		if done {
			proof, _ := x.Proof()
			return proof, err
		}
		if msg, err = c.Step(string(challenge)); err != nil {
			t.Fatal(err)
		}
	}
}

// Each app password opens the account by every mechanism, and the proof says which it was.
func TestAppPasswordsSignIn(t *testing.T) {
	f := withAlice(t, cheapLimits())
	phone, one := f.app(t, AppPassword{Name: "phone"})
	laptop, two := f.app(t, AppPassword{Name: "laptop"})
	if phone.ID == laptop.ID || one == two || len(one) != 27 || strings.ContainsAny(one, " \t") {
		t.Errorf("%v %q, %v %q", phone, one, laptop, two)
	}
	all, _ := f.Credentials(address(t, "alice@local.test"))
	for _, p := range []struct {
		password string
		want     Credential
	}{{one, phone}, {two, laptop}, {alicePassword, all[0]}} {
		plain, err := f.SignIn(context.Background(), "alice@local.test", p.password, home())
		if err != nil || plain.CredentialIDs() != p.want.ID || plain.Credentials[0].Kind != p.want.Kind {
			t.Errorf("PLAIN with %s: %v, %v", p.want.ID, plain.CredentialIDs(), err)
		}
		by, err := scramIn(t, f, p.password, home())
		if err != nil || by.CredentialIDs() != p.want.ID {
			t.Errorf("SCRAM with %s: %v, %v", p.want.ID, by.CredentialIDs(), err)
		}
	}
	for _, wrong := range []string{one + "x", strings.ToUpper(one), one[:26], ""} {
		if _, err := f.SignIn(context.Background(), "bob@local.test", one, home()); err == nil {
			t.Error("alice's app password opens bob's account")
		}
		if _, err := f.SignIn(context.Background(), "alice@local.test", wrong, peerN(3)); err == nil {
			t.Errorf("%q signs in", wrong)
		}
	}
	// All of it is kept.
	again := open(t, f.st, Options{Limits: cheapLimits()})
	if p, err := again.SignIn(context.Background(), "alice@local.test", two, home()); err != nil || p.CredentialIDs() != laptop.ID {
		t.Errorf("after a restart: %v, %v", p.CredentialIDs(), err)
	}
	if uses := again.LastUsed(address(t, "alice@local.test")); !uses[phone.ID].Equal(f.clock.Now()) || len(uses) != 3 {
		t.Errorf("last used: %v", uses)
	}
}

// An app password is found although guesses exhausted the rate, and costs no hash: nobody
// guesses one.
func TestAppPasswordsPassTheRates(t *testing.T) {
	l := cheapLimits()
	f := withAlice(t, l)
	_, password := f.app(t, AppPassword{Name: "phone"})
	var err error
	for n := range 200 {
		if err = f.signIn("alice@local.test", fmt.Sprintf("guess number %d", n), peerN(n)); errors.Is(err, ErrTooMany) {
			break
		}
	}
	wantFailure(t, "a flood of guesses", err, ErrTooMany, ruleOf(err))
	before := f.HashStats().Started
	if err := f.signIn("alice@local.test", password, peerAt("203.0.113.9")); err != nil {
		t.Errorf("PLAIN: %v", err)
	}
	if _, err := scramIn(t, f, password, peerAt("203.0.113.10")); err != nil {
		t.Errorf("SCRAM: %v", err)
	}
	if n := f.HashStats().Started - before; n != 0 {
		t.Errorf("%d hashes", n)
	}
}

// What bounds a credential bounds it at every sign-in, by every mechanism.
func TestBoundsOfAppPasswords(t *testing.T) {
	f := withAlice(t, laxLimits())
	_, reads := f.app(t, AppPassword{Name: "reader", Scope: ScopeReceive})
	_, office := f.app(t, AppPassword{Name: "scanner", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	_, brief := f.app(t, AppPassword{Name: "guest", Expires: f.clock.Now().Add(time.Hour)})
	office4in6 := home()
	office4in6.Remote = netip.MustParseAddr("::ffff:198.51.100.7")
	for _, c := range []struct {
		name, password string
		from           Peer
		rule           Rule
	}{
		{"a reader sends", reads, home(), RuleScope},
		{"a scanner elsewhere", office, home(), RuleNetwork},
		{"a scanner at its place", office, peerAt("198.51.100.7"), RuleNone},
		{"a scanner at its place, as IPv6", office, office4in6, RuleNone},
		{"a guest", brief, home(), RuleNone},
		{"a session for nothing", brief, Peer{Remote: home().Remote, TLS: home().TLS}, RuleScope},
		{"the password for nothing", alicePassword, Peer{Remote: home().Remote, TLS: home().TLS}, RuleScope},
	} {
		if err := f.signIn("alice@local.test", c.password, c.from); ruleOf(err) != c.rule || err != nil && Reply(err).Code != 535 {
			t.Errorf("%s by PLAIN: %v", c.name, err)
		}
		if _, err := scramIn(t, f, c.password, c.from); ruleOf(err) != c.rule || err != nil && Reply(err).Code != 535 {
			t.Errorf("%s by SCRAM: %v", c.name, err)
		}
	}
	proof, err := f.SignIn(context.Background(), "alice@local.test", brief, home())
	if err != nil || f.Fallen(proof) != "" {
		t.Fatalf("%v, %q", err, f.Fallen(proof))
	}
	f.clock.advance(time.Hour)
	wantFailure(t, "a guest who stays", f.signIn("alice@local.test", brief, home()), ErrBadCredentials, RuleExpired)
	if f.Fallen(proof) == "" {
		t.Error("a session outlives its credential")
	}
	reader := home()
	reader.For = ScopeReceive
	if err := f.signIn("alice@local.test", reads, reader); err != nil {
		t.Errorf("a reader reads: %v", err)
	}
}

// A policy holds for the password that was right before, and ends the sessions.
func TestPolicies(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, laxLimits())
	_, app := f.app(t, AppPassword{Name: "phone"})
	proof, err := f.SignIn(ctx, "alice@local.test", alicePassword, home())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetPolicy(ctx, alice, PolicyApp, false, nil); err != nil {
		t.Fatal(err)
	}
	if f.Fallen(proof) == "" {
		t.Error("a session outlives a change of policy")
	}
	wantFailure(t, "PLAIN with the password", f.signIn("alice@local.test", alicePassword, home()), ErrBadCredentials, RulePolicy)
	_, err = scramIn(t, f, alicePassword, home())
	wantFailure(t, "SCRAM with the password", err, ErrBadCredentials, RulePolicy)
	if err := f.signIn("alice@local.test", app, home()); err != nil {
		t.Errorf("an app password: %v", err)
	}
	if _, err := f.SetPolicy(ctx, alice, PolicyUnknown, false, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no policy: %v", err)
	}
	again := open(t, f.st, Options{Limits: laxLimits()})
	wantFailure(t, "after a restart", again.signIn("alice@local.test", alicePassword, home()), ErrBadCredentials, RulePolicy)
}

// Revoking ends what rests on a credential, at once, and nothing else; a new password is a
// new credential, which a choice of the old one does not name.
func TestRevoking(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, laxLimits())
	phone, one := f.app(t, AppPassword{Name: "phone"})
	f.clock.advance(time.Minute)
	_, two := f.app(t, AppPassword{Name: "laptop"})
	proofs := map[string]Proof{}
	for _, password := range []string{one, two, alicePassword} {
		p, err := f.SignIn(ctx, "alice@local.test", password, home())
		if err != nil {
			t.Fatal(err)
		}
		proofs[password] = p
	}
	standing := func() (s []bool) {
		for _, password := range []string{one, two, alicePassword} {
			s = append(s, f.Fallen(proofs[password]) == "")
		}
		return s
	}
	gone, err := f.Revoke(ctx, alice, Choice{IDs: []string{phone.ID}}, func(c []Credential) [][]byte { return [][]byte{[]byte("revoked " + c[0].ID)} })
	if err != nil || len(gone) != 1 || gone[0].ID != phone.ID || f.st.FactHead() != 1 {
		t.Fatalf("%v, %v, %d facts", gone, err, f.st.FactHead())
	}
	if got := standing(); !slices.Equal(got, []bool{false, true, true}) {
		t.Errorf("after the phone was revoked: %v", got)
	}
	wantFailure(t, "the phone", f.signIn("alice@local.test", one, home()), ErrBadCredentials, RuleBadPassword)

	if _, err := f.SetPassword(ctx, alice, "an entirely new one", nil); err != nil {
		t.Fatal(err)
	}
	if got := standing(); !slices.Equal(got, []bool{false, true, false}) {
		t.Errorf("after a new password: %v", got)
	}
	if _, err := scramIn(t, f, two, home()); err != nil {
		t.Errorf("the laptop by SCRAM, after a new password: %v", err)
	}
	if _, err := scramIn(t, f, "an entirely new one", home()); err != nil {
		t.Errorf("the new password by SCRAM: %v", err)
	}

	// All made since the laptop's, and the password is one of them.
	at := f.clock.Now()
	if gone, err = f.Revoke(ctx, alice, Choice{Since: at}, nothingTold); err != nil || len(gone) != 2 {
		t.Fatalf("%v, %v", gone, err)
	}
	for _, password := range []string{two, "an entirely new one", alicePassword} {
		if err := f.signIn("alice@local.test", password, home()); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%q: %v", password, err)
		}
		if _, err := scramIn(t, f, password, home()); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%q by SCRAM: %v", password, err)
		}
	}
	if all, _ := f.Credentials(alice); len(all) != 0 {
		t.Errorf("%v are left", all)
	}
	if _, err := f.SetPassword(ctx, alice, "the third of them all", nil); err != nil {
		t.Fatal(err)
	}
	if err := f.signIn("alice@local.test", "the third of them all", home()); err != nil {
		t.Errorf("a new password: %v", err)
	}
	if gone, err := f.Revoke(ctx, alice, Choice{}, nothingTold); err != nil || len(gone) != 0 {
		t.Errorf("no choice: %v, %v", gone, err)
	}
	if (Choice{}).Has(Credential{}) {
		t.Error("the zero choice chooses")
	}
}

// Freeze and revocation are one act, which no share of another room can undo.
func TestContainment(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, laxLimits())
	undoing := func(context.Context) (store.Share, error) {
		return store.Share{Mutations: []store.Mutation{{Key: accountKey(alice.Key()), Value: []byte("as before")}}}, nil
	}
	if _, _, err := f.Contain(ctx, alice, Containment{Freeze: "hijacked"}, nothingTold, undoing); !errors.Is(err, ErrInvalid) {
		t.Errorf("a share that would undo the freeze: %v", err)
	}
	if now, _ := f.Lookup(alice); now.Standing != StandingActive {
		t.Errorf("after a containment that failed: %+v", now)
	}
	acc, gone, err := f.Contain(ctx, alice, Containment{Freeze: "hijacked", Revoke: Choice{Since: time.Unix(1, 0)}}, nothingTold)
	if err != nil || acc.Standing != StandingFrozen || len(gone) != 1 || gone[0].Kind != KindPassword {
		t.Errorf("%+v, %v, %v", acc, gone, err)
	}
	if now, _ := f.Lookup(alice); now.FrozenReason != "hijacked" || !now.PasswordRevoked {
		t.Errorf("%+v", now)
	}
}

func TestAppPasswordsThatAreRefused(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	l := laxLimits()
	l.Credentials = 1
	f := withAlice(t, l)
	past := f.clock.Now()
	for name, want := range map[string]AppPassword{
		"no name": {Scope: ScopeAll}, "a long name": {Name: strings.Repeat("x", 65), Scope: ScopeAll}, "a name with a control": {Name: "a\x1bb", Scope: ScopeAll},
		"a name with a blank at its end": {Name: "phone ", Scope: ScopeAll}, "no scope": {Name: "x"}, "an odd scope": {Name: "x", Scope: 4},
		"an end in the past": {Name: "x", Scope: ScopeAll, Expires: past}, "no network": {Name: "x", Scope: ScopeAll, Networks: []netip.Prefix{{}}},
		"a network with host bits": {Name: "x", Scope: ScopeAll, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
		"too many networks":        {Name: "x", Scope: ScopeAll, Networks: make([]netip.Prefix, 33)},
	} {
		if _, _, err := f.AddApp(ctx, alice, want, nothingTold1); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := f.AddApp(ctx, address(t, "nobody@local.test"), AppPassword{Name: "x", Scope: ScopeAll}, nothingTold1); !errors.Is(err, ErrNoSuch) {
		t.Errorf("nobody: %v", err)
	}
	f.app(t, AppPassword{Name: "phone"})
	if _, _, err := f.AddApp(ctx, alice, AppPassword{Name: "other", Scope: ScopeAll}, nothingTold1); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	l.Credentials = 2
	if err := f.Adjust(l, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.AddApp(ctx, alice, AppPassword{Name: "Phone", Scope: ScopeAll}, nothingTold1); !errors.Is(err, ErrExists) {
		t.Errorf("the same name: %v", err)
	}
}

// While there are app passwords, another cost of SCRAM for new passwords does not lock them
// out, and the hash gets its new cost.
func TestANewCostKeepsAppPasswords(t *testing.T) {
	f := withAlice(t, laxLimits())
	_, app := f.app(t, AppPassword{Name: "phone"})
	l := laxLimits()
	l.ScramRounds, l.HashPasses = 5000, 2
	if err := f.Adjust(l, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{alicePassword, app} {
			if _, err := scramIn(t, f, password, home()); err != nil {
				t.Errorf("SCRAM: %v", err)
			}
		}
		f.clock.advance(time.Hour)
	}
	if got := f.record("alice@local.test").secret; got.Argon.Passes != 2 || got.Scram.Rounds != minScramRounds {
		t.Errorf("%d passes, %d rounds", got.Argon.Passes, got.Scram.Rounds)
	}
}
