package accounts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// leafOf makes a certificate of a new key, changed by change.
func leafOf(t testing.TB, now time.Time, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return leafOfKey(t, key, now, change)
}

func leafOfKey(t testing.TB, key *ecdsa.PrivateKey, now time.Time, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bob@local.test"}, EmailAddresses: []string{"bob@local.test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// showing is a peer that shows certificates in TLS.
func showing(t testing.TB, chain ...*x509.Certificate) Peer {
	p, state := home(), exporterState(t)
	state.PeerCertificates = chain
	p.TLS = &state
	return p
}

func (f *fixture) enroll(t testing.TB, who string, d Device) Credential {
	t.Helper()
	if d.Scope == 0 {
		d.Scope = ScopeAll
	}
	c, err := f.Enroll(context.Background(), address(t, who), d, nothingTold1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every form of an identity that clients send, and what EXTERNAL says to it.
func TestExternal(t *testing.T) {
	f := withAlice(t, cheapLimits())
	leaf := leafOf(t, f.clock.Now(), nil)
	laptop := f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	for identity, want := range map[string]string{
		"": "235", "alice@local.test": "235", "ALICE@Local.Test": "235",
		"bob@local.test": "535 5.7.8 this certificate belongs to another account than the user name says; set no user name, or the account's full address",
		"alice":          "535 5.7.8 this certificate belongs", "alice@local.test\x00": "535", "\xff": "535",
	} {
		for _, responses := range [][][]byte{{[]byte(identity)}, {nil, []byte(identity)}} {
			got, x := say(f.Identity, showing(t, leaf), MechExternal, responses...)
			if got = strings.TrimPrefix(got, "334 \n"); !strings.HasPrefix(got, want) {
				t.Errorf("%q: %s, want %s", identity, got, want)
			}
			proof, ok := x.Proof()
			if ok != (want == "235") || ok && (proof.CredentialIDs() != laptop.ID || proof.Address.String() != "alice@local.test") {
				t.Errorf("%q: %+v, %v", identity, proof, ok)
			}
		}
	}
}

// EXTERNAL is offered, and taken, only where the certificate is good for an account now; the
// other mechanisms always are.
func TestWhoIsOfferedExternal(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, cheapLimits())
	now := f.clock.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := leafOfKey(t, key, now, nil)
	laptop := f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: good})
	with := func(change func(*x509.Certificate)) Peer { return showing(t, leafOfKey(t, key, now, change)) }
	check := func(what string, p Peer, want bool) {
		t.Helper()
		offered := f.Offered(p, false)
		if got := slices.Contains(offered, MechExternal); got != want {
			t.Errorf("%s: offered %v", what, got)
		}
		if !slices.Contains(offered, MechPlain) || !slices.Contains(offered, MechLogin) || !slices.Contains(offered, MechScram) {
			t.Errorf("%s: %v", what, offered)
		}
		if _, err := f.Begin(MechExternal, p); (err == nil) != want || err != nil && Reply(err).Code != 504 {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("an enrolled one", showing(t, good), true)
	check("a renewed one of the same key", with(func(c *x509.Certificate) { c.SerialNumber, c.NotAfter = big.NewInt(9), now.AddDate(1, 0, 0) }), true)
	check("behind it an authority", showing(t, good, leafOf(t, now, nil)), true)
	check("none", home(), false)
	check("a stranger's", showing(t, leafOf(t, now, nil)), false)
	check("a stranger's before an enrolled one", showing(t, leafOf(t, now, nil), good), false)
	check("one that ended", with(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(0, 0, -9), now.Add(-time.Second) }), false)
	check("one that has not begun", with(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), false)
	check("a server's", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false)
	check("of any use", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), true)
	check("of no stated use", with(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), true)
	check("one to encrypt with", with(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), false)
	check("one that says it is an authority, as openssl req makes them", with(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), true)

	x, err := f.Begin(MechExternal, showing(t, good))
	if err != nil {
		t.Fatal(err)
	}
	proof, ok := signedIn(t, x)
	if !ok || f.Fallen(proof) != "" {
		t.Fatalf("%+v", proof)
	}
	again := open(t, f.st, Options{Limits: cheapLimits()})
	if !slices.Contains(again.Offered(showing(t, good), false), MechExternal) {
		t.Error("an enrolment is lost at a restart")
	}
	if _, err := f.Freeze(ctx, alice, "hijacked", nil); err != nil {
		t.Fatal(err)
	}
	check("a frozen account's", showing(t, good), false)
	if _, err := f.Thaw(ctx, alice, nil); err != nil {
		t.Fatal(err)
	}
	check("a thawed account's", showing(t, good), true)
	late, err := f.Begin(MechExternal, showing(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(ctx, alice, Choice{IDs: []string{laptop.ID}}, nothingTold); err != nil {
		t.Fatal(err)
	}
	check("a revoked one", showing(t, good), false)
	if _, ok := signedIn(t, late); ok || f.Fallen(proof) == "" {
		t.Error("a revocation during the exchange, or of a live session, does not hold")
	}
	if err := f.Adjust(cheapLimits(), []string{MechPlain, MechLogin, MechScram}); err != nil {
		t.Fatal(err)
	}
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: good})
	check("where it is not to be offered", showing(t, good), false)
}

