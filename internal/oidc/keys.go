package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"sallyport/internal/mail"
)

// Unavailable says that nobody can tell whether a token is good. It is no verdict.
type Unavailable struct{ Text string }

// Error returns the words, which hold no token.
func (e *Unavailable) Error() string { return e.Text }

// Refused says why a token counts for nothing.
type Refused struct {
	Text string
	// Ended is whom the token named while its time lasted: the provider's signature is right, and
	// all else that was asked of it, so that nobody guessed it. Zero: it is none that has ended.
	Ended mail.Address
}

// Error returns the words, which hold no token.
func (e *Refused) Error() string { return e.Text }

func refused(format string, args ...any) error {
	return &Refused{Text: mail.ShownLine(fmt.Sprintf(format, args...), mail.FaultShown)}
}

// keys are those of the provider, as they were fetched last.
type keys struct {
	p    Provider
	m    Means
	http *http.Client

	turn chan struct{} // holds one; taken by whoever fetches

	mu      sync.Mutex
	all     map[string][]jose.JSONWebKey // by id, which keys of several kinds may share. RFC 7517 §4.5
	only    *jose.JSONWebKey             // the one that signs, whatever its id; nil: there are several
	more    bool                         // the provider has keys that were left out, since there are more than Limits.Keys
	asks    string                       // URL of the introspection endpoint
	fetched time.Time                    // zero: never
	tried   time.Time
	fault   error // of the last try
}

// anyKey is the id of no key: whoever asks for it wants to know the provider alone. anotherKey is that of
// one which the provider does not have yet.
const (
	anyKey     = ""
	anotherKey = "\x00"
)

// of returns the keys of an id, mostly one. An id that is not known is looked for at the provider, but
// never sooner than a rest after the last time: a flood of made-up ids is answered from memory.
func (k *keys) of(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	key, known, due := k.look(id)
	if !due {
		return key, k.verdict(known, false)
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	default:
		if known && k.good() {
			return key, nil // somebody fetches already; it counts until he is back
		}
		select {
		case k.turn <- struct{}{}:
			defer func() { <-k.turn }()
		case <-ctx.Done():
			return key, ctx.Err()
		}
	}
	if key, known, due = k.look(id); due {
		k.fetch(ctx)
		key, known, _ = k.look(id)
	}
	return key, k.verdict(known, due)
}

// look finds the keys of an id in memory, and says whether the provider is to be asked now.
func (k *keys) look(id string) (key []jose.JSONWebKey, known, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.m.Now()
	if key, known = k.all[id]; id == anyKey {
		known = !k.fetched.IsZero()
	}
	old := now.Sub(k.fetched) >= k.m.Limits.Fresh
	return key, known, (!known || old) && (k.tried.IsZero() || now.Sub(k.tried) >= k.m.Limits.Rest)
}

// good reports whether what is remembered counts at all: keys that could not be fetched again
// for long may have been withdrawn.
func (k *keys) good() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.fetched.IsZero() && k.m.Now().Sub(k.fetched) < 2*k.m.Limits.Fresh
}

// verdict says what an id is worth. Where the provider was not asked just now, one that is not
// known may be the provider's newest.
func (k *keys) verdict(known, asked bool) error {
	k.mu.Lock()
	fault, more := k.fault, k.more
	k.mu.Unlock()
	switch {
	case !k.good() && fault != nil:
		return &Unavailable{"the provider's keys cannot be fetched: " + mail.PlainLine(fault.Error(), mail.TextShown)}
	case !k.good():
		return &Unavailable{"the provider's keys are not known"}
	case !known && more:
		return &Unavailable{fmt.Sprintf("its key is none of the %d of the provider's that are taken, and the provider has more", k.m.Limits.Keys)}
	case !known && asked:
		return refused("its key is none of the provider's")
	case !known:
		return &Unavailable{"its key was none of the provider's a moment ago"}
	}
	return nil
}

// fetch asks the provider what it is and which keys it has.
func (k *keys) fetch(ctx context.Context) {
	// Whoever gives up must not spoil it for the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.m.Limits.Time)
	defer cancel()
	d, err := k.ask(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.fault = k.m.Now(), err
	if err == nil {
		k.all, k.only, k.more, k.asks, k.fetched = d.keys, d.only, d.more, d.asks, k.tried
	}
}

// description is what a provider says of itself.
type description struct {
	keys map[string][]jose.JSONWebKey
	only *jose.JSONWebKey
	more bool // it has more keys than are taken
	asks string
}

func (k *keys) ask(ctx context.Context) (d description, err error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.http), k.p.Issuer)
	if err != nil {
		return d, said(err)
	}
	var at struct {
		Keys string `json:"jwks_uri"`
		Asks string `json:"introspection_endpoint"`
	}
	if err := provider.Claims(&at); err != nil {
		return d, said(err)
	}
	if secure(at.Keys) != nil {
		return d, errors.New("jwks_uri is no https URL")
	}
	if k.p.Introspect != "" && secure(at.Asks) != nil {
		return d, errors.New("the provider has no introspection_endpoint with https")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, at.Keys, &set); err != nil {
		return d, err
	}
	d.asks = at.Asks
	d.take(set.Keys, k.m.Limits.Keys)
	if len(d.keys) == 0 && d.only == nil {
		return d, errors.New("the provider has no key that signs")
	}
	return d, nil
}

