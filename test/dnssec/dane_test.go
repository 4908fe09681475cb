package dnssec

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/smtp/client"
	"sallyport/internal/tlspolicy/policytest"
	"sallyport/test/port"
)

// program runs a server of Debian's until the end of the test.
func program(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; !exists(path) {
			t.Fatalf("%s is missing: run scripts/install-test-tools", name)
		}
	}
	var out strings.Builder
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, out.String())
		}
	})
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// resolver starts nsd with the zones and unbound before it, and returns the address
// of the latter. anchors are the keys that it trusts.
func resolver(t *testing.T, zones []*zone, anchors map[string]string) netip.AddrPort {
	t.Helper()
	dir := t.TempDir()
	authority, front := port.Of(t, "127.0.0.1"), port.Of(t, "127.0.0.1")
	nsd := fmt.Sprintf("server:\n ip-address: 127.0.0.1@%d\n username: \"\"\n zonesdir: %q\n pidfile: %q\n database: \"\"\n xfrdfile: %q\n zonelistfile: %q\n cookie-secret-file: \"\"\n server-count: 1\nremote-control:\n control-enable: no\n",
		authority, dir, dir+"/nsd.pid", dir+"/xfrd", dir+"/zones")
	unbound := fmt.Sprintf("server:\n interface: 127.0.0.1\n port: %d\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: %q\n use-syslog: no\n logfile: \"\"\n do-not-query-localhost: no\n num-threads: 1\n local-zone: \"test.\" nodefault\n module-config: \"validator iterator\"\n",
		front, dir, dir+"/unbound.pid")
	stubs := ""
	for _, z := range zones {
		file := filepath.Join(dir, z.origin+"zone")
		z.write(t, file)
		nsd += fmt.Sprintf("zone:\n name: %q\n zonefile: %q\n", z.origin, file)
		if a := anchors[z.origin]; a != "" {
			unbound += fmt.Sprintf(" trust-anchor: \"%s\"\n", strings.Join(strings.Fields(a), " "))
		} else {
			unbound += fmt.Sprintf(" domain-insecure: %q\n", z.origin)
		}
		stubs += fmt.Sprintf("stub-zone:\n name: %q\n stub-addr: 127.0.0.1@%d\n", z.origin, authority)
	}
	check(t, os.WriteFile(dir+"/nsd.conf", []byte(nsd), 0o600))
	check(t, os.WriteFile(dir+"/unbound.conf", []byte(unbound+"remote-control:\n control-enable: no\n"+stubs), 0o600))
	program(t, "nsd", "-d", "-c", dir+"/nsd.conf")
	program(t, "unbound", "-d", "-c", dir+"/unbound.conf")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(front))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		q := new(dns.Msg)
		q.SetQuestion(zones[0].origin, dns.TypeSOA)
		r, err := dns.Exchange(q, at.String())
		if err == nil && r.Rcode == dns.RcodeSuccess {
			return at
		}
		if time.Now().After(end) {
			t.Fatal("unbound does not answer: ", err, r)
		}
	}
}

// host is a mail host with TLS at an address of its own, and how many messages it took.
type host struct{ took atomic.Int64 }

type session struct{ h *host }

func (s session) Reset()                               {}
func (s session) Logout() error                        { return nil }
func (s session) Mail(string, *smtp.MailOptions) error { return nil }
func (s session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.h.took.Add(1)
	return err
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func serve(t *testing.T, at string, cert tls.Certificate) *host {
	t.Helper()
	h := &host{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{h}, nil }))
	server.ErrorLog = quiet{}
	server.Domain, server.TLSConfig = "mx.test", &tls.Config{Certificates: []tls.Certificate{cert}}
	ln, err := net.Listen("tcp", at)
	check(t, err)
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	return h
}

