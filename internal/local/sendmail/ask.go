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
// with either side.
func Relay(ctx context.Context, socket string, in io.Reader, out io.Writer) error {
	nc, err := Dial(ctx, socket, door.HelloSMTP)
	if err != nil {
		return err
	}
	defer nc.Close()
	go func() {
		_, _ = io.Copy(nc, in)
		if half, ok := nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(out, nc); err != nil && !errors.Is(err, net.ErrClosed) {
		return lost(err)
	}
	return nil
}
