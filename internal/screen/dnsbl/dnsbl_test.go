package dnsbl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/mail"
)

func resolver(t *testing.T, records ...string) dnsx.Resolver {
	t.Helper()
	zone, err := dnstest.NewZone(records...)
	if err != nil {
		t.Fatal(err)
	}
	l := dnsx.DefaultLimits()
	l.Query, l.Total, l.Rounds = 200*time.Millisecond, 400*time.Millisecond, 1
	c, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: dnstest.Serve(t, zone.Play).Addr}}, Limits: l, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func list(t *testing.T, zone string, of Subject, weight int, answers ...string) List {
	l := List{Zone: domain(t, zone), Of: of, Weight: weight}
	for _, a := range answers {
		l.Answers = append(l.Answers, netip.MustParsePrefix(a))
	}
	return l
}

// What each answer of a list over a real name server amounts to.
func TestAsk(t *testing.T) {
	r := resolver(t,
		"5.2.0.192.bl.test. 60 IN A 127.0.0.2", "6.2.0.192.bl.test. 60 IN A 127.0.0.9", "6.2.0.192.bl.test. 60 IN A 127.0.0.4",
		"7.2.0.192.bl.test. 60 IN A 127.255.255.254", "8.2.0.192.bl.test. 60 IN A 198.51.100.1", "9.2.0.192.bl.test. 60 IN AAAA ::1",
		"10.2.0.192.bl.test. 60 IN A 127.0.0.2", "10.2.0.192.bl.test. 60 IN A 127.255.255.252",
		"b.e.e.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test. 60 IN A 127.0.0.2",
		"1.0.0.10.bl.test. 60 IN A 127.0.0.2", "spam.test.rhs.test. 60 IN A 127.0.0.2", "evil.hello.test. 60 IN A 127.0.0.3",
		"13.2.0.192.bl.test. 60 IN A 127.0.0.1", "14.2.0.192.bl.test. 60 IN A 127.0.0.1", "14.2.0.192.bl.test. 60 IN A 127.0.0.4",
		"15.2.0.192.bl.test. 60 IN A 127.0.0.255", "16.2.0.192.bl.test. 60 IN A 127.0.1.255", "17.2.0.192.bl.test. 60 IN A 127.0.2.255", "18.2.0.192.bl.test. 60 IN A 127.2.0.255",
		"SERVFAIL 11.2.0.192.bl.test.", "SILENCE 12.2.0.192.bl.test.",
	)
	wide, full := list(t, "bl.test", Client, -5, "127.0.0.0/16"), list(t, "bl.test", Client, 4, "127.0.0.255/32", "127.0.0.1/32")
	named := list(t, "bl.test", Client, -3, "127.0.0.1/32")
	every, some := list(t, "bl.test", Client, 10), list(t, "bl.test", Client, 7, "127.0.0.4/31")
	for _, c := range []struct {
		list   List
		client string
		weight int
		fault  string
	}{
		{every, "192.0.2.5", 10, ""}, {every, "::ffff:192.0.2.5", 10, ""}, {every, "192.0.2.99", 0, ""},
		{some, "192.0.2.5", 0, ""}, {some, "192.0.2.6", 7, ""},
		{every, "192.0.2.7", 0, "an error of the list"}, {every, "192.0.2.8", 0, "no answer of a list"}, {every, "192.0.2.9", 0, ""},
		{every, "192.0.2.10", 0, "an error of the list"}, // beside an entry as well
		{every, "2001:db8::feeb", 10, ""},
		// K16: an entry by nobody's word but of a list that is said to have it.
		{every, "192.0.2.13", 0, "is no entry"}, {every, "192.0.2.14", 0, "is no entry"}, {some, "192.0.2.13", 0, ""}, {some, "192.0.2.14", 7, ""}, {named, "192.0.2.13", -3, ""},
		// Refusals of other lists: DNSWL, Spamhaus DBL and ZRD. A network as wide as all that a list says names none of them.
		{every, "192.0.2.15", 0, "is no entry"}, {every, "192.0.2.16", 0, "is no entry"}, {every, "192.0.2.17", 0, "is no entry"}, {every, "192.0.2.18", 10, ""},
		{wide, "192.0.2.15", 0, "is no entry"}, {wide, "192.0.2.13", 0, "is no entry"}, {wide, "192.0.2.5", -5, ""}, {some, "192.0.2.15", 0, ""}, {full, "192.0.2.15", 4, ""}, {full, "192.0.2.13", 4, ""},
		{every, "192.0.2.11", 0, "could not be asked"}, {every, "192.0.2.12", 0, "could not be asked"},
	} {
		all := Ask(t.Context(), r, []List{c.list}, Visitor{Client: netip.MustParseAddr(c.client)})
		if len(all) != 1 || all[0].Weight != c.weight || (c.fault == "") != (all[0].Fault == "") || !strings.Contains(all[0].Fault, c.fault) || all[0].Ours {
			t.Errorf("%s: %+v", c.client, all)
		}
	}
	// Private addresses mean nothing to others, and what is not known is not asked.
	for _, client := range []string{"10.0.0.1", "127.0.0.1", "fe80::1", "fd00::1"} {
		if all := Ask(t.Context(), r, []List{every}, Visitor{Client: netip.MustParseAddr(client)}); len(all) != 0 {
			t.Errorf("%s is asked about: %+v", client, all)
		}
	}
	names := []List{list(t, "rhs.test", Sender, 3), every, list(t, "hello.test", Hello, -2)}
	all := Ask(t.Context(), r, names, Visitor{Sender: domain(t, "spam.test"), Hello: domain(t, "evil")})
	if len(all) != 2 || all[0].Weight != 3 || all[1].Weight != -2 || all[1].String() != "hello.test lists evil (127.0.0.3), weight -2" {
		t.Errorf("of names: %v", all)
	}
	// One list of both names is asked about each, once where they are one.
	both := []List{list(t, "rhs.test", Names, 3)}
	for who, want := range map[[2]string]string{
		{"spam.test", "evil"}: "[rhs.test lists spam.test (127.0.0.2), weight 3 rhs.test does not list evil]", {"evil", "spam.test"}: "[rhs.test does not list evil rhs.test lists spam.test (127.0.0.2), weight 3]",
		{"spam.test", "spam.test"}: "[rhs.test lists spam.test (127.0.0.2), weight 3]",
	} {
		if all := Ask(t.Context(), r, both, Visitor{Sender: domain(t, who[0]), Hello: domain(t, who[1])}); fmt.Sprint(all) != want {
			t.Errorf("%v: %v", who, all)
		}
	}
	if all := Ask(t.Context(), r, both, Visitor{Hello: domain(t, "spam.test")}); len(all) != 1 || all[0].Weight != 3 {
		t.Errorf("without a sender: %v", all)
	}
	if all := Ask(t.Context(), r, names, Visitor{}); len(all) != 0 {
		t.Errorf("nobody is asked about: %v", all)
	}
	if all := Ask(t.Context(), r, []List{{Zone: domain(t, "bl.test"), Weight: 5}}, Visitor{Client: netip.MustParseAddr("192.0.2.5")}); len(all) != 0 {
		t.Errorf("a list of nothing is asked: %v", all)
	}
}

