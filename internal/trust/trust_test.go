package trust_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func printers(t testing.TB) *trust.Table {
	t.Helper()
	table, err := trust.NewTable([]trust.Network{
		{Name: "printers", From: prefixes("10.20.0.0/24", "fd20::/64"), Account: address(t, "printers@local.test")},
		{Name: "scales", From: prefixes("10.20.2.0/23"), Account: address(t, "scales@local.test")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// An address belongs to the network that holds it, and to none beside it.
func TestOf(t *testing.T) {
	table := printers(t)
	for a, want := range map[string]string{
		"10.20.0.0": "printers", "10.20.0.255": "printers", "::ffff:10.20.0.7": "printers", "fd20::1": "printers", "10.20.3.255": "scales",
		"10.19.255.255": "", "10.20.1.0": "", "10.20.4.0": "", "fd20:0:0:1::1": "", "fd20::1%eth0": "", "0.0.0.0": "", "::": "",
	} {
		if n, ok := table.Of(ip(a)); n.Name != want || ok != (want != "") {
			t.Errorf("%s is of %q, %v", a, n.Name, ok)
		}
	}
	if _, ok := table.Of(netip.Addr{}); ok {
		t.Error("no address is of a network")
	}
	if _, ok := (&trust.Table{}).Of(ip("10.20.0.1")); ok {
		t.Error("the empty table has a network")
	}
	for _, other := range []string{"10.20.0.0/16", "10.20.0.128/25", "10.20.0.0/24", "fd20::/48"} {
		_, err := trust.NewTable([]trust.Network{{Name: "a", From: prefixes("10.20.0.0/24", "fd20::/64")}, {Name: "b", From: prefixes(other)}})
		if err == nil || !strings.Contains(err.Error(), "lies within") {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// The table says of every address what looking through all networks says.
func TestOfIsMembership(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []trust.Network
		for i := range rapid.IntRange(0, 8).Draw(t, "networks") {
			a := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, "b")), byte(rapid.IntRange(0, 3).Draw(t, "c")), 0})
			all = append(all, trust.Network{Name: fmt.Sprint(i), From: []netip.Prefix{netip.PrefixFrom(a, rapid.IntRange(14, 26).Draw(t, "bits")).Masked()}})
		}
		table, err := trust.NewTable(all)
		if err != nil {
			return
		}
		a := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 4).Draw(t, "x")), byte(rapid.IntRange(0, 4).Draw(t, "y")), byte(rapid.IntRange(0, 255).Draw(t, "z"))})
		want := ""
		for _, n := range all {
			if n.From[0].Contains(a) {
				want = n.Name
			}
		}
		if n, ok := table.Of(a); n.Name != want || ok != (want != "") {
			t.Fatalf("%s is of %q, and not of %q", a, n.Name, want)
		}
	})
}

func host() trust.Host {
	return trust.Host{
		Known: true, Own: []netip.Addr{ip("10.20.0.2"), ip("172.17.0.1")}, Gateways: []netip.Addr{ip("10.20.0.1"), ip("fd20::1")},
		Bridges: prefixes("172.17.0.0/16"), Balancers: prefixes("10.20.0.8/30"),
	}
}

// Whoever others may look like never counts.
func TestBars(t *testing.T) {
	for _, a := range []string{
		"10.20.0.2", "::ffff:10.20.0.2", "10.20.0.1", "fd20::1", "172.17.0.9", "10.20.0.9", "127.0.0.1",
		"127.9.9.9", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1", "fe80::1%eth0",
		"64:ff9b::a14:3", "64:ff9b::cb00:7105", "64:ff9b:1::a14:3", "2002:cb00:7105::1", "2001:0:cb00:7105::1", "::10.20.0.3", "::ffff:0:10.20.0.3",
	} {
		if host().Bars(ip(a)) == "" {
			t.Errorf("%s may count", a)
		}
	}
	for _, a := range []string{"10.20.0.3", "::ffff:10.20.0.3", "fd20::2", "10.20.0.12", "203.0.113.1", "2001:db8::1", "2001:100::1", "2003::1"} {
		if why := host().Bars(ip(a)); why != "" {
			t.Errorf("%s: %s", a, why)
		}
	}
	if (trust.Host{}).Bars(ip("10.20.0.3")) == "" || host().Bars(netip.Addr{}) == "" {
		t.Error("what is not known may count")
	}
}

