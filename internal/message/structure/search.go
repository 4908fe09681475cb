package structure

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sallyport/internal/message"
)

// Needle is a text that is looked for, whatever the case of its letters and the form of their
// marks. RFC 9051 §6.4.4 (SEARCH), RFC 5051 (i;unicode-casemap). One goroutine at a time uses it.
type Needle struct {
	folded  []byte
	scratch *scratch
}

// scratch is memory that is used for one text after the other.
type scratch struct{ raw, folded []byte }

// Haystack is memory in which many needles are looked for, one after the other, however many they are. Its zero
// value is ready; one goroutine at a time uses it with all its needles.
type Haystack struct{ scratch scratch }

// Needle makes a needle of UTF-8, or of raw octets.
func (h *Haystack) Needle(text string) Needle {
	return Needle{appendFolded(nil, []byte(text)), &h.scratch}
}

// In reports whether the needle is in a text. An empty one is in each.
func (n Needle) In(text string) bool {
	if len(n.folded) == 0 {
		return true
	}
	n.scratch.raw = append(n.scratch.raw[:0], text...)
	n.scratch.folded = appendFolded(n.scratch.folded[:0], n.scratch.raw)
	return bytes.Contains(n.scratch.folded, n.folded)
}

// InReader reports whether the needle is in what r gives. It reads no more than it needs, and
// keeps one piece of it in memory. Its errors are those of r.
func (n Needle) InReader(r io.Reader) (bool, error) {
	if len(n.folded) == 0 {
		return true, nil
	}
	if cap(n.scratch.raw) < chunk {
		n.scratch.raw = make([]byte, 0, chunk)
	}
	raw, folded := n.scratch.raw[:0], n.scratch.folded[:0]
	defer func() { n.scratch.folded = folded[:0] }()
	for {
		m, err := r.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+m]
		ends := err != nil
		if ends && !errors.Is(err, io.EOF) {
			return false, err
		}
		whole := len(raw)
		if !ends {
			whole = foldable(raw)
		}
		folded = appendFolded(folded, raw[:whole])
		if bytes.Contains(folded, n.folded) {
			return true, nil
		}
		if ends {
			return false, nil
		}
		raw = raw[:copy(raw[:cap(raw)], raw[whole:])]
		if keep := len(n.folded) - 1; len(folded) > keep {
			folded = folded[:copy(folded, folded[len(folded)-keep:])]
		}
	}
}

// foldable returns how many of the octets can be folded before what follows them is known.
func foldable(raw []byte) int {
	if len(raw) == 0 || raw[len(raw)-1] < utf8.RuneSelf && len(raw) == 1 {
		return 0
	}
	// A letter may take marks that come later: all but the last letter can be.
	if raw[len(raw)-1] < utf8.RuneSelf {
		return len(raw) - 1
	}
	if i := norm.NFKD.LastBoundary(raw); i > 0 {
		return i
	}
	if len(raw) == cap(raw) { // nothing that a person wrote
		return len(raw)
	}
	return 0
}

// wide are the letters that the narrow ones of Japanese stand for, from U+FF61 to U+FF9D.
const wide = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"

// widen writes the narrow letters of Japanese in b as those that they stand for, which are as long: in old
// Japanese mail each octet is one, and each of them is dear to decompose.
func widen(b []byte) {
	for i := 0; i+2 < len(b); i++ {
		if b[i] != 0xef || b[i+1] != 0xbd && b[i+1] != 0xbe {
			continue
		}
		n := int(b[i+1]-0xbd)<<6 + int(b[i+2]) - 0xa1
		if b[i+2] >= 0x80 && b[i+2] < 0xc0 && n >= 0 && 3*n < len(wide) {
			copy(b[i:], wide[3*n:3*n+3])
			i += 2
		}
	}
}