// Mail by DANE as a real validator secures it: the right record lets a self-made
// certificate pass, a wrong one and a bogus signature hold the mail back, and an
// unsigned zone has no DANE.
func TestDANEWithUnbound(t *testing.T) {
	ca, err := policytest.NewAuthority()
	check(t, err)
	cert, err := ca.Issue(policytest.Leaf{Names: []string{"whatever.test"}})
	check(t, err)
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	right, wrong := "3 1 1 "+hex.EncodeToString(sum[:]), "3 1 1 "+strings.Repeat("00", 32)
	mxPort := port.Of(t, "127.0.0.1")
	tlsa := func(name, record string) string { return fmt.Sprintf("_%d._tcp.%s 60 TLSA %s", mxPort, name, record) }
	signed := newZone(t, "signed.test.",
		"good.signed.test. 60 MX 10 mx.signed.test.", "mx.signed.test. 60 A 127.0.0.7", tlsa("mx.signed.test.", right),
		"bad.signed.test. 60 MX 10 bad-mx.signed.test.", "bad-mx.signed.test. 60 A 127.0.0.7", tlsa("bad-mx.signed.test.", wrong),
		"none.signed.test. 60 MX 10 plain-mx.signed.test.", "plain-mx.signed.test. 60 A 127.0.0.7",
		"alias.signed.test. 60 MX 10 alias-mx.signed.test.", "alias-mx.signed.test. 60 CNAME bad-mx.signed.test.",
		"out.signed.test. 60 MX 10 mx.open.test.", "implicit.signed.test. 60 A 127.0.0.7", tlsa("implicit.signed.test.", wrong))
	anchor := signed.sign(t)
	bogus := newZone(t, "bogus.test.", "good.bogus.test. 60 MX 10 mx.bogus.test.", "mx.bogus.test. 60 A 127.0.0.7", tlsa("mx.bogus.test.", right))
	bogusAnchor := bogus.sign(t)
	for i, rr := range bogus.records { // somebody changes a record behind the signature
		if r, ok := rr.(*dns.TLSA); ok {
			forged := *r
			forged.Certificate = strings.Repeat("11", 32)
			bogus.records[i] = &forged
		}
	}
	open := newZone(t, "open.test.", "open.test. 60 MX 10 mx.open.test.", "mx.open.test. 60 A 127.0.0.7", tlsa("mx.open.test.", wrong))
	at := resolver(t, []*zone{signed, bogus, open}, map[string]string{"signed.test.": anchor, "bogus.test.": bogusAnchor})
	served := serve(t, fmt.Sprintf("127.0.0.7:%d", mxPort), cert)

	for _, validating := range []bool{true, false} {
		targets := world(t, at, validating, mxPort)
		for _, row := range []struct{ domain, want string }{
			{"good.signed.test", "250"}, {"bad.signed.test", "451 4.7.5"}, {"none.signed.test", "250"}, {"alias.signed.test", "451 4.7.5"},
			{"out.signed.test", "250"}, {"implicit.signed.test", "451 4.7.5"}, {"open.test", "250"}, {"good.bogus.test", "451 4.7.5"},
		} {
			before := served.took.Load()
			out := send(t, targets, row.domain)
			want := row.want
			if !validating {
				want = "250" // nobody's word is believed, and no records are asked for
			}
			if !strings.HasPrefix(out.Reply.String(), want) || (served.took.Load() > before) != (want == "250") {
				t.Errorf("validating %v, %s: %s, want %s", validating, row.domain, out.Reply, want)
			}
			if row.domain == "good.signed.test" && strings.Contains(out.Policy, "DANE of mx.signed.test: TLSA 3 1 1") != validating {
				t.Errorf("validating %v: the policy is %q", validating, out.Policy)
			}
		}
	}
}

func world(t *testing.T, at netip.AddrPort, validating bool, port int) *mx.Targets {
	t.Helper()
	limits := dnsx.DefaultLimits()
	limits.Query = 20 * time.Second // a loaded machine is no failure
	r, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: at, Validating: validating}}, Limits: limits, Now: time.Now})
	check(t, err)
	hello, err := mail.ParseDomain("mail.home.test")
	check(t, err)
	targets, err := mx.New(mx.Options{
		Hello: hello, Resolver: r, Port: uint16(port), SMTP: client.DefaultLimits(), Timeouts: client.DefaultTimeouts(), Limits: mx.DefaultLimits(), Now: time.Now,
		Own:          func() []netip.Addr { return nil },
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.7/32")}, DANE: true, Logger: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		},
	})
	check(t, err)
	t.Cleanup(func() { targets.Close() })
	return targets
}

func send(t *testing.T, targets *mx.Targets, domain string) mail.Outcome {
	t.Helper()
	d, err := mail.ParseDomain(domain)
	check(t, err)
	to, err := mail.ParseAddress("a@"+domain, mail.ASCII)
	check(t, err)
	id, err := mail.NewID(time.Now(), strings.NewReader(strings.Repeat("x", 64)))
	check(t, err)
	const letter = "Subject: x\r\n\r\nHello\r\n"
	out := targets.For(d).Deliver(t.Context(), nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(letter)), Attempt: 1,
		Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: to}}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(letter)), nil },
	})
	return out[0]
}
