package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// Form is how a "From " line within a message is kept apart from one that begins the next.
type Form uint8

// The forms, by the names that mbox(5) of qmail knows them by.
const (
	// Any believes a Content-Length that leads to the end of a message, and takes the message as it
	// stands then; where there is none it reads as RD.
	Any Form = iota
	// RD: any number of > before "From " has one more.
	RD
	// O: "From " has one >, and what had one looks the same.
	O
	// CL is O or RD with a Content-Length.
	CL
	// CL2 is nothing but a Content-Length.
	CL2
)

// ParseForm reads the name of a form.
func ParseForm(s string) (Form, bool) {
	f, ok := map[string]Form{"any": Any, "mboxrd": RD, "mboxo": O, "mboxcl": CL, "mboxcl2": CL2}[s]
	return f, ok
}

// ErrNone: what is read is no mbox.
var ErrNone = errors.New("it is no mbox: its first line does not begin with \"From \"")

// Message is one of an mbox.
type Message struct {
	At     int64     // where its "From " line begins, in octets
	Date   time.Time // of the "From " line; zero where it has none that reads
	Notes  Notes
	Octets []byte // as the file has them, without what was noted in the header
	// TooLong: it has more octets than Reader was given as bound, and Octets is nil.
	TooLong bool
	// Internal: it is none, but what UW IMAP keeps of the folder.
	Internal bool
}

// Reader reads the messages of an mbox in their order.
type Reader struct {
	file io.ReaderAt
	size int64
	form Form
	most int64
	zone *time.Location

	in    *bufio.Reader
	at    int64  // of what is read next
	from  []byte // the "From " line of the next message, nil at the beginning
	begun int64  // where it begins
	ended bool
}

// lineOctets is how much of a line is looked at.
const lineOctets = 4096

// bufferOctets is how much of a file is read ahead.
const bufferOctets = 64 << 10

// NewReader reads a file of size octets, in which no message may have more octets than most. zone
// is that of dates that name none.
func NewReader(file io.ReaderAt, size int64, form Form, most int64, zone *time.Location) *Reader {
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), bufferOctets)
	return &Reader{file: file, size: size, form: form, most: most, zone: zone, in: in}
}

// line returns the next line, or a part of one that is longer than a buffer; whole: it ends here.
func (r *Reader) line() (b []byte, whole bool, err error) {
	b, err = r.in.ReadSlice('\n')
	r.at += int64(len(b))
	switch {
	case err == bufio.ErrBufferFull:
		return b, false, nil
	case err == io.EOF && len(b) > 0:
		return b, true, nil
	}
	return b, true, err
}

// Next returns the next message, or io.EOF behind the last.
func (r *Reader) Next() (m Message, err error) {
	if r.from == nil {
		if err := r.first(); err != nil {
			return m, err
		}
	}
	if r.ended {
		return m, io.EOF
	}
	m.At = r.begun
	m.Date, _ = lineDate(r.from, r.zone)
	c := &collector{most: r.most}
	h := header{}
	blank, body, err := r.header(c, &h)
	if err != nil {
		return m, err
	}
	switch end := r.at + h.length; {
	case body && h.sized && r.form != RD && r.form != O && r.ends(end):
		err = r.verbatim(c, end)
	case body:
		err = r.scan(c, blank)
	}
	if err != nil {
		return m, err
	}
	m.Notes, m.Octets, m.TooLong = h.notes(), c.message(), c.over
	m.Internal = h.internal && h.texts["x-imap"] != ""
	return m, nil
}

