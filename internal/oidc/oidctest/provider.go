// Package oidctest plays an OpenID provider in tests: its description, its keys, which can be
// rotated and withdrawn, its tokens, and what it says of them when asked.
//
// It promises that everything it was asked can be counted, that a token is what a test makes
// of it, and that it ends with the test.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What a provider that nobody changed is used with.
const (
	Audience = "https://mail.example.org"
	Scope    = "smtp"
	Client   = "thunderbird"
	Asker    = "sallyport"
	Secret   = "s3cret~of.the.asker"
)

// Provider is one of them.
type Provider struct {
	*httptest.Server
	t   testing.TB
	now func() time.Time

	mu     sync.Mutex
	keys   []jose.JSONWebKey // with their private parts; the last one signs
	made   int
	down   bool
	asked  map[string]int
	opaque map[string]map[string]any
	says   map[string]http.HandlerFunc // in place of what it would answer at a path
}

// New starts a provider with one key, over HTTP of this host.
func New(t testing.TB, now func() time.Time) *Provider {
	t.Helper()
	p := &Provider{t: t, now: now, asked: map[string]int{}, opaque: map[string]map[string]any{}, says: map[string]http.HandlerFunc{}}
	p.Rotate()
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[r.URL.Path]++
	w.Header().Set("Content-Type", "application/json")
	if p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if says, ok := p.says[r.URL.Path]; ok {
		says(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		p.say(w, map[string]any{
			"issuer": p.URL, "jwks_uri": p.URL + "/keys", "introspection_endpoint": p.URL + "/introspect",
			"authorization_endpoint": p.URL + "/auth",
			"token_endpoint":         p.URL + "/token", "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	case "/keys":
		set := jose.JSONWebKeySet{}
		for _, k := range p.keys {
			if public := k.Public(); public.Key != nil {
				k = public
			} // else a secret, which a careless provider publishes
			set.Keys = append(set.Keys, k)
		}
		p.say(w, set)
	case "/introspect":
		user, secret, _ := r.BasicAuth()
		if user != Asker || secret != Secret {
			w.WriteHeader(http.StatusUnauthorized)
			p.say(w, map[string]any{"error": "invalid_client", "error_description": "client authentication failed"})
			return
		}
		claims, ok := p.opaque[r.PostFormValue("token")]
		if !ok {
			claims = map[string]any{"active": false}
		}
		p.say(w, claims)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (p *Provider) say(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

// Rotate makes a key that signs from now on; the former ones stay.
func (p *Provider) Rotate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	p.keys = append(p.keys, p.newKey("key-"+strconv.Itoa(p.made)))
}

func (p *Provider) newKey(id string) jose.JSONWebKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Error(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"}
}

// Withdraw takes every key but the newest away.
func (p *Provider) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[len(p.keys)-1:]
}

// Down makes the provider answer nothing but 503.
func (p *Provider) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Says makes the provider answer otherwise at a path.
func (p *Provider) Says(path string, how http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says[path] = how
}

// Publish puts further keys before those that sign.
func (p *Provider) Publish(keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(keys, p.keys...)
}

// NewKey makes a key that nobody knows.
func (p *Provider) NewKey(id string) jose.JSONWebKey { return p.newKey(id) }

// Asked returns how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// Claims are those of a good token for an address; more replaces them, and nil takes one away.
func (p *Provider) Claims(address string, more map[string]any) map[string]any {
	now := p.now()
	claims := map[string]any{
		"iss": p.URL, "sub": "subject of " + address, "aud": []string{Audience}, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"scope": "openid " + Scope, "azp": Client, "email": address, "email_verified": true,
	}
	for k, v := range more {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// Token returns a token, signed by the newest key.
func (p *Provider) Token(address string, more map[string]any) string {
	p.mu.Lock()
	key := p.keys[len(p.keys)-1]
	p.mu.Unlock()
	return p.Sign(key, "at+jwt", p.Claims(address, more))
}

// Strange returns a token with good claims, signed by a key of which nobody knows.
func (p *Provider) Strange(address, id string) string {
	return p.Sign(p.newKey(id), "at+jwt", p.Claims(address, nil))
}

// Key returns the key that signs.
func (p *Provider) Key() jose.JSONWebKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1]
}

// Opaque returns a token that is no JWT and of which the provider says these claims.
func (p *Provider) Opaque(token, address string, more map[string]any) string {
	claims := p.Claims(address, more)
	claims["active"] = true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opaque[token] = claims
	return token
}

// Sign signs claims with a type in the header.
func (p *Provider) Sign(key jose.JSONWebKey, kind string, claims map[string]any) string {
	o := (&jose.SignerOptions{}).WithType(jose.ContentType(kind))
	if kind == "" {
		o = &jose.SignerOptions{}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
		return ""
	}
	return out
}
