package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sallyport/internal/oidc/oidctest"
)

type house struct {
	*testing.T
	p   *oidctest.Provider
	j   *Judge
	mu  sync.Mutex
	now time.Time
}

func newHouse(t *testing.T, change func(*Provider)) *house {
	t.Helper()
	h := &house{T: t, now: time.Now().Truncate(time.Second)}
	h.p = oidctest.New(t, h.clock)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(oidctest.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Provider{
		Issuer: h.p.URL, Audience: oidctest.Audience, Scope: oidctest.Scope, Clients: []string{oidctest.Client}, Claim: "email", Introspect: oidctest.Asker, SecretFile: secret,
	}
	if change != nil {
		change(&p)
	}
	j, err := New(p, Means{Limits: DefaultLimits(), Now: h.clock, Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	h.j = j
	return h
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// takes wants a token to be alice's.
func (h *house) takes(token string) {
	h.Helper()
	who, err := h.j.Token(h.Context(), token)
	if err != nil || who.Address.String() != "alice@example.org" || who.Client != oidctest.Client || !who.Ends.After(h.clock()) {
		h.Errorf("%+v, %v", who, err)
	}
}

// refuses wants a token to count for nothing, and nothing of it in the words.
func (h *house) refuses(token, words string) {
	h.Helper()
	who, err := h.j.Token(h.Context(), token)
	var no *Refused
	if !errors.As(err, &no) || !strings.Contains(no.Text, words) || who.Subject != "" {
		h.Errorf("%+v, %v; want %q", who, err, words)
	}
	if err != nil && len(token) > 20 && strings.Contains(err.Error(), token[len(token)-20:]) {
		h.Errorf("the token stands in %v", err)
	}
}

// away wants nobody to be able to tell.
func (h *house) away(token, words string) {
	h.Helper()
	_, err := h.j.Token(h.Context(), token)
	var away *Unavailable
	if !errors.As(err, &away) || !strings.Contains(away.Text, words) {
		h.Errorf("%v; want %q", err, words)
	}
}

func (h *house) asked(path string, want int) {
	h.Helper()
	if got := h.p.Asked(path); got != want {
		h.Errorf("%s was asked for %d times, want %d", path, got, want)
	}
}

// Everything that makes a token good, and what it is refused for without: once before anything
// is fetched, or by the signed claims.
func TestTokens(t *testing.T) {
	h := newHouse(t, nil)
	h.takes(h.p.Token("alice@example.org", nil))
	for name, more := range map[string]map[string]any{
		"a client of the older name":  {"azp": nil, "client_id": oidctest.Client},
		"a client of the other name":  {"azp": nil, "appid": oidctest.Client},
		"scopes as a list":            {"scope": nil, "scp": []string{"x", oidctest.Scope}},
		"scopes as a text":            {"scope": nil, "scp": "x " + oidctest.Scope},
		"scopes of Duende":            {"scope": []string{"openid", oidctest.Scope}},
		"the client of Okta":          {"azp": nil, "cid": oidctest.Client},
		"a cid beside the client":     {"cid": 7},
		"an address in a list":        {"email": []string{"alice@example.org"}},
		"one audience":                {"aud": oidctest.Audience},
		"verified in quotes":          {"email_verified": "true"},
		"the type of Keycloak":        {"typ": "Bearer"},
		"Keycloak before version 25":  {"typ": "Bearer", "nonce": "n"},
		"bound to no key":             {"cnf": nil},
		"a clock that is a bit ahead": {"nbf": h.clock().Add(30 * time.Second).Unix()},
	} {
		if _, err := h.j.Token(t.Context(), h.p.Token("alice@example.org", more)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for words, more := range map[string]map[string]any{
		"another issuer":          {"iss": "https://evil.example"},
		"it has ended":            {"exp": h.clock().Unix()},
		"its time has not come":   {"nbf": h.clock().Add(time.Hour).Unix()},
		"it names nobody":         {"sub": nil},
		"expected audience":       {"aud": []string{"https://else.example"}},
		"not among oidc.clients":  {"azp": "stranger"},
		"clients: \"\"":           {"azp": nil},
		"clients: \"stranger\"":   {"azp": nil, "cid": "stranger"},
		"it names two clients":    {"client_id": "other"},
		"a proof of its key":      {"cnf": map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
		"beside a proof":          {"typ": "Bearer", "cnf": map[string]string{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}},
		"it lacks the scope smtp": {"scope": "openid"},
		"has not verified":        {"email_verified": false},
		"email is no address":     {"email": "alice"},
		"its claim email is no":   {"email": []string{"alice@example.org", "bob@example.org"}},
		"its claims cannot be":    {"sub": 7},
	} {
		h.refuses(h.p.Token("alice@example.org", more), words)
	}
	for name, more := range map[string]map[string]any{
		"an ID token, by its type": {"typ": "ID"}, "a refresh token": {"typ": "Refresh"}, "an ID token, by its nonce": {"nonce": "n"}, "an ID token, by its hash": {"at_hash": "h"},
		"an ID token, by both": {"typ": "Bearer", "at_hash": "h", "nonce": "n"},
	} {
		t.Log(name)
		h.refuses(h.p.Token("alice@example.org", more), "it is no access token")
	}
	h.refuses(h.p.Token("alice@example.org", map[string]any{"email_verified": nil}), "has not verified")
	h.refuses(h.p.Token("alice@example.org", map[string]any{"exp": nil}), "it has ended")
	// What was good until its time was over says whose it was; whatever else is wrong with it is no token of anybody.
	old := h.p.Token("alice@example.org", map[string]any{"exp": h.clock().Add(-time.Hour).Unix()})
	for token, whose := range map[string]string{
		old: "alice@example.org", old[:len(old)-4] + "AAAA": "",
		h.p.Token("alice@example.org", map[string]any{"exp": nil}):                                                             "",
		h.p.Token("alice@example.org", map[string]any{"exp": h.clock().Add(-time.Hour).Unix(), "aud": "https://else.example"}): "",
		h.p.Strange("alice@example.org", "k"):                                                                                  "",
		h.p.Token("alice@example.org", map[string]any{"nbf": h.clock().Add(30 * time.Minute).Unix()}):                          "",
	} {
		_, err := h.j.Token(t.Context(), token)
		var no *Refused
		if errors.As(err, &no) && no.Ended.String() != whose || no == nil && whose != "" {
			t.Errorf("%v is of %q, want %q", err, no.Ended, whose)
		}
	}
	good := h.p.Token("alice@example.org", nil)
	h.refuses(good[:len(good)-4]+"AAAA", "its signature is wrong")
	h.refuses(h.p.Sign(h.p.Key(), "logout+jwt", h.p.Claims("alice@example.org", nil)), "its type is")
	h.takes(h.p.Sign(h.p.Key(), "", h.p.Claims("alice@example.org", nil)))
	h.refuses("", "it is no token")
	h.refuses("a b", "it is no token")
	h.refuses(strings.Repeat("a", 9000), "it is no token")
	// Forms that a header can have without a signature that counts.
	body := strings.Split(good, ".")[1]
	for head, words := range map[string]string{
		`{"alg":"none","kid":"key-1"}`: "it is signed with", `{"alg":"HS256","kid":"key-1"}`: "it is signed with",
		`{"alg":"ES256","kid":"key-1","crit":["x"]}`: "it demands extensions",
	} {
		h.refuses(base64.RawURLEncoding.EncodeToString([]byte(head))+"."+body+".AAAA", words)
	}
	h.asked("/keys", 1)
}

// A claim that is not the verified address is the administrator's choice.
func TestAnotherClaim(t *testing.T) {
	h := newHouse(t, func(p *Provider) { p.Claim = "upn" })
	h.takes(h.p.Token("bob@example.org", map[string]any{"upn": "alice@example.org", "email_verified": nil}))
	if got := h.j.Claimed(h.p.Token("bob@example.org", map[string]any{"upn": "alice@example.org"})); got != "alice@example.org" {
		t.Errorf("%q", got)
	}
	if got := h.j.Claimed("x"); got != "" {
		t.Errorf("%q", got)
	}
}

// What can be seen without a key is refused without anybody being asked.
func TestNothingIsFetchedForNothing(t *testing.T) {
	h := newHouse(t, nil)
	h.refuses(h.p.Token("alice@example.org", map[string]any{"iss": "https://evil.example"}), "another issuer")
	h.refuses(h.p.Token("alice@example.org", map[string]any{"exp": 1}), "it has ended")
	h.asked("/.well-known/openid-configuration", 0)
}

// Keys are rotated and withdrawn.
func TestKeysOfTheProvider(t *testing.T) {
	h := newHouse(t, nil)
	old := h.p.Token("alice@example.org", nil)
	h.takes(old)
	h.p.Rotate()
	next := h.p.Token("alice@example.org", nil)
	h.away(next, "a moment ago") // it was fetched just now; nobody knows
	h.wait(30 * time.Second)
	h.takes(next)
	h.takes(old)
	h.asked("/keys", 2)
	h.p.Withdraw()
	h.takes(old)
	h.wait(15 * time.Minute)
	h.refuses(old, "its key is none of the provider's")
	h.takes(next)
	h.asked("/keys", 3)
	// A provider that is down keeps nobody out for a while, and then everybody.
	h.p.Down(true)
	h.wait(15 * time.Minute)
	h.takes(next)
	h.wait(16 * time.Minute)
	h.away(h.p.Token("alice@example.org", nil), "503")
	h.p.Down(false)
	h.wait(30 * time.Second)
	h.takes(h.p.Token("alice@example.org", nil))
}

// A key that nobody here can read, or with a certificate that nobody can, takes nothing from the others. RFC 7517 §5
func TestKeysOfOtherKinds(t *testing.T) {
	for name, strange := range map[string]string{
		"a kind of tomorrow":   `{"kty":"AKP","alg":"ML-DSA-44","kid":"x","pub":"AAAA"}`,
		"to agree on a secret": `{"kty":"OKP","crv":"X25519","kid":"x","use":"enc","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`,
		"a curve of coins":     `{"kty":"EC","crv":"secp256k1","kid":"x","x":"AAAA","y":"AAAA"}`,
		"without a kind":       `{"kid":"x"}`,
		"half a key":           `{"kty":"RSA","kid":"x","e":"AQAB"}`,
		"no key":               `7`,
	} {
		h := newHouse(t, nil)
		own := h.key()
		h.p.Says("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `{"keys":[%s,%s]}`, strange, own) })
		t.Log(name)
		h.takes(h.p.Token("alice@example.org", nil))
	}
	h := newHouse(t, nil)
	own := strings.TrimSuffix(h.key(), "}")
	h.p.Says("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[%s,"x5c":["AAAA"],"x5t":"AAAA","x5u":"%%"}]}`, own)
	})
	h.takes(h.p.Token("alice@example.org", nil))
	h = newHouse(t, nil)
	h.p.Says("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"keys":[{"kty":"AKP","kid":"x"}]}`)
	})
	h.away(h.p.Token("alice@example.org", nil), "no key that signs")
}

// key is the public key that the provider signs with, as JSON.
func (h *house) key() string {
	h.Helper()
	k := h.p.Key()
	text, err := k.Public().MarshalJSON()
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}

// A token that names no key is of the only one that the provider has, whether that has an id or not; of several none is taken.
func TestTheOnlyKey(t *testing.T) {
	for _, id := range []string{"", "its name"} {
		h := newHouse(t, nil)
		now := h.p.NewKey(id)
		bare := func() string {
			return h.p.Sign(jose.JSONWebKey{Key: now.Key}, "at+jwt", h.p.Claims("alice@example.org", nil))
		}
		publish := func(more ...jose.JSONWebKey) {
			set := jose.JSONWebKeySet{Keys: append([]jose.JSONWebKey{now.Public()}, more...)}
			h.p.Says("/keys", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) })
		}
		publish()
		h.takes(bare())
		h.takes(bare())
		h.asked("/keys", 1)
		// It is rotated: nobody knows until the provider is asked again, and it is asked no sooner than for any other key.
		now = h.p.NewKey(id)
		publish()
		h.away(bare(), "a moment ago")
		h.wait(30 * time.Second)
		h.takes(bare())
		h.asked("/keys", 2)
		h.wait(30 * time.Second)
		h.refuses(bare()[:len(bare())-4]+"AAAA", "its signature is wrong")
		h.asked("/keys", 3)
		other := h.p.NewKey("another")
		publish(other.Public())
		h.wait(15 * time.Minute)
		h.refuses(bare(), "the provider has several")
	}
}

// A flood of made-up keys is answered from memory, and disturbs nobody whose key is known.
func TestAFloodOfUnknownKeys(t *testing.T) {
	h := newHouse(t, nil)
	good := h.p.Token("alice@example.org", nil)
	h.takes(good)
	var flood sync.WaitGroup
	for n := range 8 {
		flood.Go(func() {
			for i := range 25 {
				if _, err := h.j.Token(t.Context(), h.p.Strange("alice@example.org", fmt.Sprintf("made-up-%d-%d", n, i))); err == nil {
					t.Error("taken")
				}
			}
		})
	}
	for range 100 {
		h.takes(good)
	}
	flood.Wait()
	h.asked("/keys", 1)
	h.wait(30 * time.Second)
	h.refuses(h.p.Strange("alice@example.org", "again"), "its key is none of the provider's")
	h.away(h.p.Strange("alice@example.org", "and again"), "a moment ago")
	h.asked("/keys", 2)
	h.asked("/.well-known/openid-configuration", 2)
}

// A key with a known id that is not the provider's own proves nothing.
func TestAForgedKey(t *testing.T) {
	h := newHouse(t, nil)
	h.refuses(h.p.Strange("alice@example.org", "key-1"), "its signature is wrong")
}

// Tokens that are no JWT are asked about, once in a while, and remembered either way.
func TestIntrospection(t *testing.T) {
	h := newHouse(t, nil)
	h.takes(h.p.Opaque("opaque-1", "alice@example.org", map[string]any{"iss": nil}))
	h.takes("opaque-1")
	h.asked("/introspect", 1)
	h.wait(time.Minute)
	h.takes("opaque-1")
	h.asked("/introspect", 2)
	h.refuses("made-up", "good for nothing")
	h.refuses("made-up", "good for nothing")
	h.asked("/introspect", 3)
	for token, asks := range map[string]bool{"opaque-1": false, "made-up": false, "opaque-2": true, h.p.Token("alice@example.org", nil): false, h.p.Strange("alice@example.org", "k"): false, "": false, "a b": false} {
		if h.j.Asks(token) != asks {
			t.Errorf("%.20q: the provider is asked: %v", token, !asks)
		}
	}
	h.refuses(h.p.Opaque("opaque-2", "alice@example.org", map[string]any{"scope": "openid"}), "it lacks the scope")
	h.refuses(h.p.Opaque("opaque-3", "alice@example.org", map[string]any{"iss": "https://evil.example"}), "another issuer")
	h.p.Down(true)
	h.away("opaque-4", "it answers 503")
	h.asked("/.well-known/openid-configuration", 1)
	stranger := newHouse(t, func(p *Provider) { p.Introspect = "nobody" })
	stranger.away("opaque-1", "it answers 401 invalid_client (client authentication failed)")
	without := newHouse(t, func(p *Provider) { p.Introspect, p.SecretFile = "", "" })
	without.refuses("opaque-1", "it is no JWT")
	if without.j.Asks("opaque-1") {
		t.Error("nobody is to be asked")
	}
}

// As many tokens are asked about at once as may be, and no more.
func TestQuestionsAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	for range cap(h.j.asking) {
		h.j.asking <- struct{}{}
	}
	h.away("opaque", "at once")
	h.asked("/introspect", 0)
}

func TestProvidersThatAreRefused(t *testing.T) {
	good := Provider{Issuer: "https://login.example", Audience: "a", Scope: "s", Clients: []string{"c"}, Claim: "email"}
	means := Means{Limits: DefaultLimits(), Now: time.Now, Dial: (&net.Dialer{}).DialContext}
	for name, change := range map[string]func(*Provider, *Means){
		"clear text":   func(p *Provider, _ *Means) { p.Issuer = "http://login.example" },
		"no issuer":    func(p *Provider, _ *Means) { p.Issuer = "" },
		"no audience":  func(p *Provider, _ *Means) { p.Audience = "" },
		"no scope":     func(p *Provider, _ *Means) { p.Scope = "" },
		"no client":    func(p *Provider, _ *Means) { p.Clients = nil },
		"no claim":     func(p *Provider, _ *Means) { p.Claim = "" },
		"no secret":    func(p *Provider, _ *Means) { p.Introspect = "us" },
		"no authority": func(p *Provider, _ *Means) { p.CA = "/nowhere" },
		"no bounds":    func(_ *Provider, m *Means) { m.Limits = Limits{} },
		"no clock":     func(_ *Provider, m *Means) { m.Now = nil },
		"no dialer":    func(_ *Provider, m *Means) { m.Dial = nil },
	} {
		p, m := good, means
		change(&p, &m)
		if j, err := New(p, m); j != nil || err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(good, means); err != nil {
		t.Error(err)
	}
}

// A provider that is another than it is asked as, or that has no key, is none.
func TestReach(t *testing.T) {
	h := newHouse(t, nil)
	if err := h.j.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	other := newHouse(t, func(p *Provider) { p.Issuer += "/realm" })
	if err := other.j.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.j.Reach(ctx); err == nil {
		t.Error("it was reached by nobody")
	}
}

// No text, however it is made, is taken, and none brings the reader to an end.
func FuzzToken(f *testing.F) {
	f.Add("a.b.c")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://login.example","exp":99999999999,"aud":"a","email_verified":true}`)) + ".AAAA")
	f.Add(strings.Repeat(".", 100))
	fails := errors.New("nobody is dialled")
	j, err := New(Provider{Issuer: "https://login.example", Audience: "a", Scope: "s", Clients: []string{"c"}, Claim: "email"},
		Means{Limits: DefaultLimits(), Now: time.Now, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, fails }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := j.Token(t.Context(), token); err == nil || who.Subject != "" {
			t.Errorf("taken: %q", token)
		}
		j.Claimed(token)
	})
}
