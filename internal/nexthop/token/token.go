// Package token obtains the access tokens with which the server signs in at a next hop: from an
// OAuth 2.0 authorization server (RFC 6749), by the credentials of a client or by a refresh token.
//
// It promises that a token is renewed before it ends, that many deliveries at once ask
// once, that a server which refuses or does not answer is left alone for a while, that a
// refresh token which was exchanged for another one is not lost with a crash, that whoever
// must know is told once when an endpoint begins to fail and once when it is over, and that
// neither secret nor token stands in an error.
package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"sallyport/internal/mail"
)

// Style is where the client's own credentials stand in a request. The zero Style is refused.
type Style uint8

const (
	StyleBody   Style = 1 + iota // as client_id and client_secret in the form
	StyleHeader                  // as HTTP Basic authentication; RFC 6749 §2.3.1
)

// Endpoint is an authorization server and what it is asked for, as the administrator wrote
// it. It is comparable; the zero Endpoint is none.
type Endpoint struct {
	URL    string // https, or http of this host alone
	CA     string // file of the authorities to trust; "": the system's
	Client string // client_id
	// SecretFile holds the client's secret in its only line, RefreshFile a refresh token.
	// One of them must be given: without a refresh token the client signs in as itself.
	// Both are read for each token.
	SecretFile, RefreshFile string
	Scope                   string // scopes with blanks between them; "": the server's own
	Style                   Style
}

// IsZero reports whether there is none.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// Limits bounds what a token costs.
type Limits struct {
	Time time.Duration // for one answer
	// Early is how long before its end a token is renewed, but never more than a fifth of
	// its life.
	Early time.Duration
	Life  time.Duration // of a token that does not say when it ends
	// Rest is how long a server that gave none is not asked again, and how old a token must
	// be to be replaced because the next hop does not take it any more.
	Rest time.Duration
}

func (l Limits) valid() bool { return min(l.Time, l.Early, l.Life, l.Rest) > 0 }

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{Time: 20 * time.Second, Early: 5 * time.Minute, Life: 10 * time.Minute, Rest: 30 * time.Second}
}

// maxHeaderOctets bounds the header of an answer; the library bounds its body by 1 MiB.
const maxHeaderOctets = 16 << 10

// maxToken bounds a token: it must fit on a line of SMTP's AUTH, RFC 4954 §4.
const maxToken = 8 << 10

// Means is what every source works with; all fields are required.
type Means struct {
	Keep   Keep
	Limits Limits
	Now    func() time.Time
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	// Tell is told when an endpoint begins to give no token that the next hop takes, and
	// with nil when that is over.
	Tell func(ctx context.Context, e Endpoint, err error)
}

// Source gives tokens of one endpoint. It is safe for concurrent use.
type Source struct {
	at Endpoint
	m  Means

	turn chan struct{} // holds one; taken by whoever asks

	mu     sync.Mutex
	token  string
	fresh  bool      // the next hop took no mail by it yet
	given  time.Time // when the token was
	renew  time.Time // when the next one is asked for
	ends   time.Time
	failed error     // nil: the last one that was asked for was given, and taken
	byHop  bool      // it is the next hop that failed it
	since  time.Time // of failed
	until  time.Time // when it may be asked again after failed
}

// New returns the source; it asks nobody yet. It fails when the endpoint is none that may
// be asked, or when its authorities cannot be read.
func New(e Endpoint, m Means) (*Source, error) {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())):
		return nil, errors.New("token: the endpoint must be an https URL")
	case e.Client == "" || e.SecretFile == "" && e.RefreshFile == "" || e.Style != StyleBody && e.Style != StyleHeader:
		return nil, errors.New("token: a client, and a secret or a refresh token, must be given")
	case !m.Limits.valid() || m.Keep == "" || m.Now == nil || m.Dial == nil || m.Tell == nil:
		return nil, errors.New("token: folder, bounds, clock, dialer and who is told must be given")
	}
	if _, err := authorities(e.CA); err != nil {
		return nil, err
	}
	return &Source{at: e, m: m, turn: make(chan struct{}, 1)}, nil
}

