package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"sort"
	"strings"
	"testing"
	"time"
)

func TestParseDomain(t *testing.T) {
	for in, want := range map[string]string{
		"local.test":         "local.test",
		"LOCAL.Test":         "local.test",
		"bücher.test":        "xn--bcher-kva.test",
		"BÜCHER.test":        "xn--bcher-kva.test",
		"xn--bcher-kva.test": "xn--bcher-kva.test",
		"straße.test":        "xn--strae-oqa.test",
		"strasse.test":       "strasse.test",
		"a":                  "a",
		"1and1.example":      "1and1.example",
		"lоcal.test":         "xn--lcal-55d.test", // Cyrillic о: another domain, never ours
	} {
		d, err := ParseDomain(in)
		if err != nil || d.ASCII() != want {
			t.Errorf("ParseDomain(%q) = %q, %v; want %q", in, d, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "local.test.", "a b.test",
		"0x7f.1", "0177.0.0.1", "127.0.0.1", "a.1", "remote。test", "local\u00adtest.test", "ban\u212a.test",
		"a\u200db.test", "ｌocal.test", "a\x00b.test", "a_b.b\u00fccher.test", "x@y.test", "a\xff.test", "local.test⁄remote.test",
		strings.Repeat("a", 64) + ".test", strings.Repeat("abcdefg.", 32) + "test",
	} {
		if d, err := ParseDomain(in); err == nil {
			t.Errorf("ParseDomain(%q) = %q; want an error", in, d)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"bob@local.test":        "bob@local.test",
		"BOB@LOCAL.test":        "BOB@local.test",
		`"bob"@local.test`:      "bob@local.test",
		`"b\o\b"@local.test`:    "bob@local.test",
		`"a b"@local.test`:      `"a b"@local.test`,
		`"a@b"@local.test`:      `"a@b"@local.test`,
		`"a\"b"@local.test`:     `"a\"b"@local.test`,
		`".a"@local.test`:       `".a"@local.test`,
		"x..y@remote.test":      `"x..y"@remote.test`,
		".x@remote.test":        `".x"@remote.test`,
		"x.@remote.test":        `"x."@remote.test`,
		".@remote.test":         `"."@remote.test`,
		"x@my_host.remote.test": "x@my_host.remote.test",
		"u@em--1.a2.test":       "u@em--1.a2.test",
		"u@xn--i-7iq.a2.test":   "u@xn--i-7iq.a2.test",
		"user+caf_=website_8b506e99-b5c5-4e14-8294-f5ebd6083faa=mail.example.org@stranger.test": "user+caf_=website_8b506e99-b5c5-4e14-8294-f5ebd6083faa=mail.example.org@stranger.test",
		strings.Repeat("a", 252) + "@b": strings.Repeat("a", 252) + "@b",
		"user%remote.test@local.test":   "user%remote.test@local.test",
		"${run{/bin/id}}@local.test":    "${run{/bin/id}}@local.test",
		"a@[192.0.2.1]":                 "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]":          "a@[IPv6:2001:db8::1]",
		"a@[ipv6:::ffff:192.0.2.1]":     "a@[192.0.2.1]",
		"bób@local.test":                "bób@local.test",
	} {
		a, err := ParseAddress(in, UTF8)
		if err != nil || a.String() != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, a, err, want)
			continue
		}
		if again, err := ParseAddress(a.String(), UTF8); err != nil || again != a {
			t.Errorf("%q does not read back as itself: %q, %v", in, again, err)
		}
	}
	for _, in := range []string{
		"", "@", "@@", "bob", "bob@", "@local.test", "a@b@c", "a b@b.test", "a.@", "..", "a..b", "a\\..b@b.test", `a."b"@b.test`, `"a".b@b.test`,
		"a@b.test.", "a@.b.test", "a@b..test",
		"bob @ local.test", "bob@local.test(x)", "(x)bob@local.test", "a,b@local.test", "a:b@local.test", "a;b@local.test",
		`"a@local.test`, `"a"b@local.test`, `a"b"@local.test`, `user\@x@local.test`, `"a\`, "\"a\x00\"@b.test", `""@b.test`,
		"a@[1.2.3.4", "a@[1.2.3.4]:25", "a@[::1]", "a@[IPv6:1.2.3.4]", "a@[x-tag:foo]", "a@[IPv6:fe80::1%eth0]", "a@1.2.3.4",
		"a\rb@local.test", "a\nb@local.test", "a\x7f@local.test", "bo\u202eb@local.test", "bo\u200bb@local.test", "b\u0085@local.test",
		strings.Repeat("a", 255) + "@b", strings.Repeat("a", 253) + "@b", strings.Repeat("a", 244) + "@local.test", "<bob@local.test>",
		strings.Repeat("a.", 125) + "@bx", // fits as it came, but not as it is written
	} {
		if a, err := ParseAddress(in, UTF8); err == nil {
			t.Errorf("ParseAddress(%q) = %q; want an error", in, a)
		}
	}
	if _, err := ParseAddress("bób@local.test", ASCII); err == nil {
		t.Error("a UTF-8 local-part was read without SMTPUTF8")
	}
}

// Names that the DNS has and no host should have are read, each as itself, and none is
// taken for a host of ours.
func TestOddDomains(t *testing.T) {
	for _, in := range []string{
		"a_b.test", "_dmarc.a.test", "em--1.a2.test", "ab--c.test", "-x.test", "x-.test", "xn--zzzzzz.test", "xn--.a2.test",
		"xn--i-7iq.a2.test", "xn--local-.test", "_", "-",
	} {
		d, err := ParseDomain(in)
		if err != nil || d.ASCII() != in || d.Unicode() != in || d.Oddity() == "" {
			t.Errorf("ParseDomain(%q) = %q, shown %q, odd %q, %v", in, d, d.Unicode(), d.Oddity(), err)
		}
		if h, err := ParseHostname(in); err == nil {
			t.Errorf("ParseHostname(%q) = %q; want an error", in, h)
		}
	}
	for _, in := range []string{"local.test", "xn--bcher-kva.test", "bücher.test", "1and1.example"} {
		if h, err := ParseHostname(in); err != nil || h.Oddity() != "" {
			t.Errorf("ParseHostname(%q) = %q, odd %q, %v", in, h, h.Oddity(), err)
		}
	}
}

// The dot of the root is read where an address is typed, and nowhere else; one, behind
// a domain.
func TestTypedAddress(t *testing.T) {
	long := strings.Repeat("a", 243) + "@local.test"
	for in, want := range map[string]string{
		"bob@local.test.": "bob@local.test", "bob@local.test": "bob@local.test", "x..@a_b.test.": `"x.."@a_b.test`,
		long: long, long + ".": long,
	} {
		if a, err := ParseTyped(in, ASCII); err != nil || a.String() != want {
			t.Errorf("ParseTyped(%q) = %q, %v", in, a, err)
		}
		if p, err := ParseReversePath("<"+in+">", ASCII); len(in) <= MaxAddressOctets && (err != nil || p.String() != "<"+want+">") {
			t.Errorf("<%s> = %q, %v", in, p, err)
		}
	}
	for _, in := range []string{"bob@local.test..", "bob@.", "bob.", ".", "", "a@[192.0.2.1].", "@local.test.", "a" + long, "a" + long + "."} {
		if a, err := ParseTyped(in, ASCII); err == nil {
			t.Errorf("ParseTyped(%q) = %q; want an error", in, a)
		}
	}
}

func TestKeyIsOneMailbox(t *testing.T) {
	nfc, _ := ParseAddress("b\u00f3b@local.test", UTF8)
	nfd, _ := ParseAddress("bo\u0301b@LOCAL.test", UTF8)
	up, _ := ParseAddress("B\u00d3B@local.test", UTF8)
	if nfc.Key() != nfd.Key() || nfc.Key() != up.Key() {
		t.Errorf("keys differ: %q %q %q", nfc.Key(), nfd.Key(), up.Key())
	}
	if (Address{}).Key() != "" || !(Address{}).IsZero() {
		t.Error("the zero address has a key")
	}
}

func TestPaths(t *testing.T) {
	if p, err := ParseReversePath("<>", ASCII); err != nil || !p.IsNull() || p.IsZero() || p.String() != "<>" {
		t.Errorf("<> = %v, %v", p, err)
	}
	if p := (ReversePath{}); p.IsNull() || !p.IsZero() {
		t.Error("the zero reverse-path is not refused")
	}
	for _, in := range []string{"", "<", ">", "a@b.test", "<a@b.test", "<@x.test:a@b.test>", "<@x.test,@y.test:a@b.test>", "<<a@b.test>>",
		"<" + strings.Repeat("a", 260) + "@b.test>"} {
		if p, err := ParseReversePath(in, ASCII); err == nil {
			t.Errorf("ParseReversePath(%q) = %v; want an error", in, p)
		}
	}
	d, _ := ParseDomain("local.test")
	p, err := ParseForwardPath("<PostMaster>", ASCII)
	if err != nil || p.String() != "<Postmaster>" {
		t.Fatalf("bare postmaster: %v, %v", p, err)
	}
	if a, err := p.At(d); err != nil || a.String() != "postmaster@local.test" {
		t.Errorf("postmaster at %v = %v, %v", d, a, err)
	}
	if _, err := ParseForwardPath("<>", ASCII); err == nil {
		t.Error("the null path was read as a recipient")
	}
	if _, err := (ForwardPath{}).At(d); err == nil {
		t.Error("the zero forward-path names a mailbox")
	}
}

func TestReply(t *testing.T) {
	r := R(550, "5.7.1", "relay denied")
	if r.String() != "550 5.7.1 relay denied" || r.Class() != ClassPermanent || r.OK() {
		t.Errorf("%v", r)
	}
	var zero Reply
	if zero.OK() || zero.Class() != ClassNone || !(Outcome{}).Deferred() || (Outcome{}).Delivered() {
		t.Error("no reply counts as a success")
	}
	for _, in := range []string{"", "5", "5.7", "3.1.1 x", "5.7.1000 x", "5.7.-1", "a.b.c", "5.7.1x"} {
		if e, _, ok := ParseEnhanced(in); ok {
			t.Errorf("ParseEnhanced(%q) = %v", in, e)
		}
	}
}

func TestIDSortsByTimeAndReadsBack(t *testing.T) {
	var texts []string
	base := time.UnixMilli(1_800_000_000_000)
	for i := range 50 {
		id, err := NewID(base.Add(time.Duration(i)*time.Millisecond), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseID(id.String())
		if err != nil || back != id || !back.Time().Equal(base.Add(time.Duration(i)*time.Millisecond)) {
			t.Fatalf("%v %v %v", id, back, err)
		}
		if octets, err := IDFromBytes(id.Bytes()); err != nil || octets != id {
			t.Fatal("octets do not read back")
		}
		texts = append(texts, id.String())
	}
	if !sort.StringsAreSorted(texts) {
		t.Error("texts do not sort by time")
	}
	for _, in := range []string{"", "x", strings.Repeat("i", IDLength), strings.Repeat("0", IDLength+1)} {
		if id, err := ParseID(in); err == nil {
			t.Errorf("ParseID(%q) = %v", in, id)
		}
	}
}

func TestJSONReadsBack(t *testing.T) {
	a, _ := ParseAddress(`"a b"@local.test`, ASCII)
	env := Envelope{From: NullPath(), To: []Recipient{{Address: a, Notify: NotifyFailure}}, Body: Body8BitMIME, EnvID: "x"}
	b, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	var back Envelope
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	if !bytes.Equal(b, again) || !back.From.IsNull() || back.To[0].Address != a {
		t.Errorf("%s became %s", b, again)
	}
}

func TestPrintableIsOneSafeLine(t *testing.T) {
	got := Printable("a\r\nRCPT TO:<x@y>\x00é"+strings.Repeat("z", 500), 40)
	if strings.ContainsAny(got[:len(got)-1], "\r\n\x00é") || len(got) > 80 {
		t.Errorf("%q", got)
	}
}

// What parses serialises to something that parses to the same value and that can
// stand in a command line.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"bob@local.test", `"a b"@x.test`, "a@[IPv6:::1]", "a%b@c.test", "@a:b@c", "bób@bücher.test", "a@b@c", `"\"@x"`, ".a..b.@x_y.test", "a@xn--.b", strings.Repeat("a.", 120) + "@b.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s, UTF8)
		if err != nil {
			return
		}
		text := a.String()
		if strings.ContainsAny(text, "\r\n\x00") || len(text) > MaxAddressOctets {
			t.Fatalf("%q is unfit for the wire: %q", s, text)
		}
		again, err := ParseAddress(text, UTF8)
		if err != nil || again != a {
			t.Fatalf("%q -> %q -> %q, %v", s, text, again, err)
		}
		if k, _ := ParseAddress(a.Key(), UTF8); !k.IsZero() && k.Key() != a.Key() {
			t.Fatalf("key of %q is not stable: %q, %q", s, a.Key(), k.Key())
		}
	})
}

func FuzzDomain(f *testing.F) {
	for _, s := range []string{"local.test", "bücher.test", "xn--bcher-kva.test", "a..b", "1.2.3.4", "remote。test", "a_b.xn--.test", "-a-.xn--local-.test", "אב.ab--c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDomain(s)
		if err != nil {
			return
		}
		again, err := ParseDomain(d.ASCII())
		if err != nil || again != d || d.ASCII() != strings.ToLower(d.ASCII()) {
			t.Fatalf("%q -> %q -> %q, %v", s, d, again, err)
		}
		if viaU, err := ParseDomain(d.Unicode()); err != nil || viaU != d {
			t.Fatalf("%q -> U-label %q -> %q, %v", s, d.Unicode(), viaU, err)
		}
	})
}
