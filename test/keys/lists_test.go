package keys

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/config"
	"sallyport/internal/node/survey/surroundings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/geo"
	"sallyport/test/port"
)

// real skips a test that needs the programs of `make screen`.
func real(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_SCREEN") == "" {
		t.Skip("make screen runs it")
	}
}

// run runs a server of Debian's until the end of the test.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command("/usr/sbin/"+name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, out.String())
		}
	})
}

// lists are what rbldnsd serves, by zone: its kind and its file.
var lists = map[string][2]string{
	"bl.lists.test":    {"ip4set", ":127.0.0.2:listed\n127.0.0.2\n192.0.2.66\n198.51.100.0/24\n!198.51.100.9\n"},
	"grey.lists.test":  {"ip4set", ":127.0.0.4:a second opinion\n127.0.0.2\n192.0.2.66 :127.0.0.4:\n192.0.2.67 :127.0.0.9:\n203.0.113.5 :127.0.0.4:\n"},
	"good.lists.test":  {"ip4set", ":127.0.10.3:known\n127.0.0.2\n203.0.113.5\n198.51.100.77\n"},
	"six.lists.test":   {"ip6trie", ":127.0.0.2:listed\n::ffff:7f00:2/128\n2001:db8:bad::/48\n"},
	"old6.lists.test":  {"ip6trie", ":127.0.0.2:listed\n2001:db8:bad::/48\n"},
	"names.lists.test": {"dnset", ":127.0.0.2:listed\ntest\nspam.example\n.wild.example\n"},
	"angry.lists.test": {"ip4set", ":127.255.255.254:ask your own resolver\n0.0.0.0/1\n128.0.0.0/1\n"},
	"every.lists.test": {"ip4set", ":127.0.0.2:given up\n0.0.0.0/1\n128.0.0.0/1\n"},
}

// zones are what NSD serves: the root, which tells a resolver that answers from a list that does
// not, the reverse of two networks, one of which is delegated in parts
// of less than an octet, and the names that they lead to. RFC 2317
var zones = map[string]string{
	"":                                 "",
	"2.0.192.in-addr.arpa":             "0/25 NS ns.example.test.\n128-255 NS ns.example.test.\n7 CNAME 7.0/25.2.0.192.in-addr.arpa.\n8 CNAME 8.0/25.2.0.192.in-addr.arpa.\n200 CNAME 200.128-255.2.0.192.in-addr.arpa.\n",
	"0/25.2.0.192.in-addr.arpa":        "7 PTR pool-7.dyn.example.test.\n8 PTR forged.dyn.example.test.\n",
	"128-255.2.0.192.in-addr.arpa":     "200 PTR mail.partner.example.test.\n",
	"3.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.dyn.example.test.\n",
	"example.test":                     "ns A 127.0.0.1\npool-7.dyn A 192.0.2.7\nforged.dyn A 192.0.2.99\nmail.partner A 192.0.2.200\nsix.dyn AAAA 2001:db8:3::1\n",
}

