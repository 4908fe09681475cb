package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"
)

// Provider is whose tokens count and which, as the administrator wrote it. It is comparable
// but for Clients.
type Provider struct {
	Issuer   string // URL, as its tokens name it
	CA       string // file of the authorities to trust; "": the system's
	Audience string // whom a token must be for
	Scope    string // that it must have
	// ReadScope is what it must have to read a mailbox; "": Scope is for both.
	ReadScope string
	// Clients are those to whom a token may have been given; none: no token counts.
	Clients []string
	// Claim names the person's address. "email" counts only where email_verified is true.
	Claim string
	// Introspect is who we are to the provider where we ask it about tokens that are no JWT;
	// "": such tokens count for nothing.
	Introspect, SecretFile string
}

// Limits bounds what tokens cost us and the provider.
type Limits struct {
	Token   int           // octets of a token
	Time    time.Duration // for one answer of the provider
	Answer  int64         // octets of one answer (what the provider is, its keys, what it says of a token); of a larger one nothing is taken
	Keys    int           // keys of the provider that are remembered; of more the rest is left out
	Fresh   time.Duration // how long keys count before they are fetched again
	Rest    time.Duration // the least between two fetches of keys
	Asked   int           // questions about tokens at once
	Tokens  int           // answers about tokens that are remembered
	TokenOK time.Duration // how long a good one is
	TokenNo time.Duration // how long a bad one is
	Skew    time.Duration // by which the provider's clock may differ from ours
}

// DefaultLimits returns the bounds of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Token: 8 << 10, Time: 10 * time.Second, Answer: 1 << 20, Keys: 64, Fresh: 15 * time.Minute, Rest: 30 * time.Second,
		Asked: 4, Tokens: 10_000, TokenOK: time.Minute, TokenNo: 10 * time.Minute, Skew: time.Minute,
	}
}

// Means is what a Judge works with; all fields are required.
type Means struct {
	Limits Limits
	Now    func() time.Time
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

// same reports whether two would be asked, and their tokens judged, alike.
func (p Provider) same(as Provider) bool {
	a, b := p, as
	a.Clients, b.Clients = nil, nil
	return slices.Equal(p.Clients, as.Clients) && fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

func (p Provider) check(m Means) error {
	l := m.Limits
	switch {
	case secure(p.Issuer) != nil:
		return errors.New("oidc: the issuer must be an https URL")
	case p.Audience == "" || p.Scope == "" || p.Claim == "" || len(p.Clients) == 0:
		return errors.New("oidc: audience, scope, claim and clients must be given")
	case (p.Introspect == "") != (p.SecretFile == ""):
		return errors.New("oidc: who asks about tokens needs a secret")
	case m.Now == nil || m.Dial == nil || min(l.Token, l.Keys, l.Asked, l.Tokens) <= 0 || l.Answer <= 0 || min(l.Time, l.Fresh, l.Rest, l.TokenOK, l.TokenNo, l.Skew) <= 0:
		return errors.New("oidc: bounds, clock and dialer must be given")
	}
	return nil
}

// secure refuses a URL over which somebody else could answer.
func secure(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("it is no URL")
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || !ip.IsLoopback()) {
		return errors.New("it is no https URL")
	}
	return nil
}

// mostAnswerHeader is the most octets of the header of an answer of the provider.
const mostAnswerHeader = 16 << 10

// client makes what asks the provider. It follows no redirect, and reads no more than a bound.
func (p Provider) client(m Means) (_ *http.Client, pem []byte, err error) {
	var roots *x509.CertPool
	if p.CA != "" {
		if pem, err = os.ReadFile(p.CA); err != nil {
			return nil, nil, errors.New("oidc: the authorities of the provider cannot be read")
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, nil, errors.New("oidc: the file of authorities holds no certificate")
		}
	}
	return &http.Client{
		Timeout:       m.Limits.Time,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it is redirected elsewhere") },
		Transport: bounded{m.Limits.Answer, &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DialContext: m.Dial,
			DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: mostAnswerHeader,
		}},
	}, pem, nil
}

// errLarge is the error of an answer of which nothing is taken.
var errLarge = errors.New("the answer is larger than the limit allows")

// bounded refuses what is larger than an answer may be, since the library reads all there is.
type bounded struct {
	most int64
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = &within{answer.Body, b.most}
	}
	return answer, err
}

// within is the body of an answer that may have so many octets more.
type within struct {
	io.ReadCloser
	left int64
}

// Read reads one octet more than there may be, to know whether it is there.
func (w *within) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p[:min(int64(len(p)), w.left+1)])
	if w.left -= int64(n); w.left < 0 {
		return 0, errLarge
	}
	return n, err
}
