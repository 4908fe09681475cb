package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/acme/acmetest"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// keeperOf is a Keeper that asks the authority and answers it at l.
func keeperOf(t *testing.T, p *acmetest.Authority, st store.Store, c Challenge, l net.Listener, names []mail.Domain, obtained func(tls.Certificate), failed func(error)) *Keeper {
	t.Helper()
	k, err := New(Options{
		Store: st, Directory: p.Directory(), Contact: "postmaster@mx.test", Agreed: true, Roots: p.Roots(), Challenge: c, Host: names[0],
		Names: func(context.Context) []mail.Domain { return names }, Listeners: []net.Listener{l}, Limits: limits, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Obtained: func(_ context.Context, cert tls.Certificate) { obtained(cert) }, Failed: func(_ context.Context, err error, _ time.Time) { failed(err) },
	})
	must(t, err)
	return k
}

func listening(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A certificate for all names is obtained in either way from an authority that looks for itself, is stored before it is told
// of, and belongs to the key that lies beside it. When Run ends, nothing listens any more.
func TestObtain(t *testing.T) {
	for _, c := range []struct {
		name      string
		challenge Challenge
	}{{"http-01", HTTP01}, {"tls-alpn-01", TLSALPN01}} {
		t.Run(c.name, func(t *testing.T) {
			l, st, names := listening(t), mem.New(), domains(t, "mx.test", "smtp.test")
			p := acmetest.New(t, c.name, l.Addr().String())
			got := make(chan error, 1)
			k := keeperOf(t, p, st, c.challenge, l, names, func(cert tls.Certificate) {
				h, ok, err := Load(t.Context(), st, names[0])
				switch {
				case err != nil || !ok || !h.serves(p.Directory(), names):
					got <- fmt.Errorf("told of before it was stored: %v, %w", ok, err)
				case !bytes.Equal(h.Certificate.Certificate[0], cert.Certificate[0]) || cert.Leaf.CheckSignature(x509.ECDSAWithSHA256, cert.Leaf.RawTBSCertificate, cert.Leaf.Signature) == nil:
					got <- errors.New("it is not what the authority issued")
				default:
					got <- nil
				}
			}, func(err error) { got <- err })
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.Run(ctx) }()
			select {
			case err := <-got:
				must(t, err)
			case <-time.After(time.Minute):
				t.Fatal("no certificate within a minute")
			}
			if looked := p.Looked(); len(looked) != 0 {
				t.Errorf("the authority says %q", looked)
			}
			cancel()
			must(t, <-ended)
			if nc, err := net.Dial("tcp", l.Addr().String()); err == nil {
				_ = nc.Close()
				t.Error("something listens where challenges were answered")
			}
		})
	}
}

// What an authority says or issues that is no certificate for us is an error in words, and nothing of it is stored.
func TestNothingElseIsTaken(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for _, c := range []struct {
		what   string
		change func(*acmetest.Authority)
		want   string
	}{
		{"one that has ended", func(p *acmetest.Authority) {
			p.Issue = func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) }
		}, "has ended already"},
		{"one for fewer names", func(p *acmetest.Authority) { p.Issue = func(x *x509.Certificate) { x.DNSNames = x.DNSNames[:1] } }, "for other names"},
		{"one for somebody else's key", func(p *acmetest.Authority) { p.Issue = func(x *x509.Certificate) { x.PublicKey = other.Public() } }, "what the authority issued"},
		{"no certificate", func(p *acmetest.Authority) { p.Text = "tomorrow\n" }, "what the authority issued"},
		{"no order", func(p *acmetest.Authority) { p.Refuse = true }, "no certificates today"},
	} {
		t.Run(c.what, func(t *testing.T) {
			l, st, names := listening(t), mem.New(), domains(t, "mx.test", "smtp.test")
			p := acmetest.New(t, "http-01", l.Addr().String())
			c.change(p)
			k := keeperOf(t, p, st, HTTP01, l, names, func(tls.Certificate) { t.Error("it was told of") }, func(error) {})
			ca, err := k.authority()
			must(t, err)
			defer ca.cache.Stop()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.answer(ctx, ca) }()
			if _, err := k.obtain(ctx, ca, names); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, ok, err := Load(t.Context(), st, names[0]); ok || err != nil {
				t.Errorf("stored: %v, %v", ok, err)
			}
			cancel()
			must(t, <-ended)
		})
	}
}

// More names than a certificate may bear are asked of nobody.
func TestNamesAreBounded(t *testing.T) {
	p := acmetest.New(t, "http-01", "")
	names := domains(t, "mx.test", "smtp.test", "imap.test")
	k := keeperOf(t, p, mem.New(), HTTP01, listening(t), names, func(tls.Certificate) {}, func(error) {})
	k.o.Limits.Names = 2
	ca, err := k.authority()
	must(t, err)
	defer ca.cache.Stop()
	if _, err := k.obtain(t.Context(), ca, names); err == nil || !strings.Contains(err.Error(), "3 names are more than the 2") {
		t.Error(err)
	}
	if n := p.Asked(); n != 0 {
		t.Errorf("the authority was asked %d times", n)
	}
}

// Challenges in TLS are answered to who asks for them alone: nobody else gets through a handshake, and nobody gets a
// certificate for a name without a challenge.
func TestTLSIsForChallengesAlone(t *testing.T) {
	l := listening(t)
	p := acmetest.New(t, "tls-alpn-01", l.Addr().String())
	k := keeperOf(t, p, mem.New(), TLSALPN01, l, domains(t, "mx.test"), func(tls.Certificate) {}, func(error) {})
	ca, err := k.authority()
	must(t, err)
	defer ca.cache.Stop()
	// Not even one that the library has.
	if _, err := ca.config.CacheUnmanagedTLSCertificate(t.Context(), issue(t, mem.New(), directory, time.Hour, domains(t, "mx.test")...), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.answer(ctx, ca) }()
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"acme-tls/1", "http/1.1"}, {"acme-tls/1"}} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "mx.test", NextProtos: protocols, InsecureSkipVerify: true})
		if err == nil {
			_ = c.Close()
			t.Errorf("%v: got through, with %v", protocols, c.ConnectionState().PeerCertificates[0].Subject)
		}
	}
	cancel()
	must(t, <-ended)
}

// Where challenges are answered is a port of TCP: nothing else can be named to an authority.
func TestChallengesNeedTCP(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/challenges")
	must(t, err)
	defer l.Close()
	p := acmetest.New(t, "http-01", "")
	k := keeperOf(t, p, mem.New(), HTTP01, l, domains(t, "mx.test"), func(tls.Certificate) {}, func(error) {})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.Run(ctx); err == nil || !strings.Contains(err.Error(), "no address of TCP") {
		t.Error(err)
	}
	if host, port, err := hostPort(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}); host != "::1" || port != 80 || err != nil {
		t.Errorf("%s, %d, %v", host, port, err)
	}
}