// A list that holds what none may hold lists everybody, and so nobody; of either family, and of names. That it holds
// something else there, which is no entry, or does not say, changes nothing.
func TestAListOfEverybody(t *testing.T) {
	r := resolver(t,
		"5.2.0.192.all.test. 60 IN A 127.0.0.2", "1.0.0.127.all.test. 60 IN A 127.0.0.2",
		reversed(netip.MustParseAddr("2001:db8::5"))+".all.test. 60 IN A 127.0.0.2", reversed(netip.MustParseAddr("::ffff:7f00:1"))+".all.test. 60 IN A 127.0.0.2",
		"5.2.0.192.some.test. 60 IN A 127.0.0.2", "1.0.0.127.some.test. 60 IN A 127.0.0.9",
		"5.2.0.192.mute.test. 60 IN A 127.0.0.2", "SERVFAIL 1.0.0.127.mute.test.", "a.test.names.test. 60 IN A 127.0.0.4", "b.test.names.test. 60 IN A 127.0.0.4", "invalid.names.test. 60 IN A 127.0.0.4",
	)
	for _, c := range []struct {
		list   List
		weight int
	}{
		{list(t, "all.test", Client, 10), 0}, {list(t, "all.test", Client, -10), 0}, {list(t, "some.test", Client, 10, "127.0.0.2/32"), 10},
		{list(t, "mute.test", Client, 10), 10}, {list(t, "names.test", Sender, 10), 0}, {list(t, "names.test", Hello, 10), 0},
	} {
		for _, client := range []string{"192.0.2.5", "2001:db8::5"} {
			v := Visitor{Client: netip.MustParseAddr(client), Sender: domain(t, "a.test"), Hello: domain(t, "b.test")}
			all := Ask(t.Context(), r, []List{c.list}, v)
			if client != "192.0.2.5" && c.weight != 0 {
				continue // it is about IPv4
			}
			if len(all) != 1 || all[0].Weight != c.weight || (c.weight == 0) != strings.Contains(all[0].Fault, "it lists everybody") {
				t.Errorf("%s of %s: %v", c.list.Zone, client, all)
			}
		}
	}
}

