package oidc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"sallyport/internal/kit/lru"
	"sallyport/internal/mail"
)

// Person is whom a token names.
type Person struct {
	Address mail.Address
	Subject string    // for good, at the provider
	Client  string    // that the token was given to
	Issued  time.Time // zero: the token does not say
	Ends    time.Time
	// Sends and Reads are what the token is for; at least one is true.
	Sends, Reads bool
}

// Judge judges tokens. It is safe for concurrent use.
type Judge struct {
	p        Provider
	m        Means
	keys     *keys
	verifier *oidc.IDTokenVerifier
	asking   chan struct{} // holds one for each question under way
	answers  *lru.Cache[[32]byte, answer]
	// authorities are those that the provider is trusted by, as they were read; nil: the system's.
	authorities []byte
	mark        [sha256.Size]byte
}

// New returns the judge; it asks nobody yet.
func New(p Provider, m Means) (*Judge, error) {
	if err := p.check(m); err != nil {
		return nil, err
	}
	client, pem, err := p.client(m)
	if err != nil {
		return nil, err
	}
	k := &keys{p: p, m: m, http: client, turn: make(chan struct{}, 1)}
	return &Judge{
		mark: sha256.Sum256(append([]byte(fmt.Sprintf("%#v", p)), pem...)),
		p:    p, m: m, keys: k, authorities: pem, asking: make(chan struct{}, m.Limits.Asked), answers: newAnswers(m.Limits),
		verifier: oidc.NewVerifier(p.Issuer, k, &oidc.Config{ClientID: p.Audience, SupportedSigningAlgs: algorithmNames(), Now: m.Now}),
	}, nil
}

// Build returns the judge of a provider: last, which may be nil, with the keys that it knows,
// where nothing of it would change.
func Build(p Provider, m Means, last *Judge) (*Judge, error) {
	next, err := New(p, m)
	if err == nil && last != nil && last.p.same(p) && bytes.Equal(last.authorities, next.authorities) {
		return last, nil
	}
	return next, err
}

// Mark is another one wherever tokens are judged otherwise.
func (j *Judge) Mark() []byte { return j.mark[:] }

// Provider returns whose tokens are judged.
func (j *Judge) Provider() Provider { return j.p }

// claims are what a token says, or the provider of one.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  list     `json:"aud"`
	Expires   seconds  `json:"exp"`
	NotBefore seconds  `json:"nbf"`
	Issued    seconds  `json:"iat"`
	Scope     list     `json:"scope"` // a text with blanks, RFC 8693 §4.2; a list where Duende makes it
	Scopes    list     `json:"scp"`
	Party     string   `json:"azp"`
	Client    string   `json:"client_id"`
	App       string   `json:"appid"`
	Type      string   `json:"typ"`
	Nonce     string   `json:"nonce"`
	Hash      string   `json:"at_hash"`
	Bound     bound    `json:"cnf"`
	Verified  verified `json:"email_verified"`
	name      string   // of the claim that is the address
	cid       string   // what Okta calls the client; elsewhere it may be anything
}

// list is a string or a list of them. RFC 7519 §4.1.3
type list []string

// UnmarshalJSON reads either.
func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = strings.Fields(one)
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// seconds since 1970, with or without a fraction. RFC 7519 §2
type seconds float64

func (s seconds) time() time.Time { return time.Unix(int64(s), 0) }

// verified is true, and nothing that is like it: some providers write it as a text.
type verified bool

// UnmarshalJSON takes the word true, also in quotes.
func (v *verified) UnmarshalJSON(b []byte) error {
	*v = string(b) == "true" || string(b) == `"true"`
	return nil
}

// bound says that a token counts only beside a proof of a key (DPoP, a client's certificate), which no
// mechanism of SASL that takes tokens has room for: by itself, whoever shows it may have stolen it. RFC 7800 §3.1
type bound bool

// UnmarshalJSON reads that there is such a key, whatever it is; null is none.
func (b *bound) UnmarshalJSON(text []byte) error {
	*b = string(text) != "null"
	return nil
}

func (p Provider) read(payload []byte) (c claims, err error) {
	var all map[string]json.RawMessage
	if json.Unmarshal(payload, &c) != nil || json.Unmarshal(payload, &all) != nil {
		return c, refused("its claims cannot be read")
	}
	_ = json.Unmarshal(all["cid"], &c.cid)
	var only []string // an attribute that may have several values is a list of the one that it has
	if json.Unmarshal(all[p.Claim], &c.name) != nil && json.Unmarshal(all[p.Claim], &only) == nil && len(only) == 1 {
		c.name = only[0]
	}
	return c, nil
}

