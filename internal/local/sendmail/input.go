package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
)

const (
	// MaxMessage bounds what is read before the server is asked; the server's own
	// bound is lower as a rule.
	MaxMessage = 1 << 30
	// memoryOctets is how much of a message is held in memory; a larger one goes to a
	// temporary file that has no name.
	memoryOctets = 1 << 20
)

// How much is read ahead of a message, and gathered of a large one before it is written.
const (
	bufferOctets = 64 << 10
	fileOctets   = 256 << 10
)

// message is a whole message with the line ends of the wire.
type message struct {
	memory bytes.Buffer
	file   *os.File // what came after memory; nil: nothing
	out    *bufio.Writer
	size   int64
	eight  bool // it holds octets beyond ASCII
	ended  bool // the last line has its end
	fields bool // a field of the header came
	text   bool // the header is over
}

// readMessage reads a message to its end before anything is sent: a program may take
// hours to write one, as a job of cron does, and no server waits for that. Lines may
// end with LF or CRLF, whatever CRs stand before it. Unless ignoreDots, a line that holds only
// a dot ends it.
//
// Behind the header a CR elsewhere ends a line, and a NUL is a blank: programs that show their
// progress write the one, and lists for other programs have the other. In the header both are
// refused, since what follows them there could be a field to whoever reads it otherwise.
func readMessage(r io.Reader, ignoreDots bool) (*message, error) {
	m := &message{}
	br := bufio.NewReaderSize(r, bufferOctets)
	for line := 1; ; {
		piece, err := br.ReadSlice('\n')
		whole := err == nil || err == io.EOF
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		if err != nil && err != io.EOF {
			return m, m.drop(fail(CodeIO, "the message could not be read: %v", err))
		}
		if !whole && piece[len(piece)-1] == '\r' {
			// Only the next octet says whether it ends the line.
			piece = piece[:len(piece)-1]
			if err := br.UnreadByte(); err != nil {
				return m, m.drop(fail(CodeIO, "the message could not be read: %v", err))
			}
		}
		text, ended := bytes.CutSuffix(piece, []byte("\n"))
		if ended || err == io.EOF {
			text = bytes.TrimRight(text, "\r")
		}
		if !ignoreDots && whole && m.atLineStart() && string(text) == "." {
			return m, nil
		}
		if m.atLineStart() {
			m.begin(text)
		}
		if bytes.ContainsAny(text, "\r\x00") {
			if !m.text {
				return m, m.drop(fail(CodeData, "line %d, of the header, holds a NUL, or a CR that does not end it", line))
			}
			text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), []byte("\r\n")), []byte{0}, []byte(" "))
		}
		if len(piece) > 0 && whole {
			text = append(text[:len(text):len(text)], '\r', '\n')
			line++
		}
		if werr := m.add(text); werr != nil {
			return m, m.drop(werr)
		}
		if err == io.EOF {
			return m, nil
		}
	}
}

// begin learns from the beginning of a line whether the header goes on, as splitHeader reads it.
func (m *message) begin(line []byte) {
	switch {
	case m.text || m.size == 0 && isMailboxLine(line):
	case len(line) > 0 && isField(line, m.fields):
		m.fields = true
	default:
		m.text = true
	}
}

// atLineStart reports whether what was added last ended a line.
func (m *message) atLineStart() bool { return m.size == 0 || m.ended }

// add appends octets.
func (m *message) add(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if m.size += int64(len(text)); m.size > MaxMessage {
		return fail(CodeUnavailable, "the message is larger than %d octets", MaxMessage)
	}
	for _, c := range text {
		if c >= 0x80 {
			m.eight = true
			break
		}
	}
	m.ended = bytes.HasSuffix(text, []byte("\n"))
	if m.file == nil && m.memory.Len()+len(text) <= memoryOctets {
		m.memory.Write(text)
		return nil
	}
	if m.file == nil {
		f, err := os.CreateTemp("", "sallyport-sendmail-*")
		if err != nil {
			return fail(CodeTempFail, "no room for a large message: %v", err)
		}
		// Without a name nothing is left behind, however this ends.
		_ = os.Remove(f.Name())
		m.file, m.out = f, bufio.NewWriterSize(f, fileOctets)
	}
	if _, err := m.out.Write(text); err != nil {
		return fail(CodeTempFail, "no room for a large message: %v", err)
	}
	return nil
}

// drop frees what the message holds, and returns err.
func (m *message) drop(err error) error {
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
	return err
}

// reader returns the message from its begin.
func (m *message) reader() (io.Reader, error) {
	if m.file == nil {
		return bytes.NewReader(m.memory.Bytes()), nil
	}
	if err := m.out.Flush(); err != nil {
		return nil, fail(CodeTempFail, "no room for a large message: %v", err)
	}
	if _, err := m.file.Seek(0, io.SeekStart); err != nil {
		return nil, fail(CodeTempFail, "the message could not be read again: %v", err)
	}
	return io.MultiReader(bytes.NewReader(m.memory.Bytes()), m.file), nil
}
