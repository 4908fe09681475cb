package textconn_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport/internal/door/textconn"
)

// Lines and literals are the same however the octets come.
func TestReaderTakesLinesAndLiterals(t *testing.T) {
	long := strings.Repeat("x", 3000)
	text := "a NOOP\r\nb LOGIN {3}\r\nj\r\n x\n" + long + "\r\nrest"
	for _, src := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		r := textconn.NewReader(src)
		for _, want := range []string{"a NOOP\r\n", "b LOGIN {3}\r\n"} {
			if line, err := r.Line(nil, 100); err != nil || string(line) != want {
				t.Fatalf("%q %v", line, err)
			}
		}
		b, err := r.Octets([]byte("b LOGIN {3}\r\n"), 3)
		if err != nil || !strings.HasSuffix(string(b), "\r\nj\r\n") {
			t.Fatalf("%q %v", b, err)
		}
		if b, err = r.Line(b, 100); err != nil || string(b) != "b LOGIN {3}\r\nj\r\n x\r\n" {
			t.Fatalf("%q %v", b, err)
		}
		if line, err := r.Line(nil, 3010); err != nil || len(line) != 3002 {
			t.Fatalf("%d %v", len(line), err)
		}
		if all, err := io.ReadAll(r); err != nil || string(all) != "rest" {
			t.Fatalf("%q %v", all, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	for text, want := range map[string]error{
		strings.Repeat("x", 101) + "\r\n": textconn.ErrTooLong, "a\rb\r\n": textconn.ErrControl, "a\x00\r\n": textconn.ErrControl, "abc": io.ErrUnexpectedEOF, "": io.EOF,
	} {
		if _, err := textconn.NewReader(strings.NewReader(text)).Line(nil, 100); !errors.Is(err, want) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
}
