// Package relay runs the table of relay and hijack cases against the real server
// through real sockets, in every way of cutting the bytes, and looks afterwards
// into its mailboxes, its queue, its trace and at the foreign domain.
package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// world is the server under test, the foreign domain, two servers behind and a filter.
type world struct {
	binary string
	server *rig.Server
	sink   *load.Sink
	inner  *load.Sink // takes anybody
	lmtp   *store
	filter *filter
	v6     bool
}

// the is made once by TestMain; the tests of this package share it.
var the world

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if the.binary, err = rig.Build(ctx, dir); err != nil {
		return fail(err)
	}
	if the.sink, err = load.NewSink(load.SinkOptions{Keep: true}); err != nil {
		return fail(err)
	}
	defer the.sink.Close()
	if the.inner, err = load.NewSink(load.SinkOptions{Keep: true}); err != nil {
		return fail(err)
	}
	defer the.inner.Close()
	if the.lmtp, err = newStore(); err != nil {
		return fail(err)
	}
	defer the.lmtp.close()
	the.filter = newFilter()
	defer the.filter.Close()
	the.v6 = hasIPv6()
	the.server, err = rig.Prepare(ctx, rig.Options{
		Binary: the.binary, Dir: dir + "/data", Remote: the.sink.Addr(), IPv6: the.v6,
		// No silence before the banner: thousands of sessions would wait for it.
		// Signed return paths are on, so that what leaves and what has their form is tried.
		// A filter looks at everything, also at what accounts submit.
		Extra: "[limits]\ngreet_delay = \"0s\"\n[return_path]\nsign = \"require\"\n" +
			"[rspamd]\nurl = \"" + the.filter.URL + "\"\naccounts = \"on\"\ntimeout = \"50s\"\n",
	})
	if err != nil {
		return fail(err)
	}
	if err := the.server.Start(ctx); err != nil {
		return fail(err)
	}
	if err := fillDirectory(ctx); err != nil {
		return fail(err)
	}
	code := m.Run()
	if err := the.server.Stop(); err != nil {
		return fail(err)
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "end of the server's log:\n%s\n", the.server.LogTail())
	}
	return code
}

// fillDirectory adds what the rows about catch-alls, groups and servers behind speak of, with the
// commands and under the running server.
func fillDirectory(ctx context.Context) error {
	domain := "catch." + the.server.Domain
	alice, bob := "alice@"+the.server.Domain, "bob@"+the.server.Domain
	for _, args := range [][]string{
		{"domain", "add", domain},
		{"alias", "add", "@" + domain, bob},
		{"alias", "add", "staff@" + domain, alice, bob, "--from", "accounts"},
		{"alias", "add", "open@" + domain, "staff@" + domain},
		{"domain", "add", "inner." + the.server.Domain, "--deliver", "smtp://" + the.inner.Addr()},
		{"domain", "add", "lmtp." + the.server.Domain, "--deliver", "lmtp://" + the.lmtp.addr()},
		{"dkim", "rotate", the.server.Domain},
		{"dkim", "activate", the.server.Domain},
		{"alias", "add", "desk@" + domain, "desk@inner." + the.server.Domain},
	} {
		if out, err := the.server.CLI(ctx, "", args...); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	return nil
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// target returns the server as the audit sees it, on its IPv4 or IPv6 doors.
func target(t *testing.T, family int) relayaudit.Target {
	t.Helper()
	return targetOf(t, the.server, family)
}

// targetOf is target for another server.
func targetOf(t *testing.T, s *rig.Server, family int) relayaudit.Target {
	t.Helper()
	account := s.Accounts[0]
	door := func(addrs []string) netip.AddrPort {
		a, err := netip.ParseAddrPort(addrs[family])
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	lim := relayaudit.DefaultLimits()
	lim.Dial, lim.Reply = time.Minute, time.Minute // the machine is loaded
	return relayaudit.Target{
		MX: door(s.Listen.MX), Submission: door(s.Listen.Submission), Submissions: door(s.Listen.Submissions),
		Hostname: domain(t, s.Hostname), Local: domain(t, s.Domain),
		Second: domain(t, "other.test"), Remote: domain(t, "remote.test"),
		Roots: roots(t, s), User: account.Address, Password: account.Password, Limits: lim,
	}
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func roots(t *testing.T, s *rig.Server) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.CA)
	}
	return pool
}

func tlsConfig(t *testing.T) *tls.Config {
	return &tls.Config{RootCAs: roots(t, the.server), ServerName: the.server.Hostname}
}
