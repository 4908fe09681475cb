package server

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"

	"github.com/klauspost/compress/flate"

	"sallyport/internal/door/textconn"
	"sallyport/internal/kit/inflate"
)

// inflateOctets is about what it takes in memory to read what a client compresses: the 32 KiB that
// it may refer to, and tables.
const inflateOctets = 48 << 10

// compress answers COMPRESS. RFC 4978.
//
// Nobody compresses before sign-in: no password stands beside text that others chose. What is sent is
// compressed piece by piece without memory of what was sent before, so that an idle session holds
// nothing for it, and no message is told by how it resembles another one that was sent earlier.
func (c *conn) compress(tag string) result {
	switch {
	case c.deflated:
		return no("COMPRESSIONACTIVE", "what is sent is compressed already") // RFC 4978 §3
	case c.In.Buffered() > 0:
		// As with STARTTLS: what was sent before the answer is in neither form.
		return bad("nothing may follow COMPRESS before it is answered").ending(EndInjection)
	case c.o.Memory != nil:
		c.window = c.o.Memory.Hold(false)
		if !c.window.Take(inflateOctets) {
			return no("LIMIT", "there is no memory for it now")
		}
	}
	c.Line(tag, " OK what follows is compressed")
	if err := c.Flush(); err != nil {
		return result{status: "-", end: EndEOF}
	}
	c.Over(func(nc net.Conn) net.Conn { return newDeflated(nc) })
	c.deflated = true
	return result{status: "-"}
}

// deflatePiece is the most that is compressed at once; what it becomes is held until it is written.
const deflatePiece = 32 << 10

// deflated is a connection whose octets are compressed.
type deflated struct {
	net.Conn
	in io.Reader
}

func newDeflated(nc net.Conn) *deflated {
	return &deflated{Conn: nc, in: inflate.NewReader(bufio.NewReaderSize(nc, textconn.Keep))}
}

// Read implements io.Reader.
func (d *deflated) Read(p []byte) (int, error) { return d.in.Read(p) }

// Write sends all of p, each piece by one write. The compressor alone makes five of a short line,
// and the last, an empty block, says nothing: Thunderbird, woken by it while it idles, waits for a
// line behind it, and no longer for what its user does.
func (d *deflated) Write(p []byte) (int, error) {
	var whole bytes.Buffer
	for piece := range slices.Chunk(p, deflatePiece) {
		whole.Reset()
		if err := flate.StatelessDeflate(&whole, piece, false, nil); err != nil {
			return 0, err
		}
		if _, err := d.Conn.Write(whole.Bytes()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// CloseWrite tells the client that nothing follows.
func (d *deflated) CloseWrite() error {
	if half, ok := d.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return d.Conn.Close()
}