// resolver starts all of them and returns where unbound is asked.
func resolver(t *testing.T) netip.AddrPort {
	t.Helper()
	dir := t.TempDir()
	names, blocked, dead, front := port.Of(t, "127.0.0.1"), port.Of(t, "127.0.0.1"), port.Of(t, "127.0.0.1"), port.Of(t, "127.0.0.1")
	nsd := fmt.Sprintf("server:\n ip-address: 127.0.0.1@%d\n username: \"\"\n zonesdir: %q\n pidfile: %q\n database: \"\"\n xfrdfile: %q\n zonelistfile: %q\n cookie-secret-file: \"\"\n server-count: 1\nremote-control:\n control-enable: no\n",
		names, dir, dir+"/nsd.pid", dir+"/xfrd", dir+"/zones")
	unbound := fmt.Sprintf("server:\n interface: 127.0.0.1\n port: %d\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: %q\n use-syslog: no\n logfile: \"\"\n do-not-query-localhost: no\n num-threads: 1\n module-config: \"iterator\"\n local-zone: \"test.\" nodefault\n local-zone: \"2.0.192.in-addr.arpa.\" nodefault\n local-zone: \"8.b.d.0.1.0.0.2.ip6.arpa.\" nodefault\n",
		front, dir, dir+"/unbound.pid")
	stubs := ""
	stub := func(zone string, at int) {
		stubs += fmt.Sprintf("stub-zone:\n name: %q\n stub-addr: 127.0.0.1@%d\n stub-prime: no\n", zone+".", at)
	}
	i := 0
	for zone, text := range zones {
		i++
		file := filepath.Join(dir, fmt.Sprint("zone", i))
		must(t, os.WriteFile(file, []byte("$ORIGIN "+zone+".\n$TTL 60\n@ SOA ns.example.test. x.example.test. 1 60 60 60 60\n@ NS ns.example.test.\n"+text), 0o644))
		nsd += fmt.Sprintf("zone:\n name: %q\n zonefile: %q\n", zone+".", file)
		stub(zone, names)
	}
	args := []string{"-n", "-e", "-b", fmt.Sprintf("127.0.0.1/%d", blocked), "-r", dir}
	if os.Getuid() == 0 {
		must(t, os.Chmod(dir, 0o755))
		must(t, os.Chmod(filepath.Dir(dir), 0o755))
		args = append(args, "-u", "nobody")
	}
	for zone, l := range lists {
		file := zone + ".list"
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("$SOA 60 ns.lists.test x.lists.test 1 60 60 60 60\n$NS 60 ns.lists.test\n"+l[1]), 0o644))
		args = append(args, zone+":"+l[0]+":"+file)
		stub(zone, blocked)
	}
	stub("dead.lists.test", dead)
	must(t, os.WriteFile(dir+"/nsd.conf", []byte(nsd), 0o644))
	must(t, os.WriteFile(dir+"/unbound.conf", []byte(unbound+"remote-control:\n control-enable: no\n"+stubs), 0o644))
	run(t, "nsd", "-d", "-c", dir+"/nsd.conf")
	run(t, "rbldnsd", args...)
	run(t, "unbound", "-d", "-c", dir+"/unbound.conf")
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(front))
	for _, q := range []struct {
		name string
		kind uint16
	}{{"2.0.0.127.bl.lists.test.", dns.TypeA}, {"7.2.0.192.in-addr.arpa.", dns.TypePTR}} {
		eventually(t, q.name, func() bool {
			m := new(dns.Msg)
			m.SetQuestion(q.name, q.kind)
			r, err := dns.Exchange(m, at.String())
			return err == nil && r.Rcode == dns.RcodeSuccess && len(r.Answer) > 0
		})
	}
	return at
}

