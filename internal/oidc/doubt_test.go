package oidc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"sallyport/internal/oidc/oidctest"
)

// Keys that are published for another use, without an id, or that are no public keys, verify
// nothing; and of too many the rest is left out.
func TestKeysThatVerifyNothing(t *testing.T) {
	h := newHouse(t, nil)
	encrypts, nameless := h.p.NewKey("encrypts"), h.p.NewKey("")
	encrypts.Use = "enc"
	anyUse := h.p.NewKey("any-use")
	anyUse.Use = ""
	h.p.Publish(encrypts, nameless, anyUse, jose.JSONWebKey{Key: []byte("a secret that everybody can read"), KeyID: "secret", Algorithm: "HS256", Use: "sig"})
	claims := h.p.Claims("alice@example.org", nil)
	h.takes(h.p.Sign(anyUse, "at+jwt", claims))
	h.away(h.p.Sign(encrypts, "at+jwt", claims), "none of the provider's")
	h.refuses(h.p.Sign(nameless, "at+jwt", claims), "it names no key")
	if n := len(h.j.keys.all); n != 2 {
		t.Errorf("%d keys count, want the one of any use and the one that signs", n)
	}
	if _, ok := h.j.keys.all["secret"]; ok {
		t.Error("a secret is taken for a key that signs")
	}
	crowded := newHouse(t, nil)
	most := DefaultLimits().Keys
	many := make([]jose.JSONWebKey, most)
	for n := range many {
		many[n] = crowded.p.NewKey(fmt.Sprint("many-", n))
	}
	crowded.p.Publish(many...)
	crowded.takes(crowded.p.Sign(many[most-1], "at+jwt", crowded.p.Claims("alice@example.org", nil)))
	// Of one that was left out nobody can tell, and the administrator is told why.
	crowded.away(crowded.p.Token("alice@example.org", nil), fmt.Sprintf("none of the %d of the provider's that are taken, and the provider has more", most))
	crowded.wait(DefaultLimits().Rest)
	crowded.away(crowded.p.Strange("alice@example.org", "strange"), "and the provider has more")
}

// Keys of several kinds may have one id, each of which verifies what it signed; what none of them signed is refused. RFC 7517 §4.5
func TestKeysOfOneID(t *testing.T) {
	h := newHouse(t, nil)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	first, last := h.p.NewKey("2026"), h.p.NewKey("2026")
	h.p.Publish(first, jose.JSONWebKey{Key: private, KeyID: "2026", Algorithm: "RS256", Use: "sig"}, last)
	claims := h.p.Claims("alice@example.org", nil)
	h.takes(h.p.Sign(first, "at+jwt", claims))
	h.takes(h.p.Sign(last, "at+jwt", claims))
	h.takes(h.p.Token("alice@example.org", nil))
	h.refuses(h.p.Sign(h.p.NewKey("2026"), "at+jwt", claims), "its signature is wrong")
	crowded := newHouse(t, nil)
	many := make([]jose.JSONWebKey, mostAlike+1)
	for i := range many {
		many[i] = crowded.p.NewKey("2026")
	}
	crowded.p.Publish(many...)
	crowded.takes(crowded.p.Sign(many[mostAlike-1], "at+jwt", crowded.p.Claims("alice@example.org", nil)))
	crowded.refuses(crowded.p.Sign(many[mostAlike], "at+jwt", crowded.p.Claims("alice@example.org", nil)), "its signature is wrong")
}

// The bounds of a token, to the octet.
func TestBoundsOfATokensForm(t *testing.T) {
	h := newHouse(t, nil)
	most := DefaultLimits().Token
	h.refuses(strings.Repeat("a", most), "good for nothing")
	h.refuses(strings.Repeat("a", most+1), "it is no token")
	h.refuses("a\x7f", "it is no token")
	claims := h.p.Claims("alice@example.org", nil)
	long := h.p.NewKey(strings.Repeat("k", 256))
	h.away(h.p.Sign(long, "at+jwt", claims), "none of the provider's")
	long.KeyID += "k"
	h.refuses(h.p.Sign(long, "at+jwt", claims), "the name of its key is longer")
	good := strings.Split(h.p.Token("alice@example.org", nil), ".")
	h.refuses(good[0]+".!."+good[2], "its claims cannot be read")
	h.refuses(good[0]+"."+base64.RawURLEncoding.EncodeToString([]byte("[]"))+"."+good[2], "its claims cannot be read")
	// What is no header of a JWT is a token that says nothing by itself.
	for _, head := range []string{"!", "e30", base64.RawURLEncoding.EncodeToString([]byte("no json"))} {
		h.refuses(head+"."+good[1]+"."+good[2], "good for nothing")
	}
	// Two names of the client that are one.
	h.takes(h.p.Token("alice@example.org", map[string]any{"client_id": oidctest.Client, "appid": oidctest.Client}))
	h.refuses(h.p.Token("alice@example.org", map[string]any{"azp": nil, "client_id": oidctest.Client, "appid": "other"}), "it names two clients")
	h.refuses(h.p.Token("alice@example.org", map[string]any{"typ": "Other"}), "it is no access token")
	h.refuses(h.p.Opaque("for-others", "alice@example.org", map[string]any{"aud": "https://else.example"}), `it is for somebody else: "https://else.example"`)
	h.refuses(h.p.Opaque("twisted", "alice@example.org", map[string]any{"exp": "soon"}), "its claims cannot be read")
}

