package message

import (
	"bytes"
	"io"
)

const (
	// MailboxLineField is the field that the first line of a message becomes when it is
	// the line "From …" that parts the messages of a mailbox file.
	MailboxLineField = "Mailbox-Line"
	// maxFirstName is how much of a first line is looked at for the colon of a field; a
	// line is no longer than that. RFC 5322 §2.1.1.
	maxFirstName = 998
)

// Begin returns a message that begins as a message does: with a field, or with the empty
// line that says that it has none. What r reads follows unchanged.
//
// Fields of ours are put before what others send. Without this, a message that begins
// with white space would continue the last of them, and write into what we say; and the
// text of a message without a header would stand among them. So such a message gets the
// empty line that it lacks (RFC 5322 §2.1), and the line "From …" becomes a field.
//
// The reader is an io.WriterTo.
func Begin(r io.Reader) io.Reader { return &beginning{r: r} }

// beginning reads ahead until it knows how the message begins.
type beginning struct {
	r     io.Reader
	start []byte // what came so far, behind room for what may be missing
	ahead []byte // to be read before r
	known bool
	err   error // of r, behind ahead
}

// Read implements io.Reader.
func (b *beginning) Read(p []byte) (int, error) {
	for !b.known {
		b.look()
	}
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.r.Read(p)
}

// WriteTo implements io.WriterTo, so that who copies the message needs no buffer where r
// needs none.
func (b *beginning) WriteTo(w io.Writer) (written int64, err error) {
	for !b.known {
		b.look()
	}
	if len(b.ahead) > 0 {
		n, err := w.Write(b.ahead)
		b.ahead = b.ahead[n:]
		written = int64(n)
		if err != nil {
			return written, err
		}
	}
	switch {
	case b.err == io.EOF:
		return written, nil
	case b.err != nil:
		return written, b.err
	}
	n, err := io.Copy(w, b.r)
	return written + n, err
}

// leadRoom is what may have to stand before a message.
const leadRoom = len(MailboxLineField) + len(": ")

// look reads on, and puts what is missing before what came.
func (b *beginning) look() {
	if b.start == nil {
		b.start = make([]byte, leadRoom, leadRoom+maxFirstName)
	}
	n, err := b.r.Read(b.start[len(b.start):cap(b.start)])
	b.start, b.err = b.start[:len(b.start)+n], err
	lead, known := missingLead(b.start[leadRoom:], err != nil || len(b.start) == cap(b.start))
	if known {
		b.ahead, b.known = b.start[leadRoom-len(lead):], true
		copy(b.ahead, lead)
	}
}

// missingLead says what must stand before a message that begins with start; known is
// false while more of it must be seen, which is never so when this is all.
func missingLead(start []byte, all bool) (lead string, known bool) {
	const none, empty = "", "\r\n"
	name := bytes.IndexFunc(start, notFieldName)
	if name < 0 {
		switch {
		case !all:
			return none, false
		case len(start) == 0:
			return none, true
		}
		return empty, true // a word, and no colon
	}
	behind := bytes.TrimLeft(start[name:], " \t")
	switch {
	case name == 0 && (start[0] == '\r' || start[0] == '\n'):
		return none, true
	case name > 0 && len(behind) == 0 && !all:
		return none, false // white space may stand before the colon. RFC 5322 §4.5
	case name > 0 && len(behind) > 0 && behind[0] == ':':
		return none, true
	case bytes.Equal(bytes.TrimLeft(start[:name], ">"), []byte("From")) && start[name] == ' ':
		return MailboxLineField + ": ", true
	}
	return empty, true
}

// notFieldName tells what is not part of a field name. RFC 5322 §2.2.
func notFieldName(r rune) bool { return r <= ' ' || r > '~' || r == ':' }
