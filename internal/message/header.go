package message

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"sallyport/internal/mail"
)

// Limits bounds a header section.
type Limits struct {
	// HeaderOctets is the longest header section, with its empty line.
	HeaderOctets int
	// Fields is the largest number of header fields.
	Fields int
	// Hops is the number of Received fields beyond which a message counts as
	// looping. RFC 5321 §6.3.
	Hops int
}

// DefaultLimits returns 1 MiB, 1000 fields and 50 hops. RFC 5321 §6.3 suggests at
// least 100 hops; no honest mail of our time takes 50, and each further turn of a
// loop costs two servers a delivery.
func DefaultLimits() Limits {
	return Limits{HeaderOctets: 1 << 20, Fields: 1000, Hops: 50}
}

var (
	// ErrHeaderTooLarge says that the header section exceeds Limits.HeaderOctets.
	ErrHeaderTooLarge = errors.New("message: the header section is too large")
	// ErrTooManyFields says that the header section exceeds Limits.Fields.
	ErrTooManyFields = errors.New("message: the header section has too many fields")
	// ErrNoRoom says that there is no memory for the header section now.
	ErrNoRoom = errors.New("message: no memory for the header section")
	// ErrLineEnding says that the header section holds a CR or LF that is not part
	// of a CRLF, or a NUL.
	ErrLineEnding = errors.New("message: the header section holds a bare CR, a bare LF or a NUL")
)

// Header is a header section: its octets, and where its fields lie in them. It is
// immutable; the octets must not be changed either. The zero Header has no fields.
type Header struct {
	raw    []byte
	fields []span
	fault  string // the first line that is no proper field, in words
}

// span locates one field: its name ends before nameEnd, its value begins at value,
// and its last CRLF ends at end. A line without a colon is all name: some programs
// look for its colon in the next line.
type span struct {
	start, nameEnd, value, end int
	bad                        bool   // it is no proper field
	loose                      string // of a bad one, its name as looseName reads it
}

// Field is one field of a header.
type Field struct {
	Name  string // as written, without white space before the colon
	Raw   []byte // the whole field with its CRLFs; shared with the Header
	Value string // unfolded, without white space around it
}

// ReadHeader reads the header section from r, up to and including the empty line
// that ends it, or to io.EOF where no body follows, and parses it. rest is what was
// read beyond it; the body is rest followed by what r still holds. It reads at most
// l.HeaderOctets and one chunk. Errors are those of r, ErrHeaderTooLarge,
// ErrTooManyFields and ErrLineEnding.
func ReadHeader(r io.Reader, l Limits) (h Header, rest []byte, err error) {
	return ReadHeaderWithin(r, l, func(int) bool { return true })
}

// ReadHeaderWithin is ReadHeader that asks room before it takes so many octets of
// memory more; refused, it ends with ErrNoRoom.
func ReadHeaderWithin(r io.Reader, l Limits, room func(octets int) bool) (h Header, rest []byte, err error) {
	section, rest, err := readSection(r, l.HeaderOctets, room)
	if err != nil {
		return Header{}, nil, err
	}
	h, err = l.Parse(section)
	return h, rest, err
}

// firstChunk is what is read of a section at first; the buffer doubles.
const firstChunk = 2 << 10

