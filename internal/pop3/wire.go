package pop3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	imapwire "sallyport/internal/imap/wire"
)

// Why no more octets come, besides what the transport says.
var (
	errEnding   = errors.New("the session must end")
	errTimeout  = errors.New("timed out")
	errDuration = errors.New("the sign-in has taken too long")
)

// keepOut is the largest buffer that an idle connection keeps.
const keepOut = 512

// ending is why a session must end, and what the client is told.
type ending struct{ why, text string }

// wire is the connection's input and output: what is written is sent when the client has
// nothing more to say, and every read has a deadline.
type wire struct {
	limits  *Limits
	now     func() time.Time
	raw, nc net.Conn // as accepted; raw, or the TLS on top of it
	in      *imapwire.Reader
	cancel  func() // ends what is done for the connection

	out    []byte
	outErr error // of the first write that failed; nothing is written after it

	deadline time.Time // of what is being waited for
	ends     time.Time // of the sign-in; zero: there is no such end any more

	gone chan struct{} // closed when the session must end
	mu   sync.Mutex
	end  ending
}

// Read fills the Reader. Answers are sent before it waits.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	if err := w.arm(); err != nil {
		return 0, err
	}
	n, err := w.nc.Read(p)
	if err != nil {
		return n, w.cause(err)
	}
	return n, nil
}

// arm sets the deadline of the next read.
func (w *wire) arm() error {
	deadline := w.deadline
	if !w.ends.IsZero() && deadline.After(w.ends) {
		deadline = w.ends
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end.why != "" {
		return errEnding
	}
	return w.raw.SetReadDeadline(deadline)
}

// cause tells the end of a session and a timeout from other ends.
func (w *wire) cause(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	switch {
	case w.ended():
		return errEnding
	case !w.ends.IsZero() && !w.now().Before(w.ends):
		return errDuration
	}
	return errTimeout
}

func (w *wire) ended() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// ending returns why the session must end.
func (w *wire) ending() ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// interrupt ends the wait for a command, now and from now on, and everything a moment later.
func (w *wire) interrupt(e ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end.why != "" {
		return
	}
	w.end = e
	close(w.gone)
	// A deadline that can't be set is one of a closed connection.
	_ = w.raw.SetReadDeadline(time.Unix(1, 0))
	time.AfterFunc(w.limits.EndGrace, func() {
		w.cancel()
		_ = w.raw.SetWriteDeadline(time.Unix(1, 0))
		_ = w.raw.Close()
	})
}

// line gathers a line of an answer.
func (w *wire) line(parts ...string) {
	for _, p := range parts {
		w.out = append(w.out, p...)
	}
	w.out = append(w.out, "\r\n"...)
	w.spill()
}

// write gathers octets of an answer.
func (w *wire) write(p []byte) {
	w.out = append(w.out, p...)
	w.spill()
}

// spill sends what was gathered when it is much. An error waits for the next read.
func (w *wire) spill() {
	if len(w.out) >= w.limits.OutOctets {
		_ = w.flush()
	}
}

// flush sends what was gathered. Its first error is final.
func (w *wire) flush() error {
	if len(w.out) == 0 || w.outErr != nil {
		w.out = w.out[:0]
		return w.outErr
	}
	if w.outErr = w.raw.SetWriteDeadline(w.now().Add(w.limits.WriteTimeout)); w.outErr != nil {
		return w.outErr
	}
	if _, err := w.nc.Write(w.out); err != nil {
		w.outErr = w.cause(err)
	}
	w.out = w.out[:0]
	return w.outErr
}

// rest lets the buffers of an idle connection go.
func (w *wire) rest() {
	if len(w.out) == 0 && cap(w.out) > keepOut {
		w.out = nil
	}
}

// linger reads on for a short while after the last answer, so that octets on their way
// don't make the transport throw it away, and closes.
func (w *wire) linger() {
	type halfCloser interface{ CloseWrite() error }
	if half, ok := w.nc.(halfCloser); !ok || half.CloseWrite() != nil {
		w.close()
		return
	}
	if half, ok := w.raw.(halfCloser); ok && w.raw != w.nc && half.CloseWrite() != nil {
		w.close()
		return
	}
	buf := make([]byte, keepOut)
	if w.raw.SetReadDeadline(w.now().Add(w.limits.LingerTimeout)) == nil {
		for left := w.limits.LingerOctets; left > 0; {
			n, err := w.raw.Read(buf)
			left -= int64(n)
			if err != nil {
				break
			}
		}
	}
	w.close()
}

// close closes the connection. What the transport says to that changes nothing.
func (w *wire) close() {
	_ = w.nc.Close()
	_ = w.raw.Close()
}

// addrPort returns an address without an IPv4-in-IPv6 wrapping; zero if the transport has no
// such addresses.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// pause waits, but not beyond the end of the connection.
func pause(ctx context.Context, gone <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-gone:
	case <-ctx.Done():
	}
}
