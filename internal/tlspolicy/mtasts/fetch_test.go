package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/policytest"
)

// web is an HTTPS server of the policy host of x.test.
type web struct {
	t       *testing.T
	ca      *policytest.Authority
	port    uint16
	dns     *dnsx.Fake
	refused map[string]string // addresses that are not dialled
}

func serveWeb(t *testing.T, leaf policytest.Leaf, handle http.HandlerFunc) *web {
	t.Helper()
	ca, err := policytest.NewAuthority()
	check(t, err)
	cert, err := ca.Issue(leaf)
	check(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: handle, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}))
	t.Cleanup(func() { server.Close() })
	return &web{
		t: t, ca: ca, port: netip.MustParseAddrPort(ln.Addr().String()).Port(),
		dns: &dnsx.Fake{Hosts: map[string][]netip.Addr{"mta-sts.x.test": {netip.MustParseAddr("127.0.0.1")}}},
	}
}

func (w *web) fetcher() Fetcher {
	return Fetcher{
		Resolver: w.dns, Admit: func(ip netip.Addr) string { return w.refused[ip.String()] }, Roots: w.ca.Pool(), Port: w.port, Addresses: 3,
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to.String())
		},
	}
}

// says answers as a good server does, but for what fn changes.
func says(fn func(w http.ResponseWriter, r *http.Request) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if fn != nil && fn(w, r) {
			return
		}
		if r.URL.Path != Path || r.Host != "mta-sts.x.test" && !strings.HasPrefix(r.Host, "mta-sts.x.test:") {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, goodPolicy)
	}
}

var rightLeaf = policytest.Leaf{Names: []string{"mta-sts.x.test"}}

// RFC 8461 §3.3, each rule: what is fetched is a policy, or one of the causes.
func TestFetching(t *testing.T) {
	elsewhere := func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "https://mta-sts.x.test/.well-known/mta-sts.txt?again", http.StatusFound)
		return true
	}
	for _, c := range []struct {
		name string
		leaf policytest.Leaf
		says func(w http.ResponseWriter, r *http.Request) bool
		spy  func(*web, *Fetcher)
		want string
	}{
		{name: "right", leaf: rightLeaf, want: "enforce"},
		{name: "wildcard certificate", leaf: policytest.Leaf{Names: []string{"*.x.test"}}, want: "enforce"},
		{name: "wrong name", leaf: policytest.Leaf{Names: []string{"x.test", "mx.x.test"}}, want: CauseWebPKI},
		{name: "expired", leaf: policytest.Leaf{Names: rightLeaf.Names, Expired: true}, want: CauseWebPKI},
		{name: "another authority", leaf: rightLeaf, spy: func(w *web, f *Fetcher) {
			other, err := policytest.NewAuthority()
			check(w.t, err)
			f.Roots = other.Pool()
		}, want: CauseWebPKI},
		{name: "redirect", leaf: rightLeaf, says: elsewhere, want: CauseFetch},
		{name: "not found", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }, want: CauseFetch},
		{name: "no content", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(204); return true }, want: CauseFetch},
		{name: "HTML", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			return false
		}, want: CauseFetch},
		{name: "text with a malformed charset", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", `text/plain; charset="utf-8`)
			return false
		}, want: "enforce"},
		{name: "no type", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool { w.Header().Set("Content-Type", ";"); return false }, want: CauseFetch},
		{name: "too long", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, goodPolicy+strings.Repeat("x: y\n", 1<<20))
			return true
		}, want: CauseFetch},
		{name: "a host that wants to know who asks", leaf: rightLeaf, says: func(w http.ResponseWriter, r *http.Request) bool {
			if r.UserAgent() != agent {
				w.WriteHeader(403)
				return true
			}
			return false
		}, want: "enforce"},
		{name: "no policy", leaf: rightLeaf, says: func(w http.ResponseWriter, _ *http.Request) bool { io.WriteString(w, "hello"); return true }, want: CauseInvalid},
		{name: "hanging", leaf: rightLeaf, says: func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, want: CauseFetch},
		{name: "hanging, an octet now and then", leaf: rightLeaf, says: func(w http.ResponseWriter, r *http.Request) bool {
			for _, octet := range []byte(goodPolicy + strings.Repeat("x: y\n", 1000)) {
				if _, err := w.Write([]byte{octet}); err != nil || http.NewResponseController(w).Flush() != nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			return true
		}, want: CauseFetch},
		{name: "no address", leaf: rightLeaf, spy: func(w *web, _ *Fetcher) { w.dns.Hosts = nil }, want: CauseFetch},
		{name: "address of a private network", leaf: rightLeaf, spy: func(w *web, _ *Fetcher) { w.refused = map[string]string{"127.0.0.1": "it is not public"} }, want: CauseFetch},
		{name: "second address", leaf: rightLeaf, spy: func(w *web, _ *Fetcher) {
			w.dns.Hosts["mta-sts.x.test"] = []netip.Addr{netip.MustParseAddr("127.0.0.99"), netip.MustParseAddr("127.0.0.1")}
		}, want: "enforce"},
		{name: "many addresses of a family without a way", leaf: rightLeaf, spy: manyAddresses(syscall.ENETUNREACH), want: "enforce"},
		{name: "many addresses of a family that is switched off", leaf: rightLeaf, spy: manyAddresses(syscall.EADDRNOTAVAIL), want: "enforce"},
		{name: "many addresses of a family that fails", leaf: rightLeaf, spy: manyAddresses(syscall.ECONNREFUSED), want: "enforce"},
		{name: "addresses that are not dialled before one that is", leaf: rightLeaf, spy: func(w *web, f *Fetcher) {
			manyAddresses(syscall.ENETUNREACH)(w, f)
			for _, ip := range w.dns.Hosts["mta-sts.x.test"][:4] {
				w.refused[ip.String()] = "it is not public"
			}
		}, want: "enforce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serveWeb(t, c.leaf, says(c.says))
			f := w.fetcher()
			if c.spy != nil {
				c.spy(w, &f)
			}
			limit := 20 * time.Second
			if strings.HasPrefix(c.name, "hanging") {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			p, err := f.Fetch(ctx, domain(t, "x.test"))
			got := p.Mode.String()
			var failed *FetchError
			if errors.As(err, &failed) {
				got = failed.Cause
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// manyAddresses has the policy host stand at four addresses of IPv6, as many web hosts do, none of which
// can be reached, beside that of IPv4.
func manyAddresses(fault error) func(*web, *Fetcher) {
	return func(w *web, f *Fetcher) {
		w.refused = map[string]string{}
		var all []netip.Addr
		for i := range 4 {
			all = append(all, netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1)))
		}
		w.dns.Hosts["mta-sts.x.test"] = append(all, netip.MustParseAddr("127.0.0.1"))
		dial := f.Dial
		f.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if to.Addr().Is6() {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fault}
			}
			return dial(ctx, to)
		}
	}
}

func domain(t interface{ Fatal(...any) }, s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	check(t, err)
	return d
}

func show(f Found) string {
	err := "-"
	var failed *FetchError
	if errors.As(f.Err, &failed) {
		err = failed.Cause
	} else if f.Err != nil {
		err = f.Err.Error()
	}
	return fmt.Sprintf("%s %q %s", f.Policy.Mode, f.ID, err)
}
