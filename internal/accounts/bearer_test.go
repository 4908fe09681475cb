package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/oidc"
	"sallyport/internal/oidc/oidctest"
	"sallyport/internal/store/mem"
)

// nobody is a provider that cannot be reached.
func nobody(t testing.TB, now func() time.Time) *oidc.Judge {
	return judgeOf(t, "https://login.example", now, func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is dialled") })
}

func judgeOf(t testing.TB, issuer string, now func() time.Time, dial func(context.Context, string, string) (net.Conn, error)) *oidc.Judge {
	t.Helper()
	j, err := oidc.New(oidc.Provider{Issuer: issuer, Audience: oidctest.Audience, Scope: oidctest.Scope, Clients: []string{oidctest.Client}, Claim: "email"},
		oidc.Means{Limits: oidc.DefaultLimits(), Now: now, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// withProvider has alice and bob, and a provider that knows them.
func withProvider(t *testing.T, l Limits) (*fixture, *oidctest.Provider) {
	t.Helper()
	var judge *oidc.Judge
	f := open(t, mem.New(), Options{Limits: l, Provider: func() *oidc.Judge { return judge }})
	f.add(t, "alice@local.test", alicePassword)
	f.add(t, "bob@local.test", "builder builder builder")
	p := oidctest.New(t, f.clock.Now)
	judge = judgeOf(t, p.URL, f.clock.Now, (&net.Dialer{}).DialContext)
	return f, p
}

func xoauth2Of(user, token string) []byte {
	return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

func bearerFor(user, token string) []byte {
	return []byte("n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",\x01host=mx\x01port=587\x01auth=Bearer " + token + "\x01\x01")
}

// A good token signs in by both mechanisms, with or without an initial response, and the session
// ends with the token.
func TestTokensSignIn(t *testing.T) {
	f, p := withProvider(t, cheapLimits())
	token := p.Token("alice@local.test", nil)
	for _, row := range []struct {
		mech      string
		responses [][]byte
	}{
		{MechXOAuth2, [][]byte{xoauth2Of("alice@local.test", token)}},
		{MechXOAuth2, [][]byte{nil, xoauth2Of("Alice@LOCAL.test", token)}},
		{MechXOAuth2, [][]byte{xoauth2Of("", token)}},
		{MechBearer, [][]byte{bearerFor("alice@local.test", token)}},
		{MechBearer, [][]byte{nil, bearerFor("alice@local.test", token)}},
		{MechBearer, [][]byte{[]byte("n,,\x01auth=bearer  " + token + "\x01\x01")}},
	} {
		_, x := say(f.Identity, home(), row.mech, row.responses...)
		proof, ok := x.Proof()
		if !ok || proof.Address.String() != "alice@local.test" || proof.Credentials[0].Kind != KindToken ||
			proof.CredentialIDs() != "token" || proof.Ends.Sub(f.clock.Now()) != time.Hour {
			t.Errorf("%s: %+v, %+v", row.mech, proof, x.Attempt())
			continue
		}
		if a := x.Attempt(); a.Rule != RuleSignedIn || a.Why != "the access token was right" {
			t.Errorf("%+v", a)
		}
		if why := f.Fallen(proof); why != "" {
			t.Error(why)
		}
	}
	_, x := say(f.Identity, home(), MechXOAuth2, xoauth2Of("alice@local.test", token))
	proof, _ := x.Proof()
	f.clock.advance(time.Hour)
	if why := f.Fallen(proof); why != "the time of the access token of the sign-in is over" {
		t.Errorf("%q", why)
	}
}

// What is refused, how it is told to the client, and how to the trace.
func TestTokensThatAreRefused(t *testing.T) {
	f, p := withProvider(t, laxLimits())
	say(f.Identity, home(), MechXOAuth2, xoauth2Of("alice@local.test", p.Token("alice@local.test", nil))) // the keys are known
	for name, row := range map[string]struct {
		user, token string
		rule        Rule
		code        int
	}{
		"somebody else's":      {"bob@local.test", p.Token("alice@local.test", nil), RuleNotOfIt, 535},
		"another audience":     {"alice@local.test", p.Token("alice@local.test", map[string]any{"aud": "x"}), RuleToken, 535},
		"nobody's account":     {"carol@local.test", p.Token("carol@local.test", nil), RuleNoAccount, 535},
		"no address":           {"alice", p.Token("alice@local.test", nil), RuleNoAddress, 535},
		"a made-up one":        {"alice@local.test", "x", RuleToken, 535},
		"the key is not known": {"alice@local.test", p.Strange("alice@local.test", "k"), RuleProvider, 454},
	} {
		for n, mech := range []string{MechXOAuth2, MechBearer} {
			if n == 1 && row.rule == RuleNotOfIt {
				row.rule = RuleToken // the same refused token again
			}
			message := xoauth2Of(row.user, row.token)
			if mech == MechBearer {
				message = bearerFor(row.user, row.token)
			}
			x, err := f.Begin(mech, home())
			if err != nil {
				t.Fatal(err)
			}
			challenge, done, err := x.Next(t.Context(), message)
			if told := mech == MechBearer && row.code == 535; told != !done {
				t.Errorf("%s, %s: done %v", name, mech, done)
			} else if told {
				var said struct{ Status, Scope string }
				if json.Unmarshal(challenge, &said) != nil || said.Status != "invalid_token" || said.Scope != oidctest.Scope {
					t.Errorf("%s: challenged with %s", name, challenge)
				}
				_, done, err = x.Next(t.Context(), []byte{1})
			}
			if _, in := x.Proof(); !done || in || Reply(err).Code != row.code || x.Attempt().Rule != row.rule {
				t.Errorf("%s, %s: %v, %+v", name, mech, err, x.Attempt())
			}
			if a := x.Attempt(); len(row.token) > 10 && strings.Contains(a.Why+a.User+fmt.Sprint(err), row.token) {
				t.Errorf("%s: the token is told", name)
			}
		}
	}
	for _, message := range []string{"", "user=a@b.test\x01auth=Bearer t", "auth=Bearer t\x01\x01", "user=a@b.test\x01auth=Basic t\x01\x01", "user=a@b.test\x01auth=Bearer a b\x01\x01", "user=a@b.test\x01auth=Bearer \x01\x01"} {
		_, x := say(f.Identity, home(), MechXOAuth2, []byte(message))
		if x.Attempt().Rule != RuleMalformed {
			t.Errorf("%q: %+v", message, x.Attempt())
		}
	}
	for _, message := range []string{"", "n,,\x01auth=Bearer t\x01", "p=tls-exporter,,\x01auth=Bearer t\x01\x01", "n,b=x,\x01auth=Bearer t\x01\x01", "n,a=x=2,\x01auth=Bearer t\x01\x01", "n,a=,\x01auth=Bearer t\x01\x01",
		"n,,x\x01auth=Bearer t\x01\x01", "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01", "n,,\x01host\x01auth=Bearer t\x01\x01", "n,,\x01host=x\x01\x01"} {
		_, x := say(f.Identity, home(), MechBearer, []byte(message))
		if x.Attempt().Rule != RuleMalformed {
			t.Errorf("%q: %+v", message, x.Attempt())
		}
	}
}

// Freezes, policies and the end of an account hold whatever signs in.
func TestTokensObeyTheAccount(t *testing.T) {
	f, p := withProvider(t, laxLimits())
	in := func() (Proof, Rule) {
		_, x := say(f.Identity, home(), MechXOAuth2, xoauth2Of("alice@local.test", p.Token("alice@local.test", nil)))
		proof, _ := x.Proof()
		return proof, x.Attempt().Rule
	}
	proof, _ := in()
	for policy, rule := range map[Policy]Rule{PolicyToken: RuleSignedIn, PolicyAny: RuleSignedIn, PolicyApp: RulePolicy, PolicyPassword: RulePolicy, PolicyCertificate: RulePolicy, PolicyBoth: RulePolicy} {
		if _, err := f.SetPolicy(t.Context(), address(t, "alice@local.test"), policy, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, got := in(); got != rule {
			t.Errorf("%s: %s", policy, got)
		}
		if f.Fallen(proof) == "" {
			t.Errorf("%s: the session before goes on", policy)
		}
	}
}

// The same refused token again is no new guess, and the provider is not asked about it; other
// ones are bounded as passwords are, and do not keep the owner out at home.
func TestTokensAndGuesses(t *testing.T) {
	f, p := withProvider(t, cheapLimits())
	_, x := say(f.Identity, home(), MechXOAuth2, xoauth2Of("alice@local.test", p.Token("alice@local.test", nil)))
	if _, ok := x.Proof(); !ok {
		t.Fatalf("%+v", x.Attempt())
	}
	for range 40 {
		_, x := say(f.Identity, peerAt("198.51.100.7"), MechXOAuth2, xoauth2Of("alice@local.test", "old"))
		if got := x.Attempt(); got.Rule != RuleToken {
			t.Fatalf("%+v", got)
		}
	}
	limited := 0
	for n := range 40 {
		_, x := say(f.Identity, peerAt("198.51.100.7"), MechXOAuth2, xoauth2Of("alice@local.test", fmt.Sprint("guess", n)))
		if x.Attempt().Rule != RuleToken {
			limited++
		}
	}
	if limited < 20 {
		t.Errorf("%d of 40 guesses were held back", limited)
	}
	_, x = say(f.Identity, home(), MechXOAuth2, xoauth2Of("alice@local.test", p.Token("alice@local.test", nil)))
	if _, ok := x.Proof(); !ok {
		t.Errorf("the owner is kept out: %+v", x.Attempt())
	}
}

// Nobody guesses a token: who has a good one gets in from a network that has used up what guesses
// there may be. What is good for nothing is held back, as if nobody had looked at it.
func TestATokenGetsInBesideGuesses(t *testing.T) {
	f, p := withProvider(t, cheapLimits())
	there := peerAt("198.51.100.7")
	for n := range 40 {
		say(f.Identity, there, MechXOAuth2, xoauth2Of("alice@local.test", fmt.Sprint("guess", n)))
	}
	if rule := f.rule("alice@local.test", alicePassword, there); rule == RuleSignedIn {
		t.Fatal("the rates are not used up")
	}
	alice := address(t, "alice@local.test")
	before, _ := f.GuessedAt(alice)
	held := map[string]string{"somebody else's": p.Token("bob@local.test", nil), "another provider's": p.Strange("alice@local.test", "k1"), "none": "again"}
	for what, token := range held {
		if _, x := say(f.Identity, there, MechXOAuth2, xoauth2Of("alice@local.test", token)); !strings.HasSuffix(string(x.Attempt().Rule), "-rate") {
			t.Errorf("%s: %+v", what, x.Attempt())
		}
	}
	after, _ := f.GuessedAt(alice)
	if after.Refused != before.Refused+len(held) {
		t.Errorf("what is held back is not told of: %+v, then %+v", before, after)
	}
	old := p.Token("alice@local.test", map[string]any{"exp": f.clock.Now().Add(-time.Minute).Unix()})
	if _, x := say(f.Identity, there, MechXOAuth2, xoauth2Of("alice@local.test", old)); x.Attempt().Rule != RuleExpired {
		t.Errorf("one of yesterday: %+v", x.Attempt())
	}
	for mechanism, response := range map[string][]byte{
		MechXOAuth2: xoauth2Of("alice@local.test", p.Token("alice@local.test", nil)),
		MechBearer:  bearerFor("alice@local.test", p.Token("alice@local.test", nil)),
	} {
		if _, x := say(f.Identity, there, mechanism, response); x.Attempt().Rule != RuleSignedIn {
			t.Errorf("%s: a good token is held back: %+v", mechanism, x.Attempt())
		}
	}
	if last, _ := f.GuessedAt(alice); last.Refused != after.Refused {
		t.Errorf("good tokens count as guesses: %+v, then %+v", after, last)
	}
}

// A program that shows the token of yesterday guesses nothing: the account is not guessed at, and
// its rates are as they were. Neither does who shows another's.
func TestAnEndedTokenIsNoGuess(t *testing.T) {
	f, p := withProvider(t, cheapLimits())
	say(f.Identity, home(), MechXOAuth2, xoauth2Of("bob@local.test", p.Token("bob@local.test", nil))) // the keys are known
	for n := range 40 {
		old := p.Token("alice@local.test", map[string]any{"exp": f.clock.Now().Add(-time.Duration(n+1) * time.Minute).Unix()})
		_, x := say(f.Identity, peerAt("198.51.100.7"), MechXOAuth2, xoauth2Of("alice@local.test", old))
		if a := x.Attempt(); a.Rule != RuleExpired {
			t.Fatalf("%d: %+v", n, a)
		}
	}
	if _, guessed := f.GuessedAt(address(t, "alice@local.test")); guessed {
		t.Error("who shows an ended token is told of as guessing")
	}
	if rule := f.rule("alice@local.test", alicePassword, peerAt("198.51.100.7")); rule != RuleSignedIn {
		t.Errorf("ended tokens keep a right password out: %s", rule)
	}
	limited := 0
	for n := range 40 {
		old := p.Token("bob@local.test", map[string]any{"exp": f.clock.Now().Add(-time.Duration(n+1) * time.Minute).Unix()})
		_, x := say(f.Identity, peerAt("198.51.100.8"), MechXOAuth2, xoauth2Of("alice@local.test", old))
		if x.Attempt().Rule != RuleToken {
			limited++
		}
	}
	if limited < 20 {
		t.Errorf("%d of 40 ended tokens of somebody else were held back", limited)
	}
}

// Tokens are offered only where somebody judges them, and never in clear text.
func TestTokensAreOfferedWithAProvider(t *testing.T) {
	f, _ := withProvider(t, cheapLimits())
	if all := strings.Join(f.Offered(home(), false), " "); !strings.HasSuffix(all, "OAUTHBEARER XOAUTH2") {
		t.Errorf("offered: %s", all)
	}
	if all := f.Mechanisms(false, false); len(all) > 0 {
		t.Errorf("in clear text: %v", all)
	}
	without := withAlice(t, cheapLimits())
	if all := strings.Join(without.Offered(home(), false), " "); strings.Contains(all, "OAUTH") {
		t.Errorf("offered without a provider: %s", all)
	}
	if _, err := without.Begin(MechXOAuth2, home()); !errors.Is(err, ErrMechanism) {
		t.Errorf("%v", err)
	}
}

// What a client writes is read as it was meant; whatever else comes is read as nothing, or as
// something that would be written so.
func FuzzBearerMessage(f *testing.F) {
	f.Add("n,a=a=2Cb=3Dc@local.test,\x01host=mx\x01auth=Bearer t\x01\x01")
	f.Add("y,,\x01auth=bearer t\x01\x01")
	f.Add("n,a==,\x01auth=Bearer t\x01\x01")
	f.Fuzz(func(t *testing.T, text string) {
		user, token, ok := bearerMessage(text)
		if !ok {
			if user != "" && token != "" {
				t.Errorf("%q is nothing, and %q, %q", text, user, token)
			}
			return
		}
		if token == "" || strings.ContainsAny(token, "\x01 ") {
			t.Errorf("%q: token %q", text, token)
		}
		if user == "" {
			return
		}
		if u, tok, ok := bearerMessage(string(bearerFor(user, token))); !ok || u != user || tok != token {
			t.Errorf("%q: %q, %q read as %q, %q, %v", text, user, token, u, tok, ok)
		}
	})
}

// A token that is for sending alone reads no mailbox, and one for reading alone sends nothing.
func TestATokenForOneThing(t *testing.T) {
	var judge *oidc.Judge
	f := open(t, mem.New(), Options{Limits: laxLimits(), Provider: func() *oidc.Judge { return judge }})
	f.add(t, "alice@local.test", alicePassword)
	p := oidctest.New(t, f.clock.Now)
	var err error
	judge, err = oidc.New(oidc.Provider{Issuer: p.URL, Audience: oidctest.Audience, Scope: oidctest.Scope, ReadScope: "imap", Clients: []string{oidctest.Client}, Claim: "email"},
		oidc.Means{Limits: oidc.DefaultLimits(), Now: f.clock.Now, Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]Scope{oidctest.Scope: ScopeSend, "imap": ScopeReceive, "imap " + oidctest.Scope: ScopeAll} {
		token := p.Token("alice@local.test", map[string]any{"scope": scope})
		for _, to := range []Scope{ScopeSend, ScopeReceive} {
			peer := home()
			peer.For = to
			_, x := say(f.Identity, peer, MechXOAuth2, xoauth2Of("alice@local.test", token))
			proof, in := x.Proof()
			if in != (want&to != 0) {
				t.Errorf("%q to %s: signed in: %v, %+v", scope, to, in, x.Attempt())
			}
			if in && proof.Credentials[0].Scope != want {
				t.Errorf("%q is a credential for %s", scope, proof.Credentials[0].Scope)
			}
			if !in && x.Attempt().Rule != RuleScope {
				t.Errorf("%q to %s: rule %s", scope, to, x.Attempt().Rule)
			}
		}
	}
}

// A token that counts for nothing may count later. Tried again meanwhile it is no new guess, and it gets in soon after its time has
// come, and at once when the administrator has mended by what it is judged.
func TestARefusedTokenMayCountLater(t *testing.T) {
	var judge *oidc.Judge
	f := open(t, mem.New(), Options{Limits: cheapLimits(), Provider: func() *oidc.Judge { return judge }})
	f.add(t, "alice@local.test", alicePassword)
	p := oidctest.New(t, f.clock.Now)
	judge = judgeOf(t, p.URL, f.clock.Now, (&net.Dialer{}).DialContext)
	in := func(token string) Rule {
		_, x := say(f.Identity, peerAt("198.51.100.7"), MechXOAuth2, xoauth2Of("alice@local.test", token))
		return x.Attempt().Rule
	}
	later := func(d time.Duration) int64 { return f.clock.Now().Add(d).Unix() }
	early := p.Token("alice@local.test", map[string]any{"nbf": later(5 * time.Minute), "exp": later(24 * time.Hour)})
	for range 40 {
		if got := in(early); got != RuleToken {
			t.Fatalf("before its time: %s", got)
		}
	}
	f.clock.advance(DefaultLimits().DeniedFor)
	if got := in(early); got != RuleSignedIn {
		t.Errorf("in its time: %s", got)
	}
	foreign := p.Token("alice@local.test", map[string]any{"aud": "https://other.example.org", "exp": later(24 * time.Hour)})
	for range 12 {
		if got := in(foreign); got != RuleToken {
			t.Errorf("for somebody else: %s", got)
		}
		f.clock.advance(DefaultLimits().DeniedFor)
	}
	if r, guessed := f.GuessedAt(address(t, "alice@local.test")); guessed {
		t.Errorf("one token again and again is called guessing: %+v", r)
	}
	if got := in(foreign); got != RuleToken {
		t.Errorf("for somebody else: %s", got)
	}
	mended := judge.Provider()
	mended.Audience = "https://other.example.org"
	var err error
	if judge, err = oidc.New(mended, oidc.Means{Limits: oidc.DefaultLimits(), Now: f.clock.Now, Dial: (&net.Dialer{}).DialContext}); err != nil {
		t.Fatal(err)
	}
	if got := in(foreign); got != RuleSignedIn {
		t.Errorf("mended: %s", got)
	}
}
