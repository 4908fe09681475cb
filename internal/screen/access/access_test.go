package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

func parse(t testing.TB, text string) List {
	t.Helper()
	l, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func visitor(t testing.TB, client, hello, from, to string, names ...string) Visitor {
	t.Helper()
	v := Visitor{Hello: hello, Names: names}
	var err error
	if client != "" {
		if v.Client, err = netip.ParseAddr(client); err != nil {
			t.Fatal(err)
		}
	}
	if from != "" {
		if v.From, err = mail.ParseReversePath("<"+strings.Trim(from, "<>")+">", mail.UTF8); err != nil {
			t.Fatal(err)
		}
	}
	if to != "" {
		if v.To, err = mail.ParseAddress(to, mail.UTF8); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// bare is a visitor whose recipient has a detail.
func bare(v Visitor, without string) Visitor {
	v.Bare, _ = mail.ParseAddress(without, mail.ASCII)
	return v
}

// Whatever is looked at may be refused, deferred and slowed; what nobody can claim may be
// exempt as well.
func TestEveryMatcherHasEveryAction(t *testing.T) {
	for what, claimed := range map[string]bool{
		"network 192.0.2.0/24": false, "as AS64500": false, "country ZZ": false, "name *.dyn.test": false, "recipient x@local.test": false,
		"hello x.test": true, "sender x.test": true, "sender <>": true,
	} {
		for _, a := range []Action{Refuse, Defer, Slow, Exempt} {
			l, err := Parse(strings.NewReader(a.String() + " " + what))
			if ok := err == nil; ok == (claimed && a == Exempt) {
				t.Errorf("%s %s: %v", a, what, err)
			} else if ok && l.Rules()[0].Action != a {
				t.Errorf("%s %s is %s", a, what, l.Rules()[0])
			}
		}
	}
	for _, wrong := range []string{"as X", "as 0", "as AS4294967296", "as -1", "country DEU", "country 1A", "country *"} {
		if _, err := Parse(strings.NewReader("refuse " + wrong)); err == nil {
			t.Errorf("%s is read", wrong)
		}
	}
}

// Each kind of line, with what fits it and what only looks like it.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		line string
		fits []Visitor
		not  []Visitor
	}{
		{"refuse network 192.0.2.0/24", []Visitor{visitor(t, "192.0.2.255", "", "", ""), visitor(t, "::ffff:192.0.2.1", "", "", "")},
			[]Visitor{visitor(t, "192.0.3.0", "", "", ""), visitor(t, "", "", "", ""), visitor(t, "2001:db8::1", "", "", "")}},
		{"refuse network 192.0.2.7", []Visitor{visitor(t, "192.0.2.7", "", "", "")}, []Visitor{visitor(t, "192.0.2.8", "", "", "")}},
		{"refuse network 2001:db8::/32", []Visitor{visitor(t, "2001:db8:1::1", "", "", "")}, []Visitor{visitor(t, "2001:db9::1", "", "", ""), visitor(t, "32.1.13.184", "", "", "")}},
		{"refuse network 0.0.0.0/0", []Visitor{visitor(t, "203.0.113.1", "", "", "")}, []Visitor{visitor(t, "::1", "", "", "")}},
		{"refuse name *.dyn.test", []Visitor{visitor(t, "192.0.2.1", "", "", "", "x.other.test", "P1.Dyn.Test.")},
			[]Visitor{visitor(t, "192.0.2.1", "p1.dyn.test", "", ""), visitor(t, "192.0.2.1", "", "", "", "dyn.test", "xdyn.test", "p1.dyn.test.evil.test")}},
		{"exempt name mail.test", []Visitor{visitor(t, "", "", "", "", "mail.test")}, []Visitor{visitor(t, "", "", "", "", "a.mail.test")}},
		{"slow hello localhost", []Visitor{visitor(t, "", "LOCALHOST", "", "")}, []Visitor{visitor(t, "", "localhost.test", "", ""), visitor(t, "", "", "", "")}},
		{"refuse hello [192.0.2.1]", []Visitor{visitor(t, "", "[192.0.2.1]", "", "")}, []Visitor{visitor(t, "192.0.2.1", "192.0.2.1", "", "")}},
		{"defer sender spam.test", []Visitor{visitor(t, "", "", "x@Spam.test", "")}, []Visitor{visitor(t, "", "", "x@a.spam.test", ""), visitor(t, "", "", "<>", ""), visitor(t, "", "", "spam.test@x.test", "")}},
		{"defer sender X@spam.test", []Visitor{visitor(t, "", "", "x@spam.test", "")}, []Visitor{visitor(t, "", "", "y@spam.test", "")}},
		{"defer sender <>", []Visitor{visitor(t, "", "", "<>", "")}, []Visitor{visitor(t, "", "", "x@y.test", ""), visitor(t, "", "", "", "")}},
		{"refuse recipient old@local.test", []Visitor{visitor(t, "", "", "", "OLD@local.test")}, []Visitor{visitor(t, "", "", "", "x@local.test"), visitor(t, "", "", "old@local.test", "")}},
		{"refuse recipient old@local.test", []Visitor{bare(visitor(t, "", "", "", "old+x@local.test"), "OLD@local.test")}, []Visitor{bare(visitor(t, "", "", "", "x+old@local.test"), "x@local.test")}},
		{"refuse recipient other.test", nil, []Visitor{bare(visitor(t, "", "", "", "old+x@local.test"), "x@other.test")}},
		{"refuse recipient *.local.test", []Visitor{visitor(t, "", "", "", "x@a.local.test")}, []Visitor{visitor(t, "", "", "", "x@local.test"), visitor(t, "", "", "", "")}},
		{"refuse sender bücher.test", []Visitor{visitor(t, "", "", "x@xn--bcher-kva.test", "")}, []Visitor{visitor(t, "", "", "x@bucher.test", "")}},
		{"refuse as AS64500", []Visitor{{Place: Place{AS: 64500}}}, []Visitor{{Place: Place{AS: 64501}}, {}}},
		{"refuse as 4200000000", []Visitor{{Place: Place{AS: 4200000000}}}, []Visitor{{}}},
		{"refuse country zz", []Visitor{{Place: Place{Country: "ZZ"}}}, []Visitor{{Place: Place{Country: "ZA"}}, {}}},
	} {
		l := parse(t, c.line)
		for i, v := range c.fits {
			if r, ok := l.Match(v); !ok || r.Line != 1 {
				t.Errorf("%s: visitor %d does not fit", c.line, i)
			}
		}
		for i, v := range c.not {
			if _, ok := l.Match(v); ok {
				t.Errorf("%s: visitor %d fits", c.line, i)
			}
		}
	}
}

// The first line that fits decides, whichever kind it is.
func TestTheFirstLineDecides(t *testing.T) {
	l := parse(t, `
# networks, wide before narrow
exempt network 192.0.2.128/25 # ours
refuse network 192.0.2.0/24   go away
defer  network 192.0.2.7
slow   hello   friend.test
refuse network 0.0.0.0/0
`)
	for client, want := range map[string]string{
		"192.0.2.200": "exempt network 192.0.2.128/25", "192.0.2.7": "refuse network 192.0.2.0/24", "203.0.113.1": "slow hello friend.test",
	} {
		if r, _ := l.Match(visitor(t, client, "friend.test", "", "")); r.String() != want {
			t.Errorf("%s meets %s, not %s", client, r, want)
		}
	}
	if r, _ := l.Match(visitor(t, "203.0.113.1", "other.test", "", "")); r.Line != 7 {
		t.Errorf("the last line is not reached: %+v", r)
	}
	if r, _ := l.Match(visitor(t, "192.0.2.7", "", "", "")); r.Reason != "go away" {
		t.Errorf("its reason is %q", r.Reason)
	}
	if !l.Asks(Hello) || l.Asks(Name) || len(l.Rules()) != 5 {
		t.Error("it does not know what it asks")
	}
	if _, ok := (List{}).Match(visitor(t, "192.0.2.1", "x", "<>", "a@b.test", "n.test")); ok {
		t.Error("a list without lines fits")
	}
}

func TestLinesThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"refuse network":                                      "line 1: it lacks a word",
		"\n\nreject network 1.2.3.4":                          `line 3: "reject" is nothing that is done`,
		"refuse ip 1.2.3.4":                                   "is nothing that is looked at",
		"refuse network example.test":                         "this is no network",
		"refuse network 192.0.2.1/24":                         "the network is 192.0.2.0/24",
		"refuse network ::ffff:192.0.2.0/120":                 "this is no network",
		"refuse network fe80::1%eth0":                         "this is no network",
		"refuse name *":                                       "this is no name",
		"refuse name mail.*.test":                             "this is no name",
		"refuse sender x@":                                    "sender",
		"refuse recipient @":                                  "recipient",
		"exempt hello friend.test":                            "anybody's claim",
		"exempt sender friend.test":                           "anybody's claim",
		"refuse network 1.2.3.4 päng":                         "printable ASCII",
		"refuse network 1.2.3.4 " + strings.Repeat("x", 201):  "at most 200",
		"refuse network 1.2.3.4 " + strings.Repeat("x", 2000): "longer than 1000 octets",
	} {
		_, err := Parse(strings.NewReader(text))
		if !errors.Is(err, ErrList) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	_, err := Parse(strings.NewReader(strings.Repeat("nonsense\n", 50)))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != mostFaults || faults[9].Line != 10 {
		t.Errorf("%d faults of many are told", len(faults))
	}
	many := strings.Repeat("refuse network 192.0.2.1\n", MaxRules)
	if _, err := Parse(strings.NewReader(many)); err != nil {
		t.Error("as many as there may be:", err)
	}
	if _, err := Parse(strings.NewReader(many + "refuse network 192.0.2.1")); err == nil {
		t.Error("one more is read")
	}
}

