package sendmail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"time"

	"sallyport/internal/local/door"
)

// maxLine bounds one line of an answer: a message with all its recipients.
const maxLine = 16 << 20

// Ask asks the server something that is no SMTP, and calls fn with each line of the
// answer.
func Ask(ctx context.Context, socket, hello string, fn func(line []byte) error) error {
	nc, err := Dial(ctx, socket, hello)
	if err != nil {
		return err
	}
	defer nc.Close()
	lines := bufio.NewScanner(nc)
	lines.Buffer(nil, maxLine)
	for {
		if err := nc.SetReadDeadline(time.Now().Add(replyTime)); err != nil {
			return lost(err)
		}
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return lost(err)
			}
			return lost(io.ErrUnexpectedEOF)
		}
		switch line := lines.Bytes(); {
		case bytes.HasPrefix(line, []byte("+")):
			return nil
		case bytes.HasPrefix(line, []byte("-")):
			return fail(CodeNoPerm, "%s", line[1:])
		case bytes.HasPrefix(line, []byte("421 ")):
			return fail(CodeTempFail, "%s", line)
		default:
			if err := fn(line); err != nil {
				return fail(CodeSoftware, "the answer cannot be read: %v", err)
			}
		}
	}
}

// Relay joins standard input and output with the server, which speaks SMTP. It ends
// with either side. A program whose first line ends with a bare LF is one of those that
// write lines as this host does: then every bare LF becomes the line end of the wire.
func Relay(ctx context.Context, socket string, in io.Reader, out io.Writer) error {
	nc, err := Dial(ctx, socket, door.HelloSMTP)
	if err != nil {
		return err
	}
	defer nc.Close()
	go func() {
		_, _ = io.Copy(&lineEnds{to: nc}, in)
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(out, nc); err != nil && !errors.Is(err, net.ErrClosed) {
		return lost(err)
	}
	return nil
}

// lineEnds passes SMTP commands and messages on, with CRLF for LF if the first line ends
// with LF alone.
type lineEnds struct {
	to    io.Writer
	known bool // how the first line ends
	bare  bool // it ends with LF alone
	last  byte
}

// Write writes b; what it returns counts the octets of b.
func (l *lineEnds) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+16)
	for _, c := range b {
		if c == '\n' {
			l.bare = l.bare || !l.known && l.last != '\r'
			l.known = true
			if l.bare && l.last != '\r' {
				out = append(out, '\r')
			}
		}
		out, l.last = append(out, c), c
	}
	if _, err := l.to.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
