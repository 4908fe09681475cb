package server

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

// counted counts the writes to a connection.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// What belongs together is written at once: nothing without a meaning comes behind a line, by which
// a client that idles would be woken.
func TestDeflatedIsOneWrite(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() { _, _ = io.Copy(io.Discard, near) }()
	for _, text := range []string{"+ idling\r\n", "* 1 EXISTS\r\n", strings.Repeat("* 12 FETCH (FLAGS (\\Seen))\r\n", 100), strings.Repeat("x", deflatePiece)} {
		c := &counted{Conn: far}
		if n, err := newDeflated(c).Write([]byte(text)); n != len(text) || err != nil || c.writes != 1 {
			t.Errorf("%.20q: %d octets, %v, in %d writes", text, n, err, c.writes)
		}
	}
}

// What was sent through a compressed connection comes out the same, at once, in pieces of any length.
func TestDeflated(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	d := newDeflated(far)
	r := rand.New(rand.NewPCG(1, 2))
	in := flate.NewReader(near)
	for i := range 200 {
		piece := []byte(strings.Repeat("* 12 FETCH (FLAGS (\\Seen))\r\n", r.IntN(50)+1))
		if i%3 == 0 {
			piece = make([]byte, r.IntN(100_000)+1)
			for j := range piece {
				piece[j] = byte(r.Uint32())
			}
		}
		failed := make(chan error, 1)
		go func() {
			_, err := d.Write(bytes.Clone(piece))
			failed <- err
		}()
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, piece) {
			t.Fatalf("piece %d: %v", i, err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

// A command that was flushed partly, as mbsync does, is read although bits of the next block are
// behind it.
func TestPartlyFlushedIsRead(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() { _, _ = near.Write([]byte("\x32\x56\xf0\x73\xf4\x75\x0d\x0e\x70\x74\x76\xe5\xe5\x02\x08")) }()
	got := make([]byte, 13)
	if _, err := io.ReadFull(newDeflated(far), got); err != nil || string(got) != "3 NAMESPACE\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}
