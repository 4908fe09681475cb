package gather

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
	"sallyport/test/port"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func domain(t *testing.T, name string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(name)
	must(t, err)
	return d
}

// resolver asks a name server of its own.
func resolver(t *testing.T, records ...string) dnsx.Resolver {
	t.Helper()
	zone, err := dnstest.NewZone(records...)
	must(t, err)
	l := dnsx.DefaultLimits()
	c, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: dnstest.Serve(t, zone.Play).Addr}}, Limits: l, Now: time.Now})
	must(t, err)
	return c
}

// options look at nothing but an empty folder.
func options(t *testing.T) Options {
	t.Helper()
	l := DefaultLimits()
	l.Look = 2 * time.Second
	return Options{
		Now: time.Now(), Hostname: domain(t, "mx.example.org"), ResolverError: "none is configured", Data: t.TempDir(), Limits: l, Port: 25,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is dialled") },
	}
}

func TestWhatTheDNSSays(t *testing.T) {
	o := options(t)
	o.Domains = []mail.Domain{domain(t, "example.org"), domain(t, "bare.example")}
	o.Outbound = "example.net"
	dialled := ""
	o.Dial = func(_ context.Context, network, at string) (net.Conn, error) {
		dialled = network + " " + at
		here, there := net.Pipe()
		return here, there.Close()
	}
	o.Resolver = resolver(t,
		"mx.example.org. 60 A 8.8.8.8", "8.8.8.8.in-addr.arpa. 60 PTR mx.example.org.",
		"example.org. 60 MX 10 mx.example.org.", `example.org. 60 TXT "v=spf1 mx -all"`, "_dmarc.example.org. 60 TXT \"v=DMARC1; \\009p=none\"",
		"bare.example. 60 MX 0 .", "example.net. 60 MX 10 there.example.net.", "there.example.net. 60 A 9.9.9.9",
		"SERVFAIL TXT _mta-sts.example.org.", "iana.org. 60 A 1.1.1.1")
	f := Gather(t.Context(), o)
	if f.Resolver.Error != "" || !f.Resolver.Asked || len(f.Resolver.Invents) != 0 || f.Resolver.Secure != doctor.Note {
		t.Errorf("resolver %+v", f.Resolver)
	}
	if !slices.Equal(f.Host.Values, []string{"8.8.8.8"}) || len(f.Reverse) != 1 || !slices.Equal(f.Reverse[0].Back, f.Host.Values) {
		t.Errorf("host %+v, reverse %+v", f.Host, f.Reverse)
	}
	if len(f.Domains) != 2 {
		t.Fatalf("%+v", f.Domains)
	}
	d := f.Domains[0]
	if !slices.Equal(d.MX.Values, []string{"mx.example.org"}) || !slices.Equal(d.MXHosts["mx.example.org"], f.Host.Values) || d.SPF.Values[0] != "v=spf1 mx -all" {
		t.Errorf("%+v", d)
	}
	if len(d.Senders) != 1 || !d.Senders[0].Passes || d.Senders[0].Address != "8.8.8.8" {
		t.Errorf("what SPF says of us: %+v", d.Senders)
	}
	// A terminal must not obey the DNS; what is not known is not said to be absent.
	if d.DMARC.Values[0] != "v=DMARC1; ?p=none" || d.MTASTS.Absent || d.MTASTS.Error == "" || !d.TLSRPT.Absent {
		t.Errorf("%+v", d)
	}
	if null := f.Domains[1]; !slices.Equal(null.MX.Values, []string{"."}) || !null.SPF.Absent {
		t.Errorf("%+v", null)
	}
	if f.Outbound == nil || f.Outbound.Error != "" || dialled != "tcp 9.9.9.9:25" || f.Outbound.To != "9.9.9.9:25" {
		t.Errorf("%+v, dialled %q", f.Outbound, dialled)
	}
	for _, to := range []string{"not a domain", "nowhere.example"} {
		o.Outbound = to
		if f := Gather(t.Context(), o); f.Outbound == nil || f.Outbound.Error == "" {
			t.Errorf("%s: %+v", to, f.Outbound)
		}
	}
}