// mostAlike is how many keys of one id are taken: each may be tried on a token that names it. There are three kinds of them.
const mostAlike = 4

// take takes so many keys of a set at most.
func (d *description) take(set []json.RawMessage, most int) {
	d.keys = map[string][]jose.JSONWebKey{}
	sign := 0
	for _, raw := range set {
		key, signs := signing(raw)
		if !signs {
			continue
		}
		if d.only = nil; sign == 0 {
			d.only = &key
		}
		sign++
		switch alike := len(d.keys[key.KeyID]); {
		case key.KeyID == "" || key.KeyID == anotherKey: // no token finds it
		case alike == 0 && len(d.keys) >= most:
			d.more = true
			return
		case alike < mostAlike:
			d.keys[key.KeyID] = append(d.keys[key.KeyID], key)
		}
	}
}

// signing reads a key that tokens may be signed with; false: it is none. One of a kind that nobody here knows, or that
// cannot be read, takes nothing from the others. RFC 7517 §5. The certificate that may come with a key is not asked
// for anything, so that nothing depends on its form.
func signing(raw json.RawMessage) (key jose.JSONWebKey, signs bool) {
	var parts map[string]json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return key, false
	}
	for _, beside := range []string{"x5c", "x5t", "x5t#S256", "x5u"} {
		delete(parts, beside)
	}
	bare, err := json.Marshal(parts)
	if err != nil || json.Unmarshal(bare, &key) != nil {
		return jose.JSONWebKey{}, false
	}
	// A secret one verifies for whoever knows it.
	return key, key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig")
}

func (k *keys) get(ctx context.Context, from string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return said(err)
	}
	answer, err := k.http.Do(r)
	if err != nil {
		return said(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", r.URL.Host, answer.StatusCode)
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		return unread(fmt.Sprintf("what %s answers cannot be read", r.URL.Host), err)
	}
	return nil
}

// unread says why an answer is none: in words, unless it was too large.
func unread(words string, err error) error {
	if errors.Is(err, errLarge) {
		return errLarge
	}
	return errors.New(words)
}

// said keeps of an error what an operator needs.
func said(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return errors.New(mail.PlainLine(u.Err.Error(), mail.TextShown))
	}
	return errors.New(mail.PlainLine(err.Error(), mail.TextShown))
}

// VerifySignature implements the library's KeySet, by the one key that the token names.
func (k *keys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSigned(jwt, algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, refused("it is no JWT with one signature")
	}
	id := jws.Signatures[0].Header.KeyID
	if id == anyKey {
		return k.lone(ctx, jws)
	}
	key, err := k.of(ctx, id)
	if err != nil {
		return nil, err
	}
	return payloadOf(jws, key...)
}

// lone verifies a token that names no key, by the only one that the provider has. OpenID Connect Core §10.1. The
// provider may have another one by now: it is asked as for a key that is not known.
func (k *keys) lone(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	if _, err := k.of(ctx, anyKey); err != nil {
		return nil, err
	}
	only, err := k.theOnly()
	if err != nil {
		return nil, err
	}
	if payload, err := jws.Verify(only); err == nil {
		return payload, nil
	}
	var asked *Refused
	if _, err := k.of(ctx, anotherKey); !errors.As(err, &asked) {
		return nil, err
	}
	if only, err = k.theOnly(); err != nil {
		return nil, err
	}
	return payloadOf(jws, *only)
}

func (k *keys) theOnly() (*jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.only == nil {
		return nil, refused("it names no key, and the provider has several")
	}
	return k.only, nil
}

func payloadOf(jws *jose.JSONWebSignature, keys ...jose.JSONWebKey) ([]byte, error) {
	for i := range keys {
		if payload, err := jws.Verify(&keys[i]); err == nil {
			return payload, nil
		}
	}
	return nil, refused("its signature is wrong")
}

// algorithms are those that a token may be signed with: none that a public key, taken for a
// secret, could make. RFC 8725 §3.1
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

func algorithmNames() (all []string) {
	for _, a := range algorithms() {
		all = append(all, string(a))
	}
	return all
}