// Lists as rbldnsd serves them and names as NSD does, asked over unbound: who is listed is kept
// out at the socket, who is spoken for is not, errors of a list and a dead one keep nobody
// out, and a name counts where it leads back, over delegations of less than an octet too.
func TestRealLists(t *testing.T) {
	real(t)
	more := fmt.Sprintf("[mx]\ndelivery = \"off\"\ndns = [%q]\n", resolver(t)) + balanced + `[screen]
list = "list"
refuse_at = 10
timeout = "5s"
[dnsbl."bl.lists.test"]
weight = 10
[dnsbl."grey.lists.test"]
weight = 6
answers = ["127.0.0.4/32"]
[dnsbl."good.lists.test"]
weight = -5
[dnsbl."six.lists.test"]
weight = 10
[dnsbl."names.lists.test"]
of = "sender"
weight = 10
[dnsbl."angry.lists.test"]
weight = 10
[dnsbl."dead.lists.test"]
weight = 10
`
	s := newSite(t, more)
	s.file("list", "exempt name *.partner.example.test\nrefuse name *.dyn.example.test send by your provider\n")
	s.start(map[string]string{"alice@local.test": "person"})
	for _, c := range []struct{ from, sender, want string }{
		{"192.0.2.66", "x@far.test", "550 5.7.1 192.0.2.66 is listed by bl.lists.test, 192.0.2.66 is listed by grey.lists.test;"},
		{"192.0.2.67", "x@far.test", "250"},   // an answer that is no entry for us
		{"198.51.100.9", "x@far.test", "250"}, // excluded from its network's entry
		{"198.51.100.8", "x@far.test", "550 5.7.1 198.51.100.8 is listed by bl.lists.test;"},
		{"198.51.100.77", "x@far.test", "250"}, // a list of the good speaks for it
		{"203.0.113.5", "x@far.test", "250"},
		{"203.0.113.6", "x@spam.example", "550 5.7.1 spam.example is listed by names.lists.test;"},
		{"203.0.113.6", "x@a.wild.example", "550 5.7.1 a.wild.example is listed by names.lists.test;"},
		{"203.0.113.6", "x@a.spam.example", "250"},
		{"2001:db8:bad::1", "x@far.test", "550 5.7.1 2001:db8:bad::1 is listed by six.lists.test;"},
		{"192.0.2.7", "x@far.test", "550 5.7.1 refused by this server's list: send by your provider"},
		{"2001:db8:3::1", "x@far.test", "550 5.7.1 refused by this server's list: send by your provider"},
		{"192.0.2.8", "x@far.test", "250"},       // its name leads elsewhere
		{"192.0.2.200", "x@spam.example", "250"}, // exempt by the name that it proves
		{"192.0.2.9", "x@far.test", "250"},       // no name
	} {
		if r := s.mustVisit(c.from).offer(c.sender, "alice@local.test", 300, true); !strings.HasPrefix(r, c.want) {
			t.Errorf("%s from %s is told %s", c.sender, c.from, r)
		}
	}
	a, err := s.Operator().ScreenTest(t.Context(), operate.Self(), operate.ScreenVisitor{Client: "203.0.113.77"})
	must(t, err)
	if said := strings.Join(a.Asked, "\n"); !strings.Contains(said, "127.255.255.254 is an error of the list") || !strings.Contains(said, "dead.lists.test says nothing of 203.0.113.77: it could not be asked") || a.Score != 0 {
		t.Errorf("a person is told of score %d, %s", a.Score, said)
	}

	s.configure(more + "[dnsbl.\"every.lists.test\"]\nweight = 1\n[dnsbl.\"none.lists.test\"]\nweight = 1\n[dnsbl.\"old6.lists.test\"]\nweight = 1\n")
	cfg, err := config.Load(filepath.Join(s.dir, "sallyport.toml"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	found := map[string]doctor.Finding{}
	for _, f := range surroundings.Gather(ctx, cfg, surroundings.Options{Logger: slog.New(slog.DiscardHandler)}).Others {
		if f.Check == "dnsbl" {
			found[f.Subject] = f
		}
	}
	for zone, want := range map[string]string{
		"bl.lists.test": "it answers", "grey.lists.test": "it answers", "good.lists.test": "it answers", "names.lists.test": "it answers",
		"six.lists.test": "it answers about IPv6 addresses alone", "old6.lists.test": "it does not list its test entry, 127.0.0.2 or ::ffff:7f00:2",
		"angry.lists.test": "it lists nobody: 127.255.255.254", "dead.lists.test": "it lists nobody: it could not be asked", "every.lists.test": "it lists everybody",
	} {
		if f := found[zone]; !strings.HasPrefix(f.What, want) || (f.State == doctor.Fine) != strings.HasPrefix(want, "it answers") {
			t.Errorf("doctor says of %s: %+v", zone, f)
		}
	}
}

// A file of countries as the npm registry has it is read: millions of networks, in the form
// with the code alone.
func TestRealPlaces(t *testing.T) {
	real(t)
	dir := t.TempDir()
	for _, c := range [][]string{{"npm", "pack", "--silent", "@ip-location-db/geolite2-country-mmdb"}, {"sh", "-c", "tar xzf *.tgz"}} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
	began := time.Now()
	for file, at := range map[string]map[string]string{
		"geolite2-country.mmdb":      {"193.0.6.139": "NL", "::ffff:193.0.6.139": "NL", "2001:67c:2e8:22::c100:68b": "NL", "192.0.2.1": ""},
		"geolite2-country-ipv4.mmdb": {"193.0.6.139": "NL", "2001:67c:2e8:22::c100:68b": ""},
	} {
		a, err := geo.Open([]string{filepath.Join(dir, "package", file)}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		must(t, err)
		for ip, want := range at {
			if got := a.Lookup(netip.MustParseAddr(ip)).Country; got != want {
				t.Errorf("%s: %s is in %q, want %q", file, ip, got, want)
			}
		}
		t.Logf("%s: %s, made on %s", file, a.Files()[0].Type, a.Files()[0].Built.UTC().Format(time.DateOnly))
	}
	t.Logf("both are read and walked in %s", time.Since(began).Round(time.Millisecond))
}