func readSection(r io.Reader, limit int, room func(int) bool) (section, rest []byte, err error) {
	if !room(firstChunk) {
		return nil, nil, ErrNoRoom
	}
	buf := make([]byte, 0, firstChunk)
	for {
		if len(buf) == cap(buf) {
			// Never much more than the limit, however near the section comes to it.
			size := min(2*len(buf), max(limit, len(buf))+firstChunk)
			if !room(size - len(buf)) {
				return nil, nil, ErrNoRoom
			}
			larger := make([]byte, len(buf), size)
			copy(larger, buf)
			buf = larger
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		// The end may begin in the octets that were there already.
		from := max(0, len(buf)-3)
		buf = buf[:len(buf)+n]
		// A fault of the reader outranks what it gave: nothing of that message counts.
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		if end := sectionEnd(buf, from); end >= 0 && end <= limit {
			return buf[:end:end], buf[end:], nil
		}
		if len(buf) > limit {
			return nil, nil, ErrHeaderTooLarge
		}
		if err != nil {
			return buf, nil, nil
		}
	}
}

// sectionEnd returns the offset behind the empty line that ends the header
// section, or -1. RFC 5322 §2.1. Nothing is looked for before from.
func sectionEnd(buf []byte, from int) int {
	if bytes.HasPrefix(buf, []byte("\r\n")) {
		return 2
	}
	i := bytes.Index(buf[from:], []byte("\r\n\r\n"))
	if i < 0 {
		return -1
	}
	return from + i + 4
}

// ParseHeader parses a header section within DefaultLimits; see Limits.Parse.
func ParseHeader(raw []byte) (Header, error) { return DefaultLimits().Parse(raw) }

// usualFields is for how many fields there is room at first; few messages have more, and each costs no more than it has.
const usualFields = 24

// Parse parses a header section: its fields, and the empty line that ends it unless
// the message ends there. The Header keeps raw. Lines that are no proper field are
// kept as they are and remembered as a fault, which Authors reports; what cannot be
// parted into lines, or exceeds the limits, is an error.
func (l Limits) Parse(raw []byte) (Header, error) {
	if len(raw) > l.HeaderOctets {
		return Header{}, ErrHeaderTooLarge
	}
	h := Header{raw: raw, fields: make([]span, 0, min(usualFields, l.Fields))}
	for at := 0; at < len(raw); {
		end, ok := lineEnd(raw, at)
		if !ok {
			return Header{}, ErrLineEnding
		}
		if end == at+2 && raw[at] == '\r' {
			if end != len(raw) {
				return Header{}, errors.Join(ErrLineEnding, errors.New("octets follow the empty line"))
			}
			break
		}
		h.addLine(at, end)
		if len(h.fields) > l.Fields {
			return Header{}, ErrTooManyFields
		}
		at = end
	}
	return h, nil
}

// lineEnd returns the offset behind the CRLF of the line that begins at at; the
// last line of a message may lack it. ok is false for a CR or LF that stands alone,
// and for a NUL.
func lineEnd(raw []byte, at int) (end int, ok bool) {
	line := raw[at:]
	end = len(raw)
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		if i == 0 || line[i-1] != '\r' {
			return 0, false
		}
		end = at + i + 1
		line = line[:i-1]
	}
	return end, bytes.IndexByte(line, '\r') < 0 && bytes.IndexByte(line, 0) < 0
}

// addLine adds a line to the fields: a continuation to the one before it.
func (h *Header) addLine(start, end int) {
	line := h.raw[start:end]
	if isSpace(line[0]) {
		h.continueField(line, start, end)
		return
	}
	name, _, found := bytes.Cut(line, []byte(":"))
	width := len(name)
	name = bytes.TrimRight(name, " \t\r\n")
	f := span{start: start, nameEnd: start + len(name), value: min(start+width+1, end), end: end}
	fault := nameFault(name, width)
	if !found {
		fault = "a line has no colon"
	}
	h.noteAt(fault, name)
	if f.bad = fault != ""; f.bad {
		f.loose = looseName(name)
	}
	h.fields = append(h.fields, f)
}

func (h *Header) continueField(line []byte, start, end int) {
	if len(h.fields) == 0 {
		h.note("the first line begins with white space")
		h.fields = append(h.fields, span{start: start, nameEnd: start, value: start, end: end, bad: true})
		return
	}
	last := &h.fields[len(h.fields)-1]
	// RFC 5322 §3.2.2: a folded line of white space alone must not be made; some
	// programs take it for the end of the header.
	if len(bytes.Trim(line, " \t\r\n")) == 0 {
		h.note("a folded line holds nothing but white space")
		if !last.bad {
			last.bad, last.loose = true, looseName(h.raw[last.start:last.nameEnd])
		}
	}
	last.end = end
}

// nameFault says why a name, which stood in width octets before the colon, is not
// 1*ftext, "" if it is. RFC 5322 §2.2 and §4.5 (white space before the colon, which
// some programs read as another field or as the body).
func nameFault(name []byte, width int) string {
	switch {
	case len(name) == 0:
		return "a field has no name"
	case len(name) != width:
		return "white space stands before a colon"
	case bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		return "a field name holds characters that no name has"
	}
	return ""
}