// An SPF record is asked what it says of our addresses, as others ask it; where all mail leaves by
// a next hop, others never see them.
func TestWhatSPFSaysOfUs(t *testing.T) {
	o := options(t)
	o.Resolver = resolver(t, "mx.example.org. 60 A 8.8.8.8", "mx.example.org. 60 A 10.0.0.1",
		`closed.example. 60 TXT "v=spf1 ip4:9.9.9.9 -all"`, `loop.example. 60 TXT "v=spf1 include:loop.example -all"`,
		`dead.example. 60 TXT "v=spf1 include:gone.example -all"`, "SERVFAIL TXT gone.example.",
		`two.example. 60 TXT "v=spf1 -all"`, `two.example. 60 TXT "v=spf1 ~all"`)
	for _, c := range []struct {
		name string
		ok   func(doctor.SenderFacts) bool
	}{
		{"closed.example", func(s doctor.SenderFacts) bool { return s.Verdict == "fail" && s.Broken == "" && s.Unknown == "" }},
		{"loop.example", func(s doctor.SenderFacts) bool { return s.Broken != "" }},
		{"dead.example", func(s doctor.SenderFacts) bool { return s.Unknown != "" && s.Broken == "" }},
		{"two.example", nil}, // which is told by itself
	} {
		o.Domains = []mail.Domain{domain(t, c.name)}
		o.Hub = false
		got := Gather(t.Context(), o).Domains[0].Senders
		switch {
		case c.ok == nil && len(got) == 0:
		case c.ok == nil || len(got) != 1 || got[0].Address != "8.8.8.8" || got[0].Passes || !c.ok(got[0]):
			t.Errorf("%s: %+v", c.name, got)
		}
		o.Hub = true
		if got := Gather(t.Context(), o).Domains[0].Senders; len(got) > 0 {
			t.Errorf("%s, where all leaves by a next hop: %+v", c.name, got)
		}
	}
}

// A host without IPv6 delivers by IPv4: that the one is not to be reached says nothing where the other is.
func TestAWayOutByEitherFamily(t *testing.T) {
	o := options(t)
	o.Outbound = "example.net"
	o.Resolver = resolver(t, "example.net. 60 MX 10 there.example.net.", "there.example.net. 60 A 9.9.9.9", "there.example.net. 60 AAAA 2620:fe::9", "iana.org. 60 A 1.1.1.1")
	for _, c := range []struct{ six, four, to, fault string }{
		{"network is unreachable", "", "9.9.9.9:25", ""},
		{"cannot assign requested address", "", "9.9.9.9:25", ""},
		{"network is unreachable", "connection refused", "9.9.9.9:25", "connection refused"},
		{"connection refused", "", "[2620:fe::9]:25", "connection refused"},
		{"", "connection refused", "[2620:fe::9]:25", ""},
	} {
		o.Dial = func(_ context.Context, _, at string) (net.Conn, error) {
			word := c.four
			if strings.HasPrefix(at, "[") {
				word = c.six
			}
			for _, e := range []syscall.Errno{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED} {
				if e.Error() == word {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)}
				}
			}
			here, there := net.Pipe()
			return here, there.Close()
		}
		f := Gather(t.Context(), o).Outbound
		if f == nil || f.To != c.to || (f.Error == "") != (c.fault == "") || !strings.HasSuffix(f.Error, c.fault) {
			t.Errorf("IPv6 %q, IPv4 %q: %+v", c.six, c.four, f)
		}
	}
}

func TestResolvers(t *testing.T) {
	o := options(t)
	o.Domains = []mail.Domain{domain(t, "example.org")}
	if f := Gather(t.Context(), o); f.Resolver.Error != "none is configured" || len(f.Domains) != 0 {
		t.Errorf("without one: %+v", f.Resolver)
	}
	o.Resolver = resolver(t, "SERVFAIL *.invalid.")
	if f := Gather(t.Context(), o); f.Resolver.Error == "" || f.Resolver.Asked || len(f.Domains) != 0 {
		t.Errorf("a broken one: %+v, %+v", f.Resolver, f.Domains)
	}
}

// server greets once a connection.
func server(t *testing.T, secure *tls.Config, greeting string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := netip.MustParseAddrPort(ln.Addr().String())
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, greeting)
			_ = c.Close()
		}
	}()
	return at
}