// first finds the line that the file begins with.
func (r *Reader) first() error {
	for {
		at := r.at
		b, _, err := r.line()
		if err == io.EOF {
			r.ended, r.from = true, []byte{}
			return nil
		}
		if err != nil {
			return err
		}
		if isBlank(b) {
			continue
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if !isFrom(b) {
			return ErrNone
		}
		return r.begin(b, at)
	}
}

// begin notes the line that a message begins with, and steps over the rest of one that is long.
func (r *Reader) begin(line []byte, at int64) error {
	r.begun = at
	r.from = bytes.Clone(line[:min(len(line), lineOctets)])
	for !bytes.HasSuffix(line, []byte("\n")) {
		var err error
		if line, _, err = r.line(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fromWord begins the line before a message.
const fromWord = "From "

func isFrom(b []byte) bool { return len(b) >= len(fromWord) && string(b[:len(fromWord)]) == fromWord }

func isBlank(b []byte) bool {
	return len(b) == 1 && b[0] == '\n' || len(b) == 2 && b[0] == '\r' && b[1] == '\n'
}

// header reads up to the empty line that ends the header; body is false when the message ended
// with it, since another follows at once. blank is the line that ended the header.
func (r *Reader) header(c *collector, h *header) (blank, body bool, err error) {
	begins, keep := true, true
	for {
		at := r.at
		b, whole, err := r.line()
		if err == io.EOF {
			r.ended = true
			return false, false, nil
		}
		if err != nil {
			return false, false, err
		}
		switch {
		case begins && isBlank(b):
			c.add(b)
			return true, true, nil
		case begins && h.lines > 0 && r.separates(b):
			return false, false, r.begin(b, at) // no empty line: a program that wrote no body
		case begins && b[0] != ' ' && b[0] != '\t':
			keep = !h.takes(b)
		case begins:
			h.folded(b)
		}
		h.lines++
		if keep {
			if begins && (r.form != O || isFrom(b[1:])) {
				b = withoutQuote(b)
			}
			c.add(b)
		}
		begins = whole
	}
}

// scan reads lines up to an empty one that a "From " line follows.
func (r *Reader) scan(c *collector, blank bool) error {
	begins := true
	for {
		at := r.at
		b, whole, err := r.line()
		if err == io.EOF {
			r.ended = true
			if blank {
				c.dropBlank()
			}
			return nil
		}
		if err != nil {
			return err
		}
		if begins && blank && r.separates(b) {
			c.dropBlank()
			return r.begin(b, at)
		}
		blank = begins && isBlank(b)
		if begins {
			b = r.unquoted(b)
		}
		c.add(b)
		begins = whole
	}
}

func (r *Reader) unquoted(b []byte) []byte {
	if r.form == CL2 || r.form == O && !isFrom(b[1:]) {
		return b
	}
	return withoutQuote(b)
}

// withoutQuote takes a > away before "From ", however many others stand between.
func withoutQuote(b []byte) []byte {
	if b[0] != '>' || !isFrom(bytes.TrimLeft(b, ">")) {
		return b
	}
	return b[1:]
}

// separates reports whether a line begins a message.
func (r *Reader) separates(b []byte) bool {
	if !isFrom(b) {
		return false
	}
	_, ok := lineDate(b[:min(len(b), lineOctets)], r.zone)
	return ok
}

// ends reports whether a message can end at a place: at the end of the file, or before a "From "
// line, with or without an empty line. What stands behind a > within its line begins none: else a
// message could say by its own Content-Length where another is read out of it.
func (r *Reader) ends(at int64) bool {
	if at < r.at || at > r.size || at < 1 {
		return false
	}
	var buf [512]byte
	n, err := r.file.ReadAt(buf[:min(int64(len(buf)), r.size-at+1)], at-1)
	if err != nil && err != io.EOF || n == 0 {
		return false
	}
	b := buf[1:n]
	if buf[0] != '\n' && isFrom(b) {
		return false
	}
	for _, blank := range []string{"\r\n", "\n"} {
		if rest, ok := bytes.CutPrefix(b, []byte(blank)); ok {
			b = rest
			break
		}
	}
	return len(b) == 0 && at+2 >= r.size || r.separates(b)
}

// verbatim reads up to a place at which the message ends.
func (r *Reader) verbatim(c *collector, end int64) error {
	begins := true
	for r.at < end {
		b, err := r.in.Peek(int(min(end-r.at, lineOctets)))
		if len(b) == 0 {
			return errors.Join(errChanged, err)
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 && r.form == CL {
			b = b[:i+1]
		}
		n, whole := len(b), b[len(b)-1] == '\n'
		if r.form == CL && begins {
			b = r.unquoted(b)
		}
		c.add(b)
		begins = whole
		if _, err := r.in.Discard(n); err != nil {
			return err
		}
		r.at += int64(n)
	}
	return r.following()
}

var errChanged = errors.New("the file changed while it was read")

// following finds the line that the next message begins with.
func (r *Reader) following() error {
	for {
		at := r.at
		b, _, err := r.line()
		if err == io.EOF {
			r.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if isFrom(b) {
			return r.begin(b, at)
		}
		if !isBlank(b) {
			return errChanged
		}
	}
}

// collector gathers a message within its bound.
type collector struct {
	b    []byte
	most int64
	over bool
}

func (c *collector) add(b []byte) {
	if c.over = c.over || int64(len(c.b)+len(b)) > c.most; c.over {
		c.b = nil
		return
	}
	c.b = append(c.b, b...)
}

// dropBlank removes the empty line that parts a message from the next.
func (c *collector) dropBlank() {
	for _, blank := range []string{"\r\n", "\n"} {
		if rest, ok := bytes.CutSuffix(c.b, []byte(blank)); ok {
			c.b = rest
			return
		}
	}
}

func (c *collector) message() []byte {
	if c.over {
		return nil
	}
	return c.b
}

// lineDate reads the date of a "From " line, as asctime(3) writes it, with a zone before or behind
// the year, or without seconds.
func lineDate(line []byte, zone *time.Location) (time.Time, bool) {
	words := bytes.Fields(line)
	for i := len(words) - 4; i > 0; i-- {
		if !oneOf(words[i], "Mon Tue Wed Thu Fri Sat Sun") {
			continue
		}
		if t, ok := asctime(words[i+1:], zone); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

func oneOf(word []byte, of string) bool {
	word = bytes.TrimSuffix(word, []byte(","))
	return len(word) == 3 && bytes.Contains([]byte(of), word)
}

// A "From " line has days up to mostDay, and looks for its year within mostDateWords words of its
// date: what follows is of the program that wrote it.
const (
	mostDay       = 31
	mostDateWords = 6
)

// asctime reads "Nov 29 15:04:05 2026" and its kin.
func asctime(words [][]byte, zone *time.Location) (time.Time, bool) {
	if len(words) < 4 {
		return time.Time{}, false
	}
	month, err := time.Parse("Jan", string(words[0]))
	day, errDay := strconv.Atoi(string(words[1]))
	clock, errClock := time.Parse("15:04:05", string(words[2]))
	if errClock != nil {
		clock, errClock = time.Parse("15:04", string(words[2]))
	}
	if err != nil || errDay != nil || errClock != nil || day < 1 || day > mostDay {
		return time.Time{}, false
	}
	rest := words[3:min(len(words), mostDateWords)]
	year := 0
	for _, w := range rest {
		if n, err := strconv.Atoi(string(w)); err == nil && len(w) == 4 && w[0] != '+' && w[0] != '-' {
			year = n
		} else if t, err := time.Parse("-0700", string(w)); err == nil {
			zone = t.Location()
		} else if s := string(w); s == "UTC" || s == "GMT" {
			zone = time.UTC
		}
	}
	if year == 0 {
		return time.Time{}, false
	}
	return time.Date(year, month.Month(), day, clock.Hour(), clock.Minute(), clock.Second(), 0, zone), true
}