// client makes what asks once: authorities may have changed since, and a connection is not
// worth keeping for one token an hour.
func (s *Source) client() (*http.Client, error) {
	roots, err := authorities(s.at.CA)
	if err != nil {
		return nil, &Error{Text: "the authorities that the token endpoint is trusted by cannot be read"}
	}
	return &http.Client{
		// A redirect would show the secret to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it is redirected elsewhere") },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, DisableCompression: true,
			DialContext: s.m.Dial, MaxResponseHeaderBytes: maxHeaderOctets,
		},
	}, nil
}

// Loopback reports whether a host's name is an address of this host itself, where nobody
// else sees what is sent in clear text.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// Error says why there is no token.
type Error struct {
	Refused bool // the server said no; else it was not reached, or our files were not read
	Text    string
}

// Error returns the words, which name the server and hold no secret.
func (e *Error) Error() string { return e.Text }

// Token returns an access token that has not ended. The error is an *Error, or that of ctx.
func (s *Source) Token(ctx context.Context) (string, error) {
	if t, err, done := s.known(); done {
		return t, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-s.turn }()
	if t, err, done := s.known(); done {
		return t, err
	}
	got, err := s.ask(ctx)
	if err != nil && ctx.Err() != nil {
		return "", ctx.Err() // the endpoint is not to blame
	}
	s.change(ctx, func() { err = s.learn(got, err) })
	if err != nil {
		return "", err
	}
	t, err, _ := s.known()
	return t, err
}

// learn takes what an endpoint answered. A token that is still good makes up for none.
func (s *Source) learn(got *oauth2.Token, err error) error {
	now := s.m.Now()
	if err != nil {
		s.fail(err, false)
		if s.token != "" && now.Before(s.ends) {
			return nil
		}
		return err
	}
	if !s.byHop {
		s.failed = nil
	}
	s.token, s.fresh, s.given, s.ends = got.AccessToken, true, now, now.Add(s.m.Limits.Life)
	if !got.Expiry.IsZero() {
		// The library reckons by the clock of the host; the life is what was said.
		s.ends = now.Add(time.Until(got.Expiry))
	}
	s.renew = s.ends.Add(-min(s.m.Limits.Early, s.ends.Sub(now)/5))
	s.until = time.Time{}
	return nil
}

// fail notes that there is no token, or none that the next hop takes.
func (s *Source) fail(err error, byHop bool) {
	now := s.m.Now()
	if s.failed == nil {
		s.since = now
	}
	s.failed, s.byHop, s.until = err, byHop, now.Add(s.m.Limits.Rest)
}

// change does what fn does under the lock, and tells where trouble began or ended by it.
func (s *Source) change(ctx context.Context, fn func()) {
	s.mu.Lock()
	was := s.failed
	fn()
	is := s.failed
	s.mu.Unlock()
	if (was == nil) != (is == nil) {
		s.m.Tell(ctx, s.at, is)
	}
}

// known answers without asking anybody: with a token that need not be renewed, or while the
// server is left alone.
func (s *Source) known() (string, error, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.m.Now()
	switch {
	case s.token != "" && now.Before(s.renew):
		return s.token, nil, true
	case s.failed != nil && now.Before(s.until):
		if s.token != "" && now.Before(s.ends) {
			return s.token, nil, true
		}
		return "", s.failed, true
	}
	return "", nil, false
}

// Refused tells that the next hop did not take a token. It reports whether another one is
// worth a try at once. That it took none which had just been given is for a person to mend,
// and nobody is asked for another one for a while; and one that was taken a moment ago is
// refused for something that another one would not change.
func (s *Source) Refused(ctx context.Context, t string) (another bool) {
	s.change(ctx, func() {
		now := s.m.Now()
		switch {
		case s.token != t:
			another = s.token != "" || !now.Before(s.until)
		case s.fresh:
			s.token = ""
			s.fail(&Error{Refused: true, Text: "the next hop does not take the token that " + s.host() + " gave"}, true)
		case now.Sub(s.given) >= s.m.Limits.Rest, !now.Before(s.renew):
			s.token, another = "", true
		}
	})
	return another
}

