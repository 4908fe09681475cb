package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// ration has so many octets.
type ration struct{ left, refused int64 }

func (r *ration) Take(n int64) bool {
	if n > r.left {
		r.refused++
		return false
	}
	r.left -= n
	return true
}

func (r *ration) Give(n int64) { r.left += n }

// Without a large buffer short lines and messages go on, a long line does not, and
// what was borrowed comes back, whatever is in it.
func TestLargeBuffersAreRationed(t *testing.T) {
	var buffers Buffers
	none := &ration{}
	long := "NOOP " + strings.Repeat("x", 600) + "\r\n"
	message := strings.Repeat("0123456789\r\n", 1000) + ".\r\n"
	lr := NewLineReader(iotest.HalfReader(strings.NewReader("NOOP\r\n"+message+long)), &buffers)
	lr.Within(none)
	limit := func([]byte) int { return 2000 }
	if line, err := lr.ReadLine(limit); err != nil || string(line) != "NOOP" {
		t.Fatalf("%q, %v", line, err)
	}
	if b, err := io.ReadAll(NewDataReader(lr, 1000)); err != nil || len(b) != len(message)-3 {
		t.Fatalf("%d octets, %v", len(b), err)
	}
	if _, err := lr.ReadLine(limit); !errors.Is(err, ErrNoBuffer) || none.refused == 0 {
		t.Fatalf("%v", err)
	}
	one := &ration{left: LargeBufferOctets}
	lr = NewLineReader(strings.NewReader(long), &buffers)
	lr.Within(one)
	if !lr.Grow() || lr.Fill() != nil || one.left != 0 || !lr.Grow() {
		t.Fatal("no buffer")
	}
	lr.Close()
	lr.Close()
	if one.left != LargeBufferOctets || lr.Buffered() != 0 {
		t.Errorf("%d octets came back", one.left)
	}
}