// header is what a JWT says of its own form.
type header struct {
	Algorithm string   `json:"alg"`
	Key       string   `json:"kid"`
	Type      string   `json:"typ"`
	Critical  []string `json:"crit"`
}

// parts reads header and claims of a JWT, whose signature nobody has looked at; jwt is false
// where it is none.
func (p Provider) parts(token string) (h header, c claims, jwt bool, err error) {
	three := strings.Split(token, ".")
	if len(three) != 3 {
		return h, c, false, nil
	}
	head, err := base64.RawURLEncoding.DecodeString(three[0])
	if err != nil || json.Unmarshal(head, &h) != nil || h.Algorithm == "" {
		return h, c, false, nil
	}
	body, err := base64.RawURLEncoding.DecodeString(three[1])
	if err != nil {
		return h, c, true, refused("its claims cannot be read")
	}
	c, err = p.read(body)
	return h, c, true, err
}

// Claimed returns whom a token says that it is of, before anybody has looked whether that is
// true; "": it does not say.
func (j *Judge) Claimed(token string) string {
	if len(token) > j.m.Limits.Token {
		return ""
	}
	_, c, _, err := j.p.parts(token)
	if err != nil {
		return ""
	}
	return c.name
}

// Asks reports whether the provider would have to be asked about this token itself. Of every other
// what is known here decides, and the provider's keys, which are fetched seldom whatever comes;
// judging it costs one look at a signature.
func (j *Judge) Asks(token string) bool {
	if j.misshapen(token) {
		return false
	}
	if _, _, jwt, _ := j.p.parts(token); jwt {
		return false
	}
	_, known := j.remembered(token)
	return j.p.Introspect != "" && !known
}