// What a provider can say wrong of itself is told to the operator, and signs nobody in.
func TestWhatAProviderSaysOfItself(t *testing.T) {
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	const description, keys = "/.well-known/openid-configuration", "/keys"
	for words, at := range map[string]struct {
		path string
		how  func(h *house) http.HandlerFunc
	}{
		"the provider has no key that signs": {keys, func(*house) http.HandlerFunc { return says(`{"keys":[]}`) }},
		"cannot be read":                     {keys, func(*house) http.HandlerFunc { return says(`nonsense`) }},
		"answers 404":                        {keys, func(*house) http.HandlerFunc { return http.NotFound }},
		"redirected elsewhere":               {keys, func(*house) http.HandlerFunc { return http.RedirectHandler("/else", http.StatusFound).ServeHTTP }},
		"jwks_uri is no https URL": {description, func(h *house) http.HandlerFunc {
			return says(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"http://keys.example/","introspection_endpoint":"%s/introspect"}`, h.p.URL, h.p.URL))
		}},
		"no introspection_endpoint with https": {description, func(h *house) http.HandlerFunc {
			return says(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/keys","introspection_endpoint":"http://asks.example/"}`, h.p.URL, h.p.URL))
		}},
		"the answer is larger than the limit allows": {keys, func(*house) http.HandlerFunc {
			return says(`{"keys":[{"x":"` + strings.Repeat("a", int(DefaultLimits().Answer)) + `"}]}`)
		}},
		"unable to read response body: the answer is larger than the limit allows": {description, func(*house) http.HandlerFunc {
			return says(`{"issuer":"` + strings.Repeat("a", int(DefaultLimits().Answer)) + `"}`)
		}},
	} {
		t.Run(words, func(t *testing.T) {
			h := newHouse(t, nil)
			h.p.Says(at.path, at.how(h))
			h.away(h.p.Token("alice@example.org", nil), words)
			if err := h.j.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v; want %q", err, words)
			}
		})
	}
}

// What goes wrong while a provider is asked about a token is nobody's refusal.
func TestQuestionsThatFail(t *testing.T) {
	h := newHouse(t, nil)
	h.p.Says("/introspect", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("nonsense")) })
	h.away("opaque-1", "its answer cannot be read")
	h.p.Says("/introspect", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"active":true,"x":"` + strings.Repeat("a", int(DefaultLimits().Answer)) + `"}`))
	})
	h.away("opaque-large", "the answer is larger than the limit allows")
	h.p.Says("/introspect", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_request"}`))
	})
	h.away("opaque-2", "it answers 400 invalid_request")
	h.p.Says("/introspect", http.RedirectHandler("/else", http.StatusFound).ServeHTTP)
	h.away("opaque-3", "redirected elsewhere")
	lost := newHouse(t, func(p *Provider) { p.SecretFile += ".not" })
	lost.away("opaque-1", "the secret cannot be read")
	down := newHouse(t, nil)
	down.p.Down(true)
	down.away("opaque-1", "the provider's keys cannot be fetched")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	left := newHouse(t, nil)
	if _, err := left.j.Token(gone, "opaque-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The provider's certificate is that of the authorities that are given, and of no others.
func TestAuthoritiesOfTheProvider(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := Provider{Issuer: "https://login.example", Audience: "a", Scope: "s", Clients: []string{"c"}, Claim: "email"}
	m := Means{Limits: DefaultLimits(), Now: newHouse(t, nil).clock, Dial: (&net.Dialer{}).DialContext}
	p.CA = filepath.Join(dir, "not there")
	if _, err := New(p, m); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
	p.CA = write("none")
	if _, err := New(p, m); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("%v", err)
	}
}

// With a scope for reading, a token is for what its scopes say; without, one scope is for both.
func TestScopesOfTokens(t *testing.T) {
	apart := newHouse(t, func(p *Provider) { p.ReadScope = "imap" })
	one := newHouse(t, nil)
	for scope, want := range map[string]struct{ sends, reads, both bool }{
		oidctest.Scope: {true, false, true}, "imap": {false, true, false}, "imap " + oidctest.Scope: {true, true, true},
	} {
		who, err := apart.j.Token(t.Context(), apart.p.Token("alice@example.org", map[string]any{"scope": scope}))
		if err != nil || who.Sends != want.sends || who.Reads != want.reads {
			t.Errorf("%q: %+v, %v", scope, who, err)
		}
		who, err = one.j.Token(t.Context(), one.p.Token("alice@example.org", map[string]any{"scope": scope}))
		if (err == nil) != want.both || who.Sends != want.both || who.Reads != want.both {
			t.Errorf("%q without a scope for reading: %+v, %v", scope, who, err)
		}
	}
	apart.refuses(apart.p.Token("alice@example.org", map[string]any{"scope": "openid"}), "it lacks the scope smtp")
	if got := string(apart.j.Refusal()); !strings.Contains(got, `"scope":"smtp imap"`) {
		t.Error(got)
	}
}
