package wire

import (
	"errors"

	"sallyport/internal/mail"
)

// What is wrong with the framing of a stream. After any of them the stream can no
// longer be trusted: two programs that repair it differently would disagree about
// where a message ends (SMTP smuggling, CVE-2023-51764 and its kin).
var (
	// ErrBareCR is a CR that no LF follows. RFC 5321 §2.3.8.
	ErrBareCR = errors.New("CR without LF")
	// ErrBareLF is an LF that no CR precedes. RFC 5321 §2.3.8.
	ErrBareLF = errors.New("LF without CR")
	// ErrNUL is an octet of value zero. RFC 5321 §4.5.2 allows to refuse it.
	ErrNUL = errors.New("NUL octet")
	// ErrNoBuffer is a line for which there is no memory at the moment.
	ErrNoBuffer = errors.New("no memory for the line")
	// ErrLineTooLong is a line beyond the limit given to its reader.
	ErrLineTooLong = errors.New("line too long")
)

// Fault is a command that the grammar refuses, with the reply that says so.
type Fault struct {
	// Verb is the command at fault; VerbUnknown when it is none of ours.
	Verb Verb
	// Reply is permanent: 500, 501, 553 or 555.
	Reply mail.Reply
	// Chunk is what a faulty BDAT announced, so that its octets can be taken off
	// the stream all the same. It counts only if ChunkKnown.
	Chunk      Chunk
	ChunkKnown bool
}

// Error returns the reply in one line.
func (f *Fault) Error() string { return f.Reply.String() }

func fault(v Verb, code int, enhanced, text string) *Fault {
	return &Fault{Verb: v, Reply: mail.R(code, enhanced, text)}
}
