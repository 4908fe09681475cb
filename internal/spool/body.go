package spool

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"

	"sallyport/internal/store"
)

// chunkOctets is how much of a large body is gathered before it is written.
const chunkOctets = 32 << 10

// Body is a message's content while it is received: in memory as long as it is
// small, in a file from then on. It belongs to one goroutine and ends with Put,
// with Settle (of what is spawned) or with Abort.
type Body struct {
	blobs  store.Blobs
	limits Limits
	hash   hash.Hash
	buf    []byte // all of a small body; of a large one, what is not yet written
	size   int64
	name   string           // of the file
	file   store.BlobWriter // nil: all in memory
	err    error            // sticks

	flushed   int64 // octets that stand in the file
	finished  bool  // nothing may be written any more, and sum is valid
	committed bool  // the file is durable
	taken     bool  // an entry has it, or may have
	sum       [sha256.Size]byte
}

// NewBody begins a body. It fails with ErrUnavailable when the disk does.
func (s *Spool) NewBody(ctx context.Context) (*Body, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &Body{blobs: s.st.Blobs(), limits: *s.limits.Load(), hash: sha256.New()}, nil
}

// Write appends p. It fails with ErrTooLarge beyond Limits.MessageOctets, with
// ErrUnavailable when the disk is full or fails; the first error sticks.
func (b *Body) Write(p []byte) (int, error) {
	if b.err == nil && b.finished {
		b.err = errBodyEnded
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.size+int64(len(p)) > b.limits.MessageOctets {
		b.err = fmt.Errorf("%w: more than %d octets", ErrTooLarge, b.limits.MessageOctets)
		return 0, b.err
	}
	if b.file == nil && b.size+int64(len(p)) > int64(b.limits.InlineOctets) {
		b.err = b.spill()
	}
	if b.err == nil {
		b.err = b.keep(p)
	}
	if b.err != nil {
		return 0, b.err
	}
	b.hash.Write(p)
	b.size += int64(len(p))
	return len(p), nil
}

// keep gathers p, and writes full chunks of a large body.
func (b *Body) keep(p []byte) error {
	if b.file == nil {
		b.buf = append(b.buf, p...)
		return nil
	}
	for len(p) > 0 {
		n := min(len(p), chunkOctets-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
		if len(b.buf) < chunkOctets {
			continue
		}
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

// spill moves a body that grows beyond Limits.InlineOctets into a file. The file
// has a name of its own until the message's ID is known to be taken by nobody.
func (b *Body) spill() error {
	var r [16]byte
	if _, err := rand.Read(r[:]); err != nil {
		return err
	}
	name := hex.EncodeToString(r[:])
	f, err := b.blobs.Create(name)
	if err != nil {
		return err
	}
	b.file, b.name = f, name
	return b.flush()
}

func (b *Body) flush() error {
	if _, err := b.file.Write(b.buf); err != nil {
		return err
	}
	b.flushed += int64(len(b.buf))
	if cap(b.buf) == chunkOctets {
		b.buf = b.buf[:0]
		return nil
	}
	// The buffer is small from here on, whatever the body in memory had grown to.
	b.buf = make([]byte, 0, chunkOctets)
	return nil
}

// End fixes the body: nothing can be written any more, and Reader may be called. It
// may be repeated.
func (b *Body) End() error { return b.finish() }

// Reader reads a body that has ended, from its first octet, without another copy of
// it in memory. Several may be used at once, also by other goroutines; after Put,
// Settle or Abort they may fail. It fails for a body that has not ended.
func (b *Body) Reader() (io.Reader, error) {
	switch {
	case b.err != nil:
		return nil, b.err
	case !b.finished:
		return nil, fmt.Errorf("%w: the body has not ended", ErrInvalid)
	case b.file == nil:
		return bytes.NewReader(b.buf), nil
	}
	return bufio.NewReaderSize(io.NewSectionReader(b.file, 0, b.flushed), chunkOctets), nil
}

// Size returns the octets written so far.
func (b *Body) Size() int64 { return b.size }

// Memory returns the octets of memory that the body takes.
func (b *Body) Memory() int { return cap(b.buf) }

// Abort drops the body. After Put or Settle took it, it does nothing.
func (b *Body) Abort() error {
	if b.err == nil {
		b.err = errBodyEnded
	}
	switch {
	case b.file == nil || b.taken:
		return nil
	case b.committed:
		// Once: what is removed twice is missing.
		b.taken = true
		return b.blobs.Remove(b.name)
	}
	return b.file.Abort()
}

var errBodyEnded = errors.New("spool: the body has ended")

// finish writes out what is gathered and fixes the hash. It may be repeated.
func (b *Body) finish() error {
	if b.err != nil || b.finished {
		return b.err
	}
	if b.file != nil && len(b.buf) > 0 {
		if b.err = b.flush(); b.err != nil {
			return b.err
		}
	}
	b.finished = true
	b.hash.Sum(b.sum[:0])
	if b.file == nil && b.buf == nil {
		b.buf = []byte{}
	}
	return nil
}

// commit makes the file of a large body durable. It may be repeated.
func (b *Body) commit() error {
	if b.file == nil || b.committed {
		return b.err
	}
	if err := b.file.Commit(); err != nil {
		b.err = err
		return err
	}
	b.committed = true
	return nil
}

// inline returns a small body, never nil, or nil for a large one.
func (b *Body) inline() []byte {
	if b.file != nil {
		return nil
	}
	return b.buf
}

// discard removes what was written for a message that did not enter.
func (b *Body) discard(log *slog.Logger) {
	if err := b.Abort(); err != nil {
		log.Warn("body not removed", "blob", b.name, "err", err)
	}
}