// appendFolded folds a text, which it may spoil: letters decomposed, their case gone; octets that are no UTF-8 stay.
func appendFolded(out, text []byte) []byte {
	if start := len(out); len(text) > 0 {
		if out = append(out, text...); lower(out[start:]) {
			return out
		}
		out = out[:start]
	}
	for _, phrase := range []string{"\ufdfa", "\ufdfb"} { // letters that would become eighteen
		if bytes.Contains(text, []byte(phrase)) {
			text = bytes.ReplaceAll(text, []byte(phrase), []byte(" "))
		}
	}
	widen(text)
	for decomposed := norm.NFKD.Bytes(text); len(decomposed) > 0; {
		c, n := utf8.DecodeRune(decomposed)
		switch {
		case c == utf8.RuneError && n <= 1:
			out = append(out, decomposed[0])
		case hasNoCase(c):
			out = append(out, decomposed[:n]...)
		default:
			out = utf8.AppendRune(out, unicode.ToLower(unicode.ToTitle(c)))
		}
		decomposed = decomposed[n:]
	}
	return out
}

// hasNoCase reports the scripts in which most words without case are written: to look each
// letter up costs more than all else.
func hasNoCase(c rune) bool {
	return c >= 0x0590 && c < 0x10a0 || c >= 0x2e80 && c < 0xa640 || c >= 0xac00 && c < 0xd800
}

// lower makes small letters of ASCII, eight at once, and reports whether all is ASCII: only then
// is it done.
func lower(b []byte) (ascii bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		if w&highs != 0 {
			return false
		}
		// Of each octet, the highest bit says: from A on, and not beyond Z.
		capital := (w + (0x80-'A')*ones) &^ (w + (0x7f-'Z')*ones) & highs
		binary.LittleEndian.PutUint64(b, w|capital>>2)
		b = b[8:]
	}
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return true
}

// InBody reports whether the needle is in the body of the message: in a text, in the header of
// a part, in that of a message within, or in what a program says of one (message/delivery-status). For SEARCH BODY;
// TEXT asks InHeader as well.
func (l Limits) InBody(n Needle, s Structure, file io.ReaderAt) (bool, error) {
	return l.inPart(n, &s.Part, file)
}

// inPart looks at everything of a part but its header.
func (l Limits) inPart(n Needle, p *Part, file io.ReaderAt) (bool, error) {
	if p.Message != nil {
		return l.inWhole(n, &p.Message.Part, file)
	}
	for i := range p.Parts {
		if found, err := l.inWhole(n, &p.Parts[i], file); found || err != nil {
			return found, err
		}
	}
	if p.Type != "text" && p.Type != "message" || len(p.Parts) > 0 {
		return false, nil
	}
	return n.InReader(p.Text(file))
}

func (l Limits) inWhole(n Needle, p *Part, file io.ReaderAt) (bool, error) {
	if found, err := l.inHeader(n, p.Header, file); found || err != nil {
		return found, err
	}
	return l.inPart(n, p, file)
}

// InHeader reports whether the needle is in the header section of the message, decoded.
func (l Limits) InHeader(n Needle, s Structure, file io.ReaderAt) (bool, error) {
	return l.inHeader(n, s.Part.Header, file)
}

func (l Limits) inHeader(n Needle, where Span, file io.ReaderAt) (bool, error) {
	section, err := l.HeaderOf(where, file)
	if err != nil {
		return false, err
	}
	for _, f := range l.Header(section) {
		if n.In(f.Name + ": " + f.Text) {
			return true, nil
		}
	}
	return false, nil
}

// InField reports whether the needle is in a field of that name of a header section.
func (l Limits) InField(n Needle, name string, section []byte) (found bool) {
	eachField(section[:min(len(section), l.HeaderOctets)], l.Fields, func(is, raw []byte, colon int) {
		if colon >= 0 && !found && named(is, name) {
			found = n.In(message.DecodeText(string(unfolded(raw[colon+1:]))))
		}
	})
	return found
}

// HeaderOf reads a header section, at most Limits.HeaderOctets of it, with CRLF.
func (l Limits) HeaderOf(where Span, file io.ReaderAt) ([]byte, error) {
	return io.ReadAll(io.LimitReader(where.Reader(file), int64(l.HeaderOctets)))
}