// failing is a resolver of ours that lacks something.
type failing struct{ err error }

func (f failing) OneFamily(context.Context, dnsx.Name, dnsx.Family) (dnsx.Answer[netip.Addr], error) {
	return dnsx.Answer[netip.Addr]{}, &dnsx.LookupError{Question: "A x", Err: f.err}
}

// Our own want of means is told apart: nothing may be concluded from it.
func TestOurOwnFault(t *testing.T) {
	for err, ours := range map[error]bool{dnsx.ErrExhausted: true, dnsx.ErrMute: true, dnsx.ErrTimeout: false, dnsx.ErrServer: false} {
		all := Ask(t.Context(), failing{err}, []List{list(t, "bl.test", Client, 1)}, Visitor{Client: netip.MustParseAddr("192.0.2.1")})
		if len(all) != 1 || all[0].Ours != ours || all[0].Listed() || all[0].Fault == "" {
			t.Errorf("%v: %+v", err, all)
		}
	}
}

// The test entries of RFC 5782 §5.
func TestTest(t *testing.T) {
	r := resolver(t, "2.0.0.127.good.test. 60 IN A 127.0.0.2", "*.wild.test. 60 IN A 127.0.0.2",
		"2.0.0.127.all.test. 60 IN A 127.0.0.2", "1.0.0.127.all.test. 60 IN A 127.0.0.2", "test.rhs.test. 60 IN A 127.0.0.2")
	for _, c := range []struct {
		list             List
		listed, unlisted bool
	}{
		{list(t, "good.test", Client, 1), true, true}, {list(t, "dead.test", Client, 1), false, true},
		{list(t, "all.test", Client, 1), true, false}, {list(t, "rhs.test", Sender, 1), true, true},
	} {
		yes, no := c.list.Test(t.Context(), r)
		if yes.Listed() != c.listed || no.Listed() == c.unlisted {
			t.Errorf("%s: %v; %v", c.list.Zone, yes, no)
		}
	}
}

// What no list ever answers is told apart from what it may.
func TestAnswers(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.2/31": true, "127.0.0.0/8": true, "127.0.0.1/32": true, "127.255.0.0/16": true, "0.0.0.0/0": true,
		"127.255.255.0/24": false, "127.255.255.254/32": false, "10.0.0.0/8": false, "128.0.0.0/8": false, "::/0": false, "::ffff:127.0.0.2/128": false,
	} {
		if got := Answers(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestReversed(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192",
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2", // RFC 5782 §2.4
	} {
		if got := reversed(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is %s", ip, got)
		}
	}
	if slices.Contains([]bool{public(netip.Addr{}), public(netip.MustParseAddr("224.0.0.1")), public(netip.MustParseAddr("0.0.0.0"))}, true) {
		t.Error("addresses of nobody are asked about")
	}
}
