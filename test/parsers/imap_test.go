package parsers

import (
	"bytes"
	"io"
	"strings"

	"sallyport/internal/door/textconn"
	imapwire "sallyport/internal/imap/wire"
)

// imapReaders read what IMAP clients send.
func imapReaders() []reader {
	commands := func(stream []byte) {
		l := imapwire.DefaultLimits()
		r := textconn.NewReader(bytes.NewReader(stream))
		var b []byte
		for {
			var err error
			if b, err = r.Line(b, l.CommandOctets); err != nil {
				return
			}
			if lit, ok := imapwire.LiteralAt(b); ok {
				if lit.Octets > l.LiteralOctets {
					return
				}
				if b, err = r.Octets(b, lit.Octets); err != nil {
					return
				}
				continue
			}
			c, _ := imapwire.Parse(b, false, l)
			if s, named := c.Args.(imapwire.Select); named {
				_ = imapwire.EncodeName(s.Name)
			}
			if f, named := c.Args.(imapwire.Expunge); named {
				_ = imapwire.AppendRanges(nil, f.Set.Within(1<<32-1))
			}
			_, _, _ = imapwire.ParseAppend(b, true, l)
			b = b[:0]
		}
	}
	begins := func(start string) func([]byte) []byte {
		return func(text []byte) []byte {
			return append(append([]byte(start), text...), "\r\n"...)
		}
	}
	names := func(text []byte) {
		name, err := imapwire.DecodeName(string(text))
		if err == nil {
			_, _ = io.WriteString(io.Discard, imapwire.EncodeName(name))
		}
		_ = imapwire.EncodeName(strings.ToValidUTF8(string(text), "?"))
	}
	var all []reader
	for _, start := range []string{"a ", "a LOGIN ", "a LOGIN \"", "a SELECT &", "a UID EXPUNGE ", "a SEARCH ", "a SEARCH (", "a UID FETCH 1 ", "a FETCH 1 BODY[", "a STORE 1 FLAGS (", "a LIST \"\" (", "a ID (", "a APPEND x (", "a SORT ("} {
		all = append(all, reader{"IMAP: " + start, mebi - 100, begins(start), commands})
	}
	return append(all, reader{"names in modified UTF-7", 4096, func(text []byte) []byte { return append([]byte("&"), text...) }, names})
}
