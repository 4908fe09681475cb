package remote

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
)

// What another server may say. It need not be the one that it was, and a client library keeps in
// memory whatever it is told.
const (
	maxWords    = 1 << 20  // octets of an answer to a command that has a short one
	maxList     = 4 << 20  // of the names of all folders
	maxNumbers  = 32 << 20 // of the UIDs of a folder
	maxBetween  = 4 << 20  // between two messages, beside their text
	maxMessages = 5 << 20  // in a folder
	maxSkipped  = 1 << 30  // octets of a message that is too big to be taken
	// quiet is how long it may say nothing.
	quiet = 30 * time.Minute
)

var (
	errEndless = errors.New("the other server says more than it was asked")
	errNumbers = errors.New("what the other server says of its messages cannot be")
)

// bounded is a connection on which so much may come, and no more, until somebody allows it.
type bounded struct {
	net.Conn
	left atomic.Int64
}

// allow sets how much may come from now on.
func (b *bounded) allow(octets int64) { b.left.Store(octets) }

// more allows so much on top.
func (b *bounded) more(octets int64) { b.left.Add(octets) }

// spent reports whether nothing more may come.
func (b *bounded) spent() bool { return b.left.Load() <= 0 }

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, errEndless
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.Add(-int64(n))
	return n, err
}

// SetReadDeadline implements net.Conn: no read waits for ever.
func (b *bounded) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(quiet)
	}
	return b.Conn.SetReadDeadline(t)
}

// uidsOf returns the UIDs of a set, if a folder can have as many.
func uidsOf(set imap.NumSet) ([]imap.UID, error) {
	s, _ := set.(imap.UIDSet)
	count := uint64(0)
	for _, r := range s {
		if r.Start == 0 || r.Stop < r.Start {
			return nil, errNumbers
		}
		if count += uint64(r.Stop-r.Start) + 1; count > maxMessages {
			return nil, errNumbers
		}
	}
	uids, _ := s.Nums()
	return uids, nil
}
