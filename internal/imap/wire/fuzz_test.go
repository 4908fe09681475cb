package wire_test

import (
	"testing"
	"unicode/utf8"

	"sallyport/internal/imap/wire"
)

// Whatever comes, a command is read or refused, and what it holds is within the bounds.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		"a LOGIN {3}\r\njoe \"x\\\"y\"\r\n",
		"a SEARCH RETURN (MIN) OR (FROM joe) NOT 1:5,* SINCE 1-Feb-2026\r\n",
		"a UID FETCH 1:* (UID BODY.PEEK[1.2.HEADER.FIELDS (a b)]<0.5>) (CHANGEDSINCE 5 VANISHED)\r\n",
		"a LIST (SUBSCRIBED) \"\" (a %) RETURN (STATUS (MESSAGES))\r\n",
		"a SELECT x (QRESYNC (1 2 3:4 (1 2)))\r\n", "a STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\seen)\r\n",
		"a APPEND {1}\r\nb (x) UTF8 (~{5+}\r\n",
		"a UID REPLACE 7 {1}\r\nb (x) {5}\r\n", "a COMPRESS DEFLATE\r\n", "a ID (\"a\" NIL)\r\n",
		"a SORT (REVERSE DATE) UTF-8 ALL\r\n", "a THREAD REFERENCES UTF-8 ALL\r\n",
		"a CREATE &ANw- (USE (\\Sent))\r\n", "a AUTHENTICATE PLAIN =\r\n",
	} {
		f.Add([]byte(seed), false)
	}
	l := wire.Limits{CommandOctets: 4096, LiteralOctets: 100, Literals: 5, Nesting: 5, Keys: 20, Items: 20, Ranges: 20}
	f.Fuzz(func(t *testing.T, b []byte, enabled bool) {
		c, fault := wire.Parse(b, enabled, l)
		if fault == nil && (c.Tag == "" || c.Verb == "") {
			t.Errorf("%q has neither tag nor fault", b)
		}
		if m, ok := c.Args.(wire.Mailbox); ok && !utf8.ValidString(m.Name) {
			t.Errorf("%q is a name", m.Name)
		}
		if wire.IsAppend(b) {
			if a, whole, fault := wire.ParseAppend(b, enabled, l); fault == nil && whole && a.Literal.Octets < 0 {
				t.Errorf("%q: %+v", b, a)
			}
		}
	})
}

// A name that is read is written the same, and the other way round.
func FuzzName(f *testing.F) {
	f.Add("&ANw-bung", "Übung")
	f.Add("a&-b", "\x00")
	f.Fuzz(func(t *testing.T, utf7, name string) {
		if read, err := wire.DecodeName(utf7); err == nil && wire.EncodeName(read) != utf7 {
			t.Errorf("%q reads as %q", utf7, read)
		}
		if !utf8.ValidString(name) {
			return
		}
		if read, err := wire.DecodeName(wire.EncodeName(name)); err != nil || read != name {
			t.Errorf("%q reads as %q: %v", name, read, err)
		}
	})
}