// misshapen reports whether a text can be no token of anybody's.
func (j *Judge) misshapen(token string) bool {
	return token == "" || len(token) > j.m.Limits.Token || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Token judges a token. The error is a *Refused, an *Unavailable, or that of ctx.
func (j *Judge) Token(ctx context.Context, token string) (Person, error) {
	if j.misshapen(token) {
		return Person{}, refused("it is no token")
	}
	h, c, jwt, err := j.p.parts(token)
	switch {
	case !jwt:
		return j.ask(ctx, token)
	case err != nil:
		return Person{}, err
	}
	// Before anything is fetched.
	if err := j.p.plausible(h, c, j.m); err != nil {
		return Person{}, j.unlessEnded(ctx, token, h, c, err)
	}
	// The library tells a wrong signature from keys that nobody can fetch in words alone.
	if _, err := j.keys.VerifySignature(ctx, token); err != nil {
		return Person{}, err
	}
	t, err := j.verifier.Verify(ctx, token)
	if err != nil {
		return Person{}, refused("%v", err)
	}
	var payload json.RawMessage
	if err := t.Claims(&payload); err != nil {
		return Person{}, refused("its claims cannot be read")
	}
	if c, err = j.p.read(payload); err != nil {
		return Person{}, err
	}
	return j.p.decide(c, j.m)
}

// unlessEnded adds to the refusal of a token whom it named while its time lasted, if time is all
// that is wrong with it. The provider is asked about no key for that: one that nobody knows says nothing.
func (j *Judge) unlessEnded(ctx context.Context, token string, h header, c claims, refusal error) error {
	end, then := c.Expires.time(), j.m
	then.Now = func() time.Time { return end.Add(-time.Nanosecond) }
	if _, known, _ := j.keys.look(h.Key); !known || c.Expires == 0 || j.m.Now().Before(end) || j.p.plausible(h, c, then) != nil {
		return refusal
	}
	payload, err := j.keys.VerifySignature(ctx, token)
	if err != nil {
		return refusal
	}
	if c, err = j.p.read(payload); err != nil {
		return refusal
	}
	who, err := j.p.decide(c, then)
	if err != nil {
		return refusal
	}
	return &Refused{Text: refusal.Error(), Ended: who.Address}
}

// mostKeyName is the most octets of the name of a key (kid); providers write a hash or a number. RFC 7515 §4.1.4.
const mostKeyName = 256

// plausible says what is wrong with a token that nobody needs a key to see.
func (p Provider) plausible(h header, c claims, m Means) error {
	switch {
	case !slices.Contains(algorithmNames(), h.Algorithm):
		return refused("it is signed with %s", mail.Printable(h.Algorithm, mail.WordShown))
	case len(h.Critical) > 0:
		return refused("it demands extensions") // RFC 7515 §4.1.11
	case len(h.Key) > mostKeyName:
		return refused("the name of its key is longer than one is")
	case !accessType(h.Type):
		return refused("its type is %s", mail.Printable(h.Type, mail.WordShown))
	}
	return p.timely(c, m)
}

// accessType reports whether a header's type is that of an access token, RFC 9068 §2.1, or
// says no more than that it is a JWT.
func accessType(t string) bool {
	switch strings.TrimPrefix(strings.ToLower(t), "application/") {
	case "at+jwt", "jwt", "":
		return true
	}
	return false
}

func (p Provider) timely(c claims, m Means) error {
	now := m.Now()
	switch {
	case c.Issuer != p.Issuer:
		return refused("it is of another issuer: %s", mail.Printable(c.Issuer, mail.TextShown))
	case c.Expires == 0 || !now.Before(c.Expires.time()):
		return refused("it has ended")
	case c.NotBefore != 0 && now.Add(m.Limits.Skew).Before(c.NotBefore.time()):
		return refused("its time has not come yet")
	}
	return nil
}

// opens reports whether a token is one to open something with, and not one that tells a program who
// signed in there. Keycloak before version 25 writes the nonce of a sign-in into access tokens as well,
// which say by their own type that they are none of the others.
func (c claims) opens() bool {
	if strings.EqualFold(c.Type, "Bearer") {
		return c.Hash == ""
	}
	return c.Type == "" && c.Nonce == "" && c.Hash == ""
}

// decide says whom a token names whose signature is right, or that the provider itself told
// of; it is pure but for the clock.
func (p Provider) decide(c claims, m Means) (Person, error) {
	if err := p.timely(c, m); err != nil {
		return Person{}, err
	}
	client := c.Party
	for _, other := range []string{c.Client, c.App} {
		if client == "" {
			client = other
		} else if other != "" && other != client {
			return Person{}, refused("it names two clients")
		}
	}
	if client == "" {
		client = c.cid
	}
	scopes := slices.Concat(c.Scope, c.Scopes)
	sends := slices.Contains(scopes, p.Scope)
	reads := sends
	if p.ReadScope != "" {
		reads = slices.Contains(scopes, p.ReadScope)
	}
	switch {
	case c.Subject == "":
		return Person{}, refused("it names nobody")
	case !c.opens():
		return Person{}, refused("it is no access token")
	case bool(c.Bound): // RFC 9449 §7.2, RFC 8705 §3
		return Person{}, refused("it counts only beside a proof of its key, which no mail program gives here; have the provider give out tokens without it")
	case !slices.Contains(c.Audience, p.Audience):
		return Person{}, refused("it is for somebody else: %s", mail.Printable(strings.Join(c.Audience, " "), mail.TextShown))
	case !slices.Contains(p.Clients, client):
		return Person{}, refused("it was given to a client that is not among oidc.clients: %s", mail.Printable(client, mail.PieceShown))
	case !sends && !reads:
		return Person{}, refused("it lacks the scope %s", p.Scope)
	case p.Claim == "email" && !bool(c.Verified):
		return Person{}, refused("the provider has not verified the address")
	}
	a, err := mail.ParseAddress(c.name, mail.UTF8)
	if err != nil {
		return Person{}, refused("its claim %s is no address", p.Claim)
	}
	var issued time.Time
	if c.Issued != 0 {
		issued = c.Issued.time()
	}
	return Person{Address: a, Subject: c.Subject, Client: client, Issued: issued, Ends: c.Expires.time(), Sends: sends, Reads: reads}, nil
}

// Reach looks whether the provider is there, and says what it lacks.
func (j *Judge) Reach(ctx context.Context) error {
	_, err := j.keys.ask(ctx)
	return err
}

// Refusal is what a client is told whose token counts for nothing. RFC 7628 §3.2.2
func (j *Judge) Refusal() []byte {
	b, err := json.Marshal(struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
		At     string `json:"openid-configuration"`
	}{"invalid_token", strings.TrimSpace(j.p.Scope + " " + j.p.ReadScope), strings.TrimSuffix(j.p.Issuer, "/") + "/.well-known/openid-configuration"})
	if err != nil {
		return []byte(`{"status":"invalid_token"}`)
	}
	return b
}