// What is read says the same when it is written and read again, and the table of networks
// finds the line that looking at each in turn finds.
func FuzzParse(f *testing.F) {
	f.Add("refuse network 192.0.2.0/24 why\nexempt name *.a.test\nslow hello x\ndefer sender <>\nrefuse recipient a@b.test", "192.0.2.7")
	f.Add("refuse network ::/0\nrefuse network 2001:db8::/32", "2001:db8::1")
	f.Fuzz(func(t *testing.T, text, client string) {
		l, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		var again strings.Builder
		for _, r := range l.Rules() {
			fmt.Fprintln(&again, r, r.Reason)
		}
		second, err := Parse(strings.NewReader(again.String()))
		if err != nil || !slices.EqualFunc(l.Rules(), second.Rules(), func(a, b Rule) bool { return a.String() == b.String() && a.Reason == b.Reason }) {
			t.Errorf("%q is read again as %q: %v", text, again.String(), err)
		}
		ip, err := netip.ParseAddr(client)
		if err != nil {
			return
		}
		v := Visitor{Client: ip, Hello: "x", From: mail.NullPath()}
		got, ok := l.Match(v)
		at := slices.IndexFunc(l.Rules(), func(r Rule) bool { return r.fits(v) })
		if ok != (at >= 0) || ok && got.Line != l.Rules()[at].Line {
			t.Errorf("%q, %s: line %d, in turn %d", text, client, got.Line, at)
		}
	})
}

// BenchmarkMatch is one visitor and a list of 100,000 networks.
func BenchmarkMatch(b *testing.B) {
	var text strings.Builder
	for i := range MaxRules {
		fmt.Fprintf(&text, "refuse network %d.%d.%d.0/24\n", 11+i>>16, i>>8&255, i&255)
	}
	l, v := parse(b, text.String()), visitor(b, "203.0.113.1", "x", "a@b.test", "c@d.test")
	for b.Loop() {
		l.Match(v)
	}
}
