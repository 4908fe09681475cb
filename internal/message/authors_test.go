package message

import (
	"bytes"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"

	"sallyport/internal/mail"
)

// header parses lines that are written with LF, and ends them.
func header(t testing.TB, lines string) Header {
	t.Helper()
	h, err := ParseHeader([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n"))
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	return h
}

func texts(as []mail.Address) string {
	var s []string
	for _, a := range as {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

// What real programs write names its author without a fault.
func TestAuthorsOfRealClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.eml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d client headers, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		name, cs, want := filepath.Base(file), mail.ASCII, "alice@local.test"
		switch name {
		case "smtputf8.eml":
			cs, want = mail.UTF8, "älice@local.test"
		case "phpmailer.eml":
			want = "alice+shop@local.test"
		}
		a := h.Authors(cs)
		if a.Fault != "" || a.FromFields != 1 || texts(a.From) != want || len(a.DisplayClaims) != 0 {
			t.Errorf("%s: %+v; want %s", name, a, want)
		}
		readers := otherReaders(h.Raw())
		if len(readers) == 0 && name != "iso-2022-jp.eml" { // a charset that none of them has
			t.Errorf("%s: no other reader understands it", name)
		}
		for reader, got := range readers {
			if !slices.Equal(got, []string{a.From[0].Key()}) {
				t.Errorf("%s: %s reads %q", name, reader, got)
			}
		}
		if sender := texts(a.Sender); name == "unquoted-dots.eml" && sender != "alice+mobile@local.test" {
			t.Errorf("%s: sender %q", name, sender)
		}
	}
}

func TestAuthorsUnderstood(t *testing.T) {
	for _, c := range []struct{ lines, from, claims string }{
		{"From: alice@local.test\n", "alice@local.test", ""},
		{"from:alice@local.test\n", "alice@local.test", ""},
		{"FROM: <alice@local.test>\n", "alice@local.test", ""},
		{"From:\n alice@local.test\n", "alice@local.test", ""},
		{"From: Alice\n\t<alice@local.test>\n", "alice@local.test", ""},
		{"From: \"Alice \\\"A.\\\" <x>\" <alice@local.test>\n", "alice@local.test", ""},
		{"From: \"alice\"@local.test\n", "alice@local.test", ""},
		{"From: \"a b\"@local.test\n", `"a b"@local.test`, ""},
		{"From: Alice \"A.\" Example <alice@local.test>\n", "alice@local.test", ""},
		{"From: Alice (the (real) one) <alice@local.test> (work)\n", "alice@local.test", ""},
		{"From: (Alice) alice@local.test\n", "alice@local.test", ""},
		{"From: alice@local.test, Bob <bob@local.test>\n", "alice@local.test bob@local.test", ""},
		{"From: bob@local.test,<alice@local.test>\n", "bob@local.test alice@local.test", ""},
		{"From: alice@[192.0.2.1]\n", "alice@[192.0.2.1]", ""},
		{"From: x@LOCAL.TEST\n", "x@local.test", ""},
		{"From: alice@local.test\nFrom: bob@local.test\n", "alice@local.test bob@local.test", ""},

		// Addresses that a reader is shown and that are not the mailbox.
		{"From: \"bob@local.test\" <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: \"alice@local.test\" <alice@local.test>\n", "alice@local.test", ""},
		{"From: alice@local.test <alice@local.test>\n", "alice@local.test", ""},
		{"From: alice@local.test (home) <alice@local.test>, alice@local.test\n", "alice@local.test alice@local.test", ""},
		{"From: \"'Alice@local.test' via list\" <alice@local.test>\n", "alice@local.test", ""},
		{"From: =?utf-8?Q?bob=40local.test?= <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: =?utf-8?B?Ym9iQGxvY2FsLnRlc3Q=?= <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: =?utf-8?B?Ym9iQGxvY2FsLnRlc3Q?= <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: =?iso-2022-jp?B?GyRCOzNFREJATzobKEJib2JAbG9jYWwudGVzdA==?= <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: =?x?q?bob?=\n =?x?q?=40local.test?= <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: \"=?utf-8?Q?bob=40local.test?=\" <alice@local.test>\n", "alice@local.test", "bob@local.test"},
		{"From: (bob@local.test) alice@local.test\n", "alice@local.test", "bob@local.test"},
		{"From: alice@local.test (bob@local.test, x@y.test)\n", "alice@local.test", "bob@local.test x@y.test"},
		{"From: Alice (bob@local.test) <alice@local.test>\n", "alice@local.test", "bob@local.test"},
	} {
		h := header(t, c.lines)
		a := h.Authors(mail.ASCII)
		if a.Fault != "" || texts(a.From) != c.from || texts(a.DisplayClaims) != c.claims || a.FromFields != h.Count("From") {
			t.Errorf("%q: %+v; want from %q, claims %q", c.lines, a, c.from, c.claims)
		}
	}
}

func TestAuthorsNotUnderstood(t *testing.T) {
	for _, c := range []struct{ lines, fault string }{
		// The header's shape: another program may read another header.
		{" From: alice@local.test\nFrom: bob@local.test\n", "the first line begins with white space"},
		{"From\n : bob@local.test\nFrom: alice@local.test\n", "a line has no colon: \"From\""},
		{"From : alice@local.test\n", "white space stands before a colon: \"From\""},
		{"From\t: alice@local.test\n", "white space stands before a colon"},
		{"From bob@local.test Sat Nov  7 09:14:22 2026\nFrom: alice@local.test\n", "a field name holds characters that no name has: \"From bob@local.test"},
		{"From: alice@local.test\nhello\nFrom: bob@local.test\n", "a line has no colon: \"hello\""},
		{"From: alice@local.test\n \nFrom: bob@local.test\n", "a folded line holds nothing but white space"},
		{"From: alice@local.test\nSubject: x\n\t\n y\n", "a folded line holds nothing but white space"},
		{"From: alice@local.test\n: x\n", "a field has no name"},
		{"Fr\u043em: bob@local.test\nFrom: alice@local.test\n", "a field name holds"},

		// One field, two readings.
		{"From: bob@local.test <alice@local.test>\n", "From: two addresses stand side by side"},
		{"From: Alice@local.test <alice@local.test>\n", "From: two addresses stand side by side"},
		{"From: alice@local.test <alice@local.test> <alice@local.test>\n", "From: angle brackets"},
		{"From: alice@local.test <alice@local.test>, <bob@local.test> <bob@local.test>\n", "From: angle brackets"},
		{"From: alice@local.test <@x:alice@local.test>\n", "From: a source route"},
		{"From: bob @local.test <alice@local.test>\n", "From: an @ stands outside"},
		{"From: <alice@local.test>bob@local.test\n", "From: it cannot be read"},
		{"From: <alice@local.test> <bob@local.test>\n", "From: angle brackets"},
		{"From: <<alice@local.test>>\n", "From: angle brackets"},
		{"From: <alice@local.test\n", "From: the address does not end"},
		{"From: alice@local.test>\n", "From: angle brackets"},
		{"From: Alice <alice@local.test> Example\n", "From: it cannot be read"},
		{"From: <@alice.local.test,@x.test:bob@local.test>\n", "From: a source route"},
		{"From: <@x.test:bob@local.test>\n", "From: a source route"},
		{"From: staff:bob@local.test;\n", "From: it is a group"},
		{"From: staff: alice@local.test, bob@local.test;\n", "From: it is a group"},
		{"From: undisclosed-recipients:;\n", "From: it is a group"},
		{"From: alice@local.test;\n", "From: it is a group"},
		{"From: \"alice\" staff:bob@local.test;\n", "From: it is a group"},
		{"From: alice@local.test,\n", "From: an address is missing"},
		{"From: ,alice@local.test\n", "From: a name stands without an address"},
		{"From: alice@local.test,,bob@local.test\n", "From: a name stands without an address"},
		{"From:\n", "From: an address is missing"},
		{"From: ()\n", "From: an address is missing"},
		{"From: alice\n", "From: an address is missing"},
		{"From: Example, Alice <alice@local.test>\n", "From: a name stands without an address"},
		{"From: \"alice <alice@local.test>\n", "From: a quoted text does not end"},
		{"From: \"alice\\\" <alice@local.test>\n", "From: a quoted text does not end"},
		{"From: alice@local.test (x\n", "From: a comment does not end"},
		{"From: alice@local.test x)\n", "From: it cannot be read"},
		{"From: alice@local.test )\n", "From: a comment ends"},
		{"From: " + strings.Repeat("(", 9) + strings.Repeat(")", 9) + " alice@local.test\n", "From: comments are nested too deep"},
		{"From: alice(x)@local.test\n", "From: an @ stands outside"},
		{"From: alice@(x)local.test\n", "From: the address is malformed"},
		{"From: alice@local.test(x).remote.test\n", "From: it cannot be read"},
		{"From: alice @ local.test\n", "From: an @ stands outside"},
		{"From: <alice@local.test (x)>\n", "From: the address does not end"},
		{"From: < alice@local.test >\n", "From: it cannot be read"},
		{"From: <>\n", "From: the angle brackets are empty"},
		{"From: bob(alice@local.test\n", "From: a comment does not end"},
		{"From: alice@local.test@remote.test\n", "From: an @ stands outside"},
		{"From: alice@local.test.\n", "From: the address is malformed"},
		{"From: alice@\n", "From: the address is malformed"},
		{"From: @local.test\n", "From: an @ stands outside"},
		{"From: Alice [x] <alice@local.test>\n", "From: a bracket stands outside of quotes"},
		{"From: alice\\@local.test\n", "From: it cannot be read"},
		{"From: \"alice\"x@local.test\n", "From: an @ stands outside"},

		// Encoded words where an address stands.
		{"From: =?utf-8?Q?bob?=@local.test\n", "From: an encoded word stands in the address"},
		{"From: <=?utf-8?Q?bob?=@local.test>\n", "From: an encoded word stands in the address"},
		{"From: alice@=?utf-8?Q?local.test?=\n", "From: an encoded word stands in the address"},
		{"From: =?utf-8?Q?bob=40local.test?=\n", "From: an address is missing"},
		{"From: =?utf-8?Q?bob=40local.test=00?= <alice@local.test>\n", "From: an encoded word hides control characters"},
		{"From: =?utf-8?B?Ym9iQGxvY2FsLnRlc3QNCg==?= <alice@local.test>\n", "From: an encoded word hides control characters"},
		{"From: =?utf-8?Q?=E2=80=AEtset?= <alice@local.test>\n", "From: an encoded word hides control characters"},

		// Octets that nobody may read.
		{"From: b\u043eb@local.test\n", "From: it is not ASCII"},
		{"From: \"\u00c4lice\" <alice@local.test>\n", "From: it is not ASCII"},
		{"From: ali\x01ce@local.test\n", "From: it holds a control character"},
		{"From: alice@local.test\x7f\n", "From: it holds a control character"},

		// The other fields.
		{"From: alice@local.test\nSender: a@local.test\nSender: b@local.test\n", "there is more than one Sender"},
		{"From: alice@local.test\nSender: a@local.test, b@local.test\n", "there is more than one Sender"},
		{"From: alice@local.test\nSender: nobody\n", "Sender: an address is missing"},
		{"From: alice@local.test\nResent-From: x:;\n", "Resent-From: it is a group"},
		{"From: alice@local.test\nResent-Sender: <@a.test:b@c.test>\n", "Resent-Sender: a source route"},
		{"From: " + strings.Repeat("alice@local.test,", MaxAuthorAddresses) + "alice@local.test\n", "From: it names too many"},
	} {
		a := header(t, c.lines).Authors(mail.ASCII)
		if !strings.HasPrefix(a.Fault, c.fault) {
			t.Errorf("%.200q: fault %q; want %q", c.lines, a.Fault, c.fault)
		}
		if want := strings.HasSuffix(c.fault, "not ASCII"); a.NeedsUTF8 != want {
			t.Errorf("%.200q: needs UTF-8: %v", c.lines, a.NeedsUTF8)
		}
	}
}

func TestAuthorsWithSMTPUTF8(t *testing.T) {
	for _, c := range []struct{ lines, from, fault string }{
		{"From: \u00c4lice <\u00e4lice@local.test>\n", "älice@local.test", ""},
		{"From: b\u043eb@local.test\n", "bоb@local.test", ""}, // a look-alike: somebody else, or nobody
		{"From: alice@b\u00fccher.test\n", "alice@xn--bcher-kva.test", ""},
		{"From: alice\xff@local.test\n", "", "From: it is not UTF-8"},
		{"From: \"\u202etset\" <alice@local.test>\n", "", "From: it holds a character that hides"},
		{"From: ali\u200bce@local.test\n", "", "From: the address is malformed"},
		{"From: alice\u0085 <alice@local.test>\n", "", "From: it holds a character that hides"},
		{"From: alice@local\u3002test\n", "", "From: the address is malformed"},
	} {
		a := header(t, c.lines).Authors(mail.UTF8)
		if !strings.HasPrefix(a.Fault, c.fault) || c.fault == "" && (a.Fault != "" || texts(a.From) != c.from) || a.NeedsUTF8 {
			t.Errorf("%q: %+v; want %q or fault %q", c.lines, a, c.from, c.fault)
		}
	}
}

func TestAuthorsOfResentMail(t *testing.T) {
	a := header(t, "Resent-From: Alice <alice@local.test>\nResent-Sender: bot@local.test\nResent-From: carol@local.test\nFrom: bob@remote.test\n").Authors(mail.ASCII)
	if a.Fault != "" || texts(a.ResentFrom) != "alice@local.test carol@local.test" || texts(a.ResentSender) != "bot@local.test" || texts(a.From) != "bob@remote.test" {
		t.Errorf("%+v", a)
	}
}

// Hostile fields cost time linear in their length.
func TestAuthorsOfLongFields(t *testing.T) {
	n := 900 << 10
	for what, value := range map[string]string{
		"open comments":      strings.Repeat("(", n),
		"open words":         "\"" + strings.Repeat("=?a?q?x", n/7) + "\" <alice@local.test>",
		"ats":                "\"" + strings.Repeat("@", n) + "\" <alice@local.test>",
		"claims":             "\"" + strings.Repeat("a@b.test ", n/9) + "\" <alice@local.test>",
		"commas":             strings.Repeat(",", n),
		"addresses":          strings.Repeat("a@b.test,", n/9),
		"quoted-pairs":       "\"" + strings.Repeat(`\`, n),
		"a long local-part":  strings.Repeat("a", n) + "@local.test",
		"words without ends": strings.Repeat("=?", n/2) + " <alice@local.test>",
	} {
		h := header(t, "From: "+value+"\n")
		begin := time.Now()
		a := h.Authors(mail.ASCII)
		// Linear work takes milliseconds here, quadratic work minutes.
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: it took %v", what, took)
		}
		if len(a.From) > MaxAuthorAddresses || len(a.DisplayClaims) > MaxDisplayClaims {
			t.Errorf("%s: %d addresses, %d claims", what, len(a.From), len(a.DisplayClaims))
		}
	}
}

// If we are certain that a header has one author, no other reader that accepts the
// header sees another one.
func FuzzAuthors(f *testing.F) {
	for _, s := range []string{
		"Alice <alice@local.test>", "alice@local.test (x)", `"a, b" <alice@local.test>`, "=?utf-8?q?x=40y?= <alice@local.test>",
		"<@x.test:bob@local.test>", "staff:bob@local.test;", "bob@local.test <alice@local.test>", "\"alice\"@local.test",
		"alice@local.test\r\nFrom: bob@local.test", "alice@local.test\r\n \r\nFrom: bob@local.test", "(\\)) a@b.test (()) ", "älice@b.test",
		"\"a\\\"b\"@local.test", "a@[192.0.2.1]", "Alice\r\n\t<alice@local.test>", "alice . x @ local.test", "\x00@b.test", "a@b.test,c@d.test",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, value string, utf8 bool) {
		cs := mail.ASCII
		if utf8 {
			cs = mail.UTF8
		}
		raw := []byte("From: " + value + "\r\n\r\n")
		h, err := ParseHeader(raw)
		if err != nil {
			return
		}
		a := h.Authors(cs)
		if len(a.From) > MaxAuthorAddresses || len(a.DisplayClaims) > MaxDisplayClaims || a.FromFields < 1 && a.Fault == "" {
			t.Fatalf("%q: %+v", value, a)
		}
		if a.Fault != "" || len(a.From) != 1 || a.FromFields != 1 {
			return
		}
		for reader, got := range otherReaders(raw) {
			if !slices.Equal(got, []string{a.From[0].Key()}) {
				t.Fatalf("%q is by %s; %s reads %q", value, a.From[0], reader, got)
			}
		}
	})
}

// otherReaders returns the keys of the From addresses as other parsers see them;
// one that refuses the header is left out.
func otherReaders(raw []byte) map[string][]string {
	readers := map[string][]string{}
	if m, err := netmail.ReadMessage(bytes.NewReader(raw)); err == nil {
		if list, err := netmail.ParseAddressList(strings.Join(m.Header["From"], ",")); err == nil {
			for _, a := range list {
				readers["net/mail"] = append(readers["net/mail"], keyOf(a.Address))
			}
		}
	}
	if th, err := textproto.ReadHeader(newReader(raw)); err == nil {
		h := gomail.HeaderFromMap(th.Map())
		if list, err := h.AddressList("From"); err == nil {
			for _, a := range list {
				readers["go-message"] = append(readers["go-message"], keyOf(a.Address))
			}
		}
	}
	return readers
}

// keyOf compares as mailboxes; net/mail gives local-parts without their quotes.
func keyOf(address string) string {
	i := strings.LastIndexByte(address, '@')
	d, err := mail.ParseDomain(address[i+1:])
	if err != nil {
		if a, err := mail.ParseAddress(address, mail.UTF8); err == nil {
			return a.Key()
		}
		return "unreadable " + address
	}
	a, err := mail.NewAddress(address[:max(i, 0)], d)
	if err != nil {
		return "unreadable " + address
	}
	return a.Key()
}

func BenchmarkAuthors(b *testing.B) {
	raw, err := os.ReadFile("testdata/clients/thunderbird.eml")
	if err != nil {
		b.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		h, err := ParseHeader(raw)
		if err != nil {
			b.Fatal(err)
		}
		if a := h.Authors(mail.ASCII); a.Fault != "" {
			b.Fatal(a.Fault)
		}
	}
}