func TestPortsAndHops(t *testing.T) {
	ca, err := pki.NewAuthority("test", pki.Names{Hosts: []string{"example.org"}}, time.Now())
	must(t, err)
	certPEM, keyPEM, err := ca.Issue(pki.Names{Hosts: []string{"mx.example.org"}}, time.Now())
	must(t, err)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	clear, secure := server(t, nil, "220 mx\x1b ESMTP\r\n"), server(t, &tls.Config{Certificates: []tls.Certificate{pair}}, "220 secure\r\n")
	silent := server(t, nil, "")
	free := netip.MustParseAddrPort(port.Loopback(t))
	o := options(t)
	o.Listeners = []Listener{{"mx", clear, false}, {"submissions", secure, true}, {"mx", netip.MustParseAddrPort("127.0.0.1:0"), false}, {"mx", free, false}, {"mx", silent, false}}
	o.Behind = []Hop{{"domain a", "tcp", clear.String(), false}, {"domain b", "tcp", clear.String(), false}, {"route *", "unix", "/nowhere", false}}
	f := Gather(t.Context(), o)
	if len(f.Ports) != 4 {
		t.Fatalf("%+v", f.Ports)
	}
	if p := f.Ports[0]; p.Greeting != "220 mx? ESMTP" || p.Error != "" {
		t.Errorf("%+v", p)
	}
	if p := f.Ports[1]; p.Greeting != "220 secure" {
		t.Errorf("%+v", p)
	}
	if p := f.Ports[2]; !p.Free || p.BindErr != "" {
		t.Errorf("a free port: %+v", p)
	}
	if p := f.Ports[3]; p.Free || p.BindErr == "" {
		t.Errorf("a silent one: %+v", p)
	}
	if len(f.Behind) != 2 || f.Behind[0].Greeting != "220 mx? ESMTP" || f.Behind[1].Error == "" {
		t.Errorf("%+v", f.Behind)
	}
	o.Server.Running = true
	if p := Gather(t.Context(), o).Ports[2]; p.Free || p.Error == "" {
		t.Errorf("a server runs, and does not answer: %+v", p)
	}
	for at, want := range map[string]string{"0.0.0.0:25": "127.0.0.1:25", "[::]:25": "[::1]:25", "192.0.2.1:25": "192.0.2.1:25"} {
		if got := reachable(netip.MustParseAddrPort(at)); got.String() != want {
			t.Errorf("%s is reached at %s", at, got)
		}
	}
}

