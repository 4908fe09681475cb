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
}

// readMessage reads a message to its end before anything is sent: a program may take
// hours to write one, as a job of cron does, and no server waits for that. Lines may
// end with LF or CRLF. Unless ignoreDots, a line that holds only a dot ends it.
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
		if ended {
			text = bytes.TrimSuffix(text, []byte("\r"))
		}
		if !ignoreDots && whole && m.atLineStart() && string(text) == "." {
			return m, nil
		}
		if bytes.ContainsAny(text, "\r\x00") {
			// Never repaired: who reads it otherwise would see another message.
			return m, m.drop(fail(CodeData, "line %d holds a NUL, or a CR that does not end it", line))
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