// noteAt is note, with the name or the line at which the fault is: who made it must find it.
func (h *Header) noteAt(fault string, at []byte) {
	if fault != "" && h.fault == "" {
		h.note(fault + ": " + mail.Printable(string(at[:min(len(at), 2*mail.WordShown)]), mail.WordShown))
	}
}

func (h *Header) note(fault string) {
	if h.fault == "" {
		h.fault = fault
	}
}

// Raw returns the octets of the section, with the empty line if it had one. The
// caller must not change them.
func (h Header) Raw() []byte { return h.raw }

// Ended reports whether the empty line that ends a header section is part of it.
func (h Header) Ended() bool {
	end := 0
	if len(h.fields) > 0 {
		end = h.fields[len(h.fields)-1].end
	}
	return len(h.raw) > end
}

// Len returns the number of fields.
func (h Header) Len() int { return len(h.fields) }

// Fault returns in words what keeps the section from being a proper header, ""
// for nothing. Such a section can be stored and delivered, but not trusted.
func (h Header) Fault() string { return h.fault }

// Fields returns the fields of that name, in any letter case, in their order.
// Fields with white space before the colon are among them.
func (h Header) Fields(name string) []Field {
	var found []Field
	for _, f := range h.fields {
		if h.named(f, name) {
			found = append(found, h.field(f))
		}
	}
	return found
}

// Count returns how many fields have that name.
func (h Header) Count(name string) int {
	n := 0
	for _, f := range h.fields {
		if h.named(f, name) {
			n++
		}
	}
	return n
}

// All calls fn for every field in order until fn returns false.
func (h Header) All(fn func(Field) bool) {
	for _, f := range h.fields {
		if !fn(h.field(f)) {
			return
		}
	}
}

// Value returns the value of the first field of that name, "" if there is none.
func (h Header) Value(name string) string {
	for _, f := range h.fields {
		if h.named(f, name) {
			return h.value(f)
		}
	}
	return ""
}

// MessageID returns the value of the first Message-ID, with its angle brackets as
// it was written, "" if there is none. It is a peer's text: escape it where shown.
func (h Header) MessageID() string { return h.Value("Message-ID") }

// Subject returns the value of the first Subject as it was written, not decoded.
func (h Header) Subject() string { return h.Value("Subject") }

// Hops returns the number of Received fields. RFC 5321 §6.3.
func (h Header) Hops() int { return h.Count("Received") }

func (h Header) field(f span) Field {
	return Field{Name: string(h.raw[f.start:f.nameEnd]), Raw: h.raw[f.start:f.end], Value: h.value(f)}
}

// value unfolds: the CRLFs go, the white space behind them stays. RFC 5322 §2.2.3.
func (h Header) value(f span) string {
	v := bytes.Trim(h.raw[f.value:f.end], " \t\r\n")
	if bytes.IndexByte(v, '\r') < 0 {
		return string(v)
	}
	return strings.ReplaceAll(string(v), "\r\n", "")
}

func (h Header) named(f span, name string) bool {
	return f.nameEnd-f.start == len(name) && equalFoldASCII(h.raw[f.start:f.nameEnd], name)
}

// maxLooseName is the longest name that is looked at for another in it: a line is no
// longer. RFC 5322 §2.1.1.
const maxLooseName = 998

// longestName is longer than every name that is asked for.
const longestName = 64

// looksNamed reports whether a field has that name, or would have it to a program that
// cuts off or leaves out what no name holds: blanks of other charsets, controls, and what
// is not shown.
func (h Header) looksNamed(f span, name string) bool {
	return h.named(f, name) || f.bad && len(f.loose) == len(name) && equalFoldASCII([]byte(f.loose), name)
}

// looseName is what is left of a name without what no name holds, "" where nobody looks at
// it.
func looseName(name []byte) string {
	if len(name) > maxLooseName {
		return ""
	}
	left := strings.Map(func(c rune) rune {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			return c
		}
		return -1
	}, mapped(string(name)))
	if len(left) > longestName {
		return ""
	}
	return left
}

// equalFoldASCII compares without regard to ASCII case alone: bytes.EqualFold also
// folds letters like U+017F onto ASCII ones.
func equalFoldASCII(b []byte, s string) bool {
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