func TestDiskFilesAndLimits(t *testing.T) {
	o := options(t)
	key, open := filepath.Join(o.Data, "key"), filepath.Join(o.Data, "open")
	must(t, os.WriteFile(key, nil, 0o640))
	must(t, os.Mkdir(open, 0o777))
	must(t, os.Chmod(open, 0o777))
	if os.Geteuid() == 0 { // to nobody is root exposed
		must(t, os.Chown(o.Data, 65533, -1))
	}
	must(t, os.WriteFile(filepath.Join(open, "sock"), nil, 0o600))
	o.Files = []File{
		{Path: key, What: "a key", Secret: true}, {Path: filepath.Join(o.Data, "later"), What: "later", Later: true}, {Path: filepath.Join(o.Data, "none"), What: "none"},
		{Path: filepath.Join(open, "sock"), What: "a socket", Socket: true}, {Path: filepath.Join(o.Data, "x", "sock"), What: "a socket to come", Socket: true},
	}
	o.MinFree, o.Connections, o.Server.PID = 7, 9, os.Getpid()
	f := Gather(t.Context(), o)
	if len(f.Files) != 3 || f.Files[0].Mode != 0o640 || !f.Files[0].Ours || !f.Files[0].Secret || f.Files[1].Error == "" || f.Files[2].Exposed == "" {
		t.Errorf("%+v", f.Files)
	}
	if d := f.Disk; d.MinFree != 7 || d.Total == 0 || d.Error != "" || d.SyncError != "" || d.Path != o.Data {
		t.Errorf("%+v", d)
	}
	if left, err := filepath.Glob(filepath.Join(o.Data, ".doctor-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if l := f.Limits; l.Connections != 9 || l.FilesOf != "the running server" || l.Files == 0 {
		t.Errorf("%+v", l)
	}
	o.Data, o.Server.PID = "/nowhere", 0
	if f := Gather(t.Context(), o); f.Disk.Error == "" || f.Limits.FilesOf != "a server started from here" {
		t.Errorf("%+v, %+v", f.Disk, f.Limits)
	}
	if number(" 12 x") != 12 || number("") != 0 || number("unlimited") != 0 {
		t.Error("numbers are read otherwise")
	}
}

func TestCertificates(t *testing.T) {
	o := options(t)
	ca, err := pki.NewAuthority("test", pki.Names{Hosts: []string{"example.org"}}, o.Now)
	must(t, err)
	certPEM, keyPEM, err := ca.Issue(pki.Names{Hosts: []string{"mx.example.org"}}, o.Now)
	must(t, err)
	if f := Gather(t.Context(), o); f.TLS.Configured {
		t.Errorf("none: %+v", f.TLS)
	}
	cert, key := filepath.Join(o.Data, "c.pem"), filepath.Join(o.Data, "k.pem")
	must(t, os.WriteFile(cert, certPEM, 0o600))
	must(t, os.WriteFile(key, keyPEM, 0o600))
	o.Certificate = Certificate{File: cert, Key: key, Names: []string{"mx.example.org", "smtp.example.org"}, Policies: true}
	o.Domains = []mail.Domain{domain(t, "example.org")}
	o.Resolver = resolver(t, `_mta-sts.example.org. 60 TXT "v=STSv1; id=1"`)
	f := Gather(t.Context(), o)
	if !f.TLS.Configured || !f.TLS.CoversHostname || f.TLS.Chain == "" || f.TLS.File != cert || f.TLS.NotAfter.Before(o.Now) {
		t.Errorf("%+v", f.TLS)
	}
	if !slices.Equal(f.TLS.Lacks, []string{"smtp.example.org", "mta-sts.example.org"}) {
		t.Errorf("lacks %q", f.TLS.Lacks)
	}
	o.Certificate.Key = cert
	if f := Gather(t.Context(), o); f.TLS.Error == "" {
		t.Errorf("a key that is none: %+v", f.TLS)
	}
	o.Certificate = Certificate{Authority: "https://ca.test/", Fault: "refused", Next: o.Now}
	if f := Gather(t.Context(), o); !f.TLS.Pending || f.TLS.Fault != "refused" || f.TLS.Lacks != nil {
		t.Errorf("not obtained: %+v", f.TLS)
	}
	o.Certificate.Chain = string(certPEM)
	if f := Gather(t.Context(), o); f.TLS.Pending || !f.TLS.CoversHostname {
		t.Errorf("obtained: %+v", f.TLS)
	}
	if chain := parseChain([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")); chain != nil {
		t.Error("nonsense is a certificate")
	}
}

// Each key is compared with what the DNS shows of it, and a domain without keys is named.
func TestKeys(t *testing.T) {
	const record, other = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	o := options(t)
	o.Resolver, o.Signs = resolver(t, "x.example. 60 A 1.1.1.1"), true
	o.Domains = []mail.Domain{domain(t, "example.org"), domain(t, "bare.example")}
	for _, k := range []struct{ selector, state string }{{"shown", "active"}, {"lost", "active"}, {"new", "waiting"}, {"old", "retired"}, {"wrong", "active"}, {"silent", "active"}} {
		o.Keys = append(o.Keys, Key{Domain: "example.org", Selector: k.selector, Name: k.selector, Algorithm: "ed25519", State: k.state, Text: record, Zone: "zone"})
	}
	o.Keys = append(o.Keys, Key{Domain: "not a domain"})
	o.Find = func(_ context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found {
		found := map[dkim.KeyName]dkim.Found{}
		for _, n := range names {
			switch n.Selector {
			case "shown":
				found[n] = dkim.Found{Records: []string{record}}
			case "wrong":
				found[n] = dkim.Found{Records: []string{other}}
			case "silent":
				found[n] = dkim.Found{Temporary: true}
			}
		}
		return found
	}
	got := map[string]doctor.Finding{}
	for _, f := range Gather(t.Context(), o).Others {
		got[f.Subject] = f
		if f.State == doctor.Wrong && f.Remedy == "" {
			t.Errorf("%s is wrong, and nothing helps", f.Subject)
		}
	}
	for subject, want := range map[string]doctor.State{
		"bare.example": doctor.Warning, "shown": doctor.Fine, "lost": doctor.Wrong, "new": doctor.Warning, "old": doctor.Warning, "wrong": doctor.Wrong, "silent": doctor.Unknown,
	} {
		if f, ok := got[subject]; !ok || f.State != want {
			t.Errorf("%s: %+v", subject, f)
		}
	}
	o.KeysFault = "it is locked"
	if all := Gather(t.Context(), o).Others; len(all) != 1 || all[0].State != doctor.Unknown || !strings.Contains(all[0].What, "could not be read: it is locked") {
		t.Errorf("keys that could not be read: %+v", all)
	}
	if len(got) != 7 || !strings.Contains(got["old"].What, "taken out") {
		t.Errorf("%+v", got)
	}
}