func signedIn(t *testing.T, x *Exchange) (Proof, bool) {
	t.Helper()
	if _, done, _ := x.Next(context.Background(), []byte{}); !done {
		t.Fatal("EXTERNAL is not done after one response")
	}
	return x.Proof()
}

// A key belongs to one account, and what cannot be used is not enrolled.
func TestEnrolmentsThatAreRefused(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, laxLimits())
	now := f.clock.Now()
	leaf := leafOf(t, now, nil)
	f.enroll(t, "bob@local.test", Device{Name: "laptop", Certificate: leaf})
	for name, c := range map[string]struct {
		d    Device
		want error
	}{
		"none":           {Device{Name: "x", Scope: ScopeAll}, ErrInvalid},
		"bob's":          {Device{Name: "x", Scope: ScopeAll, Certificate: leaf}, ErrExists},
		"one that ended": {Device{Name: "x", Scope: ScopeAll, Certificate: leafOf(t, now.AddDate(-1, 0, 0), nil)}, ErrInvalid},
		"without a name": {Device{Scope: ScopeAll, Certificate: leafOf(t, now, nil)}, ErrInvalid},
	} {
		if _, err := f.Enroll(ctx, alice, c.d, nothingTold1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := f.Remove(ctx, address(t, "bob@local.test"), nil); err != nil {
		t.Fatal(err)
	}
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
}

// Under both, neither the certificate nor a password opens anything alone, and both are what
// the session rests on; under certificate no password does.
func TestCertificatePolicies(t *testing.T) {
	ctx, alice := context.Background(), address(t, "alice@local.test")
	f := withAlice(t, laxLimits())
	leaf, bobs := leafOf(t, f.clock.Now(), nil), leafOf(t, f.clock.Now(), nil)
	laptop := f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	f.enroll(t, "bob@local.test", Device{Name: "laptop", Certificate: bobs})
	_, app := f.app(t, AppPassword{Name: "phone"})
	if _, err := f.SetPolicy(ctx, alice, PolicyBoth, true, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a certificate alone under both: %v", err)
	}
	if _, err := f.SetPolicy(ctx, alice, PolicyBoth, false, nil); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(f.Offered(showing(t, leaf), false), MechExternal) {
		t.Error("EXTERNAL is offered where a certificate is not enough")
	}
	for _, password := range []string{alicePassword, app} {
		for what, p := range map[string]Peer{"no certificate": home(), "bob's certificate": showing(t, bobs)} {
			wantFailure(t, what, f.signIn("alice@local.test", password, p), ErrBadCredentials, RuleCertificate)
			_, err := scramIn(t, f, password, p)
			wantFailure(t, what+" by SCRAM", err, ErrBadCredentials, RuleCertificate)
		}
		proof, err := f.SignIn(ctx, "alice@local.test", password, showing(t, leaf))
		if err != nil || len(proof.Credentials) != 2 || proof.Credentials[1].ID != laptop.ID {
			t.Errorf("%+v, %v", proof, err)
		}
	}
	proof, err := scramIn(t, f, alicePassword, showing(t, leaf))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(ctx, alice, Choice{IDs: []string{laptop.ID}}, nothingTold); err != nil || f.Fallen(proof) == "" {
		t.Errorf("%v; a session outlives the certificate that it needed", err)
	}
	wantFailure(t, "a revoked certificate", f.signIn("alice@local.test", alicePassword, showing(t, leaf)), ErrBadCredentials, RuleCertificate)

	if _, err := f.SetPolicy(ctx, alice, PolicyCertificate, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{alicePassword, app} {
		wantFailure(t, "a password", f.signIn("alice@local.test", password, showing(t, leaf)), ErrBadCredentials, RulePolicy)
	}
	laptop = f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	if !slices.Contains(f.Offered(showing(t, leaf), false), MechExternal) {
		t.Error("EXTERNAL is not offered")
	}
	if _, ok := f.Unasked(ctx, showing(t, leaf)); ok {
		t.Error("signed in without AUTH, unasked for")
	}
	if _, err := f.SetPolicy(ctx, alice, PolicyCertificate, true, nil); err != nil {
		t.Fatal(err)
	}
	if proof, ok := f.Unasked(ctx, showing(t, leaf)); !ok || proof.CredentialIDs() != laptop.ID {
		t.Errorf("%+v, %v", proof, ok)
	}
	if _, ok := f.Unasked(ctx, showing(t, bobs)); ok {
		t.Error("bob is signed in without AUTH")
	}
	reader := showing(t, leaf)
	reader.For = 0
	if _, ok := f.Unasked(ctx, reader); ok {
		t.Error("signed in for nothing")
	}
}

// Whatever responses come, EXTERNAL ends within three, and lets in the account whose
// certificate was shown or nobody.
func TestExternalLetsNobodyElseIn(t *testing.T) {
	f := withAlice(t, laxLimits())
	leaf := leafOf(t, f.clock.Now(), nil)
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	peer := showing(t, leaf)
	rapid.Check(t, func(r *rapid.T) {
		x, err := f.Begin("external", peer)
		if err != nil {
			r.Fatal(err)
		}
		word := rapid.OneOf(rapid.SampledFrom([]string{"", "alice@local.test", "bob@local.test", "=", "*", "\x00alice@local.test\x00" + alicePassword}), rapid.String())
		if rapid.Bool().Draw(r, "waits") {
			if challenge, done, err := x.Next(context.Background(), nil); done || len(challenge) != 0 || err != nil {
				r.Fatalf("%q %v %v", challenge, done, err)
			}
		}
		said := word.Draw(r, "identity")
		_, done, err := x.Next(context.Background(), []byte(said))
		proof, in := x.Proof()
		if !done || in != (err == nil) || in && proof.Address.String() != "alice@local.test" || in && !(said == "" || strings.EqualFold(said, "alice@local.test")) {
			r.Fatalf("%q: %v %v %+v", said, done, err, proof)
		}
		if _, _, err := x.Next(context.Background(), []byte{}); err == nil {
			r.Fatal("an exchange goes on after its end")
		}
	})
}

// A certificate that takes the place of another one ends its enrolment, after a while in which
// both sign in; what a key is worth follows from enrolment, account and time.
func TestAnEnrolmentTakesThePlaceOfAnother(t *testing.T) {
	f := withAlice(t, laxLimits())
	alice := address(t, "alice@local.test")
	first, second := leafOf(t, f.clock.Now(), nil), leafOf(t, f.clock.Now(), nil)
	old := f.enroll(t, "alice@local.test", Device{Name: "phone", Certificate: first})
	until := f.clock.Now().Add(time.Hour)
	if _, err := f.Enroll(t.Context(), alice, Device{Name: "phone-2", Certificate: second, Scope: ScopeAll, Replaces: "cert0", Until: until}, func(Credential) [][]byte { return nil }); !errors.Is(err, ErrNoSuch) {
		t.Errorf("in the place of none: %v", err)
	}
	next := f.enroll(t, "alice@local.test", Device{Name: "phone-2", Certificate: second, Replaces: old.ID, Until: until})
	all, err := f.Credentials(alice)
	if err != nil || len(all) != 3 || !all[1].Expires.Equal(until) || all[1].ReplacedBy != next.ID || all[2].Certificate.NotAfter.IsZero() {
		t.Fatalf("%+v, %v", all, err)
	}
	if ends := f.Ends(alice); !ends[old.ID].Equal(until) || !ends[next.ID].Equal(second.NotAfter) || len(ends) != 2 {
		t.Errorf("they end at %v", ends)
	}
	worth := func(c *x509.Certificate, want Holding) {
		t.Helper()
		if got := f.Holding(keyOfCertificate(c).index()); got != want {
			t.Errorf("a key is worth %d, want %d", got, want)
		}
	}
	worth(first, HoldingGood)
	worth(leafOf(t, f.clock.Now(), nil), HoldingNone)
	f.clock.advance(time.Hour)
	worth(first, HoldingEnded)
	worth(second, HoldingGood)
	if _, err := f.Freeze(t.Context(), alice, "stolen", nil); err != nil {
		t.Fatal(err)
	}
	worth(second, HoldingFrozen)
}