// A network that holds any address which stands for another is told.
func TestTranslated(t *testing.T) {
	for text, want := range map[string]bool{
		"64:ff9b::/96": true, "64:ff9b::a14:0/120": true, "64:ff9b:1::/48": true, "2002:cb00:7105::/48": true, "2001:0:cb00::/48": true, "::/96": true, "::ffff:0:0:0/96": true,
		"::ffff:0:a14:0/112": true, "::10.20.0.0/120": true, "::/48": true,
		"fd20::/64": false, "2001:db8::/48": false, "10.20.0.0/24": false, "0.0.0.0/24": false, "64:ff9c::/48": false, "2003::/48": false,
	} {
		if got := trust.Translated(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// seen is the evidence of clients, one an hour.
func seen(t testing.TB, from ...string) (e trust.Evidence) {
	for i, a := range from {
		e, _ = e.With(ip(a), host(), printers(t), trust.DefaultLimits(), begin.Add(time.Duration(i)*time.Hour))
	}
	return e
}

// Three public networks are proof for their family, for a week; nothing else is any.
func TestEvidence(t *testing.T) {
	l, now := trust.DefaultLimits(), begin.Add(3*time.Hour)
	three := []string{"203.0.113.1", "198.51.100.1", "192.0.2.1"}
	if why := seen(t, three...).Lacks(ip("10.20.0.3"), l, now); why != "" {
		t.Error(why)
	}
	for name, from := range map[string][]string{
		"none": nil, "two": three[:2], "one network": {"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.1"},
		"private":              {"203.0.113.1", "198.51.100.1", "10.1.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd00::1", "64:ff9b::1", "169.254.1.1", "127.0.0.1", "240.0.0.1"},
		"of the other family":  {"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"},
		"mapped, one network":  {"::ffff:203.0.113.1", "203.0.113.9", "::ffff:203.0.113.77"},
		"our own and gateways": {"10.20.0.1", "10.20.0.2", "172.17.0.1"},
	} {
		if seen(t, from...).Lacks(ip("10.20.0.3"), l, now) == "" {
			t.Errorf("%s: it stands", name)
		}
	}
	e := seen(t, three...)
	if e.Lacks(ip("fd20::5"), l, now) == "" {
		t.Error("IPv4 proves IPv6")
	}
	if e.Lacks(ip("10.20.0.3"), l, begin.Add(l.For-time.Second)) != "" || e.Lacks(ip("10.20.0.3"), l, begin.Add(l.For)) == "" {
		t.Error("it does not end with the first of three")
	}
	if e.Lacks(ip("10.20.0.3"), l, begin.Add(-time.Hour)) == "" {
		t.Error("what lies ahead is proof")
	}
	if e.Lacks(ip("10.20.0.3"), trust.Limits{}, now) == "" {
		t.Error("without limits nothing is asked")
	}
	if _, changed := e.With(ip("192.0.2.9"), host(), printers(t), l, now); changed {
		t.Error("the same network an hour later is written down again")
	}
	later, changed := e.With(ip("192.0.2.9"), host(), printers(t), l, begin.Add(30*time.Hour))
	if !changed || len(later.V4) != l.Clients || later.V4[0].Network.String() != "192.0.2.0/24" {
		t.Errorf("a day later: %v, %v", later, changed)
	}
	mine, err := trust.NewTable([]trust.Network{{Name: "branch", From: prefixes("203.0.113.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, changed := (trust.Evidence{}).With(ip("203.0.113.4"), host(), mine, l, now); changed {
		t.Error("a trusted network proves itself")
	}
}

// sight is one sighting behind a printer's address.
func sight(from string, s trust.Sighting) trust.Sighting {
	s.From, s.At = ip(from), begin
	return s
}

// What strangers do behind a trusted address is too much once there are several of them.
func TestTripwire(t *testing.T) {
	l := trust.DefaultLimits()
	kinds := map[string]struct {
		of   func(n int) trust.Sighting
		most int
	}{
		"domains": {func(n int) trust.Sighting {
			return trust.Sighting{MX: true, Name: "p", Domain: fmt.Sprintf("d%d.invalid", n)}
		}, l.Domains},
		"senders": {func(n int) trust.Sighting { return trust.Sighting{Name: "p", Domain: fmt.Sprintf("d%d.invalid", n)} }, l.Domains},
		"names":   {func(n int) trust.Sighting { return trust.Sighting{Name: fmt.Sprintf("pc%d", n)} }, l.Names},
		"accounts": {func(n int) trust.Sighting {
			return trust.Sighting{Name: "p", Account: fmt.Sprintf("a%d@local.test", n)}
		}, l.Accounts},
	}
	for name, k := range kinds {
		var w trust.Tripwire
		for n := 1; n <= k.most; n++ {
			for range 20 { // often is not many
				trip, tripped := w.See(sight("10.20.0.7", k.of(n)), printers(t), l)
				if tripped != (n >= k.most) {
					t.Fatalf("%s: after %d of them it is %v, %v", name, n, trip, tripped)
				}
				if tripped && (trip.Network != "printers" || trip.Why == "") {
					t.Errorf("%s: it ends %+v", name, trip)
				}
			}
		}
		w.Reset("printers", printers(t))
		if _, tripped := w.See(sight("10.20.0.7", k.of(1)), printers(t), l); tripped {
			t.Errorf("%s: it is remembered after a person was told", name)
		}
		w = trust.Tripwire{}
		for n := range 4 * k.most {
			if _, tripped := w.See(sight(fmt.Sprintf("10.20.0.%d", 10+n), k.of(n)), printers(t), l); tripped && name != "domains" {
				t.Errorf("%s: many devices count as one", name)
			}
			late := sight("10.20.0.7", k.of(n))
			late.At = begin.Add(time.Duration(n) * l.Window)
			if _, tripped := w.See(late, printers(t), l); tripped && name != "domains" {
				t.Errorf("%s: one a day is too many", name)
			}
		}
	}
}

// Mail of many strangers that all comes out of inner addresses says that client addresses are
// lost; a public client between says that they are not.
func TestLostAddresses(t *testing.T) {
	l := trust.DefaultLimits()
	mx := func(from string, n int) trust.Sighting {
		return sight(from, trust.Sighting{MX: true, Domain: fmt.Sprintf("d%d.invalid", n)})
	}
	for _, gateway := range []string{"10.20.1.1", "172.17.0.1", "10.99.0.1", "127.0.0.1"} {
		var w trust.Tripwire
		for n := 1; n <= l.Local; n++ {
			trip, tripped := w.See(mx(gateway, n), printers(t), l)
			if tripped != (n == l.Local) || tripped && trip.Network != "" {
				t.Fatalf("%s, %d: %+v, %v", gateway, n, trip, tripped)
			}
		}
		w.Reset("", printers(t))
		for n := range 10 * l.Local {
			if _, tripped := w.See(mx(gateway, n), printers(t), l); tripped {
				t.Fatalf("%s: it ends with public clients between", gateway)
			}
			if n%(l.Local-1) == 0 {
				w.See(mx("203.0.113.5", n), printers(t), l)
			}
		}
	}
	var w trust.Tripwire
	for n := range 10 * l.Local {
		s := mx("10.99.0.1", n)
		s.MX = false
		if _, tripped := w.See(s, printers(t), l); tripped {
			t.Fatal("it is not about port 25 alone")
		}
		if _, tripped := w.See(sight("10.99.0.1", trust.Sighting{MX: true}), printers(t), l); tripped {
			t.Fatal("mail of ours is that of a stranger")
		}
	}
}

// However many addresses there are, what is remembered is bounded, and the newest is.
func TestTripwireIsBounded(t *testing.T) {
	l := trust.DefaultLimits()
	l.Addresses, l.NameOctets = 16, 8
	var w trust.Tripwire
	for i := range 5000 {
		s := sight(fmt.Sprintf("fd20::%x", i+1), trust.Sighting{Name: strings.Repeat("x", 1000) + fmt.Sprint(i)})
		s.At = begin.Add(time.Duration(i) * time.Second)
		if _, tripped := w.See(s, printers(t), l); tripped {
			t.Fatal("one name each is too many")
		}
	}
	for i := 1; i < l.Accounts; i++ {
		w.See(sight("fd20::9999", trust.Sighting{Account: fmt.Sprint(i)}), printers(t), l)
	}
	if _, tripped := w.See(sight("fd20::9999", trust.Sighting{Account: "last"}), printers(t), l); !tripped {
		t.Error("nothing is remembered any more")
	}
}
