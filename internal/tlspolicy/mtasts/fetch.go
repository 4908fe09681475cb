package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
)

// Host is the label before a domain at which its policy is served, and Path where.
// RFC 8461 §3.3.
const (
	Host = "mta-sts."
	Path = "/.well-known/mta-sts.txt"
)

// Why a policy could not be had. RFC 8460 §4.3.
const (
	CauseFetch   = "sts-policy-fetch-error"
	CauseInvalid = "sts-policy-invalid"
	CauseWebPKI  = "sts-webpki-invalid"
)

// FetchError says that a domain whose record announces a policy serves none.
type FetchError struct {
	Cause string // one of the constants
	Err   error
}

// Error returns the words of the cause.
func (e *FetchError) Error() string { return "MTA-STS policy: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// Fetcher gets policies over HTTPS.
type Fetcher struct {
	Resolver dnsx.Resolver
	// Admit says why an address must not be dialled, "" when it may.
	Admit func(netip.Addr) string
	// Dial connects to an address that was admitted.
	Dial  func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	Roots *x509.CertPool // nil: the system's
	Port  uint16         // 443 in a server
	// Addresses bounds how many addresses of the host are tried.
	Addresses int
}

// agent is what we say that we are.
const agent = "sallyport"

// maxHeaderOctets bounds the header of an HTTP response.
const maxHeaderOctets = 16 << 10

var errRedirect = errors.New("it is redirected elsewhere")

// Fetch gets the policy of a domain. RFC 8461 §3.3: the certificate must be valid for
// the policy host, only 200 counts, and no redirect is followed. ctx bounds the whole.
// The error is a *FetchError.
func (f Fetcher) Fetch(ctx context.Context, d mail.Domain) (Policy, error) {
	text, err := f.get(ctx, d)
	if err != nil {
		return Policy{}, &FetchError{Cause: cause(err), Err: err}
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return Policy{}, &FetchError{Cause: CauseInvalid, Err: err}
	}
	return p, nil
}

func (f Fetcher) get(ctx context.Context, d mail.Domain) ([]byte, error) {
	host, err := dnsx.ParseName(Host + d.ASCII())
	if err != nil {
		return nil, err
	}
	client := f.Client(host, f.Port)
	defer client.CloseIdleConnections()
	where := "https://" + host.String()
	if f.Port != 443 {
		where += ":" + strconv.Itoa(int(f.Port))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where+Path, nil)
	if err != nil {
		return nil, err
	}
	// Some hosts of policies refuse clients that do not say what they are.
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return body(resp)
}

// Client returns an HTTP client that talks to one host: at addresses that are admitted
// alone, with a certificate that verifies, without redirects, and for one request.
func (f Fetcher) Client(host dnsx.Name, port uint16) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, host, port) },
			TLSClientConfig:        &tls.Config{RootCAs: f.Roots, ServerName: host.String(), MinVersion: tls.VersionTLS12},
			TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 alone
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderOctets,
		},
	}
}

// body reads the response. RFC 8461 §3.2: the media type is text/plain, so that a
// site on which strangers can put other files serves no policy of theirs.
func body(resp *http.Response) ([]byte, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the web server answers %d", resp.StatusCode)
	}
	// A parameter that is malformed says nothing about the type: it is told all the same.
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/plain" {
		return nil, errors.New("the web server does not serve it as text/plain")
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxPolicyOctets+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxPolicyOctets {
		return nil, fmt.Errorf("it is longer than %d octets", MaxPolicyOctets)
	}
	return text, nil
}

// dial connects to the first address that is admitted and answers, of both families in turn.
func (f Fetcher) dial(ctx context.Context, host dnsx.Name, port uint16) (net.Conn, error) {
	a, err := f.Resolver.Addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	last, tries := error(nil), 0
	for _, ip := range inTurn(a.Data) {
		if tries == f.Addresses {
			break
		}
		if why := f.Admit(ip); why != "" {
			last = fmt.Errorf("the address %s is not dialled: %s", ip, why)
			continue
		}
		each, cancel := context.WithTimeout(ctx, dialTime)
		nc, err := f.Dial(each, netip.AddrPortFrom(ip, port))
		cancel()
		// A family that this host does not speak costs nothing: it is no try, and says less than
		// what failed otherwise.
		foreign := shortage.OfFamily(err, ip)
		switch {
		case err == nil:
			return nc, nil
		case !foreign || tries == 0:
			last = err
		}
		if !foreign {
			tries++
		}
	}
	return nil, last
}

// inTurn orders addresses so that no family takes all tries: hosts of many addresses have many of each.
func inTurn(addrs []netip.Addr) []netip.Addr {
	var out, v4, v6 []netip.Addr
	for _, ip := range addrs {
		if ip.Is4() {
			v4 = append(v4, ip)
		} else {
			v6 = append(v6, ip)
		}
	}
	for i := range max(len(v4), len(v6)) {
		out = append(out, v6[min(i, len(v6)):min(i+1, len(v6))]...)
		out = append(out, v4[min(i, len(v4)):min(i+1, len(v4))]...)
	}
	return out
}

// dialTime bounds one try to connect.
const dialTime = 15 * time.Second

// cause parts a certificate that does not verify from everything else.
func cause(err error) string {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return CauseWebPKI
	}
	return CauseFetch
}