// Took tells that the next hop took mail by a token.
func (s *Source) Took(ctx context.Context, t string) {
	s.change(ctx, func() {
		if s.token != t {
			return
		}
		s.fresh = false
		if s.byHop {
			s.failed, s.byHop = nil, false
		}
	})
}

// Trouble is why an endpoint gives no token, or none that the next hop takes.
type Trouble struct {
	At    Endpoint
	Since time.Time
	Err   error
}

// Trouble returns what is wrong at present; false: nothing.
func (s *Source) Trouble() (Trouble, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Trouble{s.at, s.since, s.failed}, s.failed != nil
}

// Reach looks whether the endpoint is there and proves itself, and asks it for nothing.
func (s *Source) Reach(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.m.Limits.Time)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, s.at.URL, nil)
	if err != nil {
		return err
	}
	// Any answer will do: RFC 6749 §3.2 lets it take POST alone.
	answer, err := client.Do(r)
	if err != nil {
		return s.said(err)
	}
	return answer.Body.Close()
}

// ask asks the endpoint for a token.
func (s *Source) ask(ctx context.Context) (*oauth2.Token, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, client), s.m.Limits.Time)
	defer cancel()
	secret := ""
	if s.at.SecretFile != "" {
		if secret, err = line(s.at.SecretFile); err != nil {
			return nil, &Error{Text: "the client's secret cannot be read"}
		}
	}
	var got *oauth2.Token
	if s.at.RefreshFile == "" {
		c := clientcredentials.Config{
			ClientID: s.at.Client, ClientSecret: secret, TokenURL: s.at.URL,
			Scopes: strings.Fields(s.at.Scope), AuthStyle: s.at.Style.library(),
		}
		got, err = c.Token(ctx)
	} else {
		got, err = s.refresh(ctx, secret)
	}
	if err != nil {
		return nil, s.said(err)
	}
	if len(got.AccessToken) > maxToken || !plain(got.AccessToken) {
		return nil, &Error{Text: s.host() + " gave a token that cannot be used"}
	}
	return got, nil
}

func (s Style) library() oauth2.AuthStyle {
	if s == StyleHeader {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

// plain reports whether a token is made of the octets that RFC 6750 §2.1 allows, so that it
// can end no field of the message that signs us in.
func plain(t string) bool {
	return !strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (s *Source) host() string {
	u, err := url.Parse(s.at.URL)
	if err != nil {
		return "the token endpoint"
	}
	return u.Host
}

// said puts an error of the library into words: what it holds of the answer beyond code
// and description may quote what we sent.
func (s *Source) said(err error) error {
	var known *Error
	var refused *oauth2.RetrieveError
	var u *url.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refused) && refused.ErrorCode != "":
		text := refused.ErrorCode
		if refused.ErrorDescription != "" {
			text += ": " + refused.ErrorDescription
		}
		return &Error{Refused: true, Text: s.host() + " gives no token: " + mail.Printable(text, mail.FaultShown)}
	case errors.As(err, &refused) && refused.Response != nil:
		return &Error{
			Refused: refused.Response.StatusCode/100 == 4,
			Text:    fmt.Sprintf("%s gives no token: it answers %d", s.host(), refused.Response.StatusCode),
		}
	case errors.As(err, &u):
		return &Error{Text: s.host() + " cannot be asked for a token: " + mail.Printable(u.Err.Error(), mail.TextShown)}
	}
	return &Error{Text: s.host() + " gave no token that can be read"}
}

// line reads the only line of a file.
func line(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" || !plain(text) {
		return "", fmt.Errorf("%s holds no line with a secret", path)
	}
	return text, nil
}
