package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"sallyport/internal/store"
)

const (
	// mostReaders bounds how many read an index at once, however many processors there are.
	mostReaders = 16
	// sweepStep is after how many keys a reader looks whether somebody may take half of what is left to it: a short
	// queue is read by one alone.
	sweepStep = 4096
)

// sweeper notes the keys of one part of a sweep. It belongs to one reader.
type sweeper interface {
	note(k, v []byte) error
	// end follows the last key, where nothing failed.
	end(ctx context.Context) error
}

// sweep reads a long range of keys with several readers at once. It begins with one. Who has read a step of its part gives the
// second half of what is left to it to another reader, as long as there is a place for one; so nobody needs to know how the keys
// are spread. Each reader sees the store as it was when it began: nobody may change the range meanwhile but for values of keys
// that were noted.
type sweep struct {
	st     store.Store
	step   int
	places chan struct{} // one for each reader beside the first
	begin  func() sweeper

	reading sync.WaitGroup
	failed  atomic.Bool
	mu      sync.Mutex
	err     error
}

func newSweep(st store.Store, readers, step int, begin func() sweeper) *sweep {
	return &sweep{st: st, step: step, places: make(chan struct{}, max(readers, 1)-1), begin: begin}
}

// run has each key of a range, which has an end, noted once, and returns when every reader has ended.
func (w *sweep) run(ctx context.Context, r store.Range) error {
	w.read(ctx, r)
	w.reading.Wait()
	return w.err
}

func (w *sweep) read(ctx context.Context, r store.Range) {
	part := w.begin()
	n := 0
	err := w.st.Scan(ctx, r, func(k, v []byte) (bool, error) {
		if bytes.Compare(k, r.To) >= 0 {
			return false, nil // somebody else reads on from here
		}
		if err := part.note(k, v); err != nil {
			return false, err
		}
		if n++; n%w.step == 0 {
			r.To = w.share(ctx, k, r.To)
		}
		return !w.failed.Load(), nil
	})
	if err == nil && !w.failed.Load() {
		err = part.end(ctx)
	}
	if err != nil {
		w.failed.Store(true)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = errors.Join(w.err, err)
	}
}

// share gives half of what lies behind k and before to to another reader, if there is a place for one, and returns where its part
// begins: the end of what is left to the first.
func (w *sweep) share(ctx context.Context, k, to []byte) []byte {
	half := between(k, to)
	if half == nil {
		return to
	}
	select {
	case w.places <- struct{}{}:
	default:
		return to
	}
	w.reading.Go(func() {
		defer func() { <-w.places }()
		w.read(ctx, store.Range{From: half, To: to})
	})
	return half
}

// between returns a key above a and below b, about half-way; nil: they lie too close.
func between(a, b []byte) []byte {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	from, to := leading(a[n:]), leading(b[n:])
	half := from + (to-from)/2
	if to <= from || half == from {
		return nil
	}
	return binary.BigEndian.AppendUint64(bytes.Clone(a[:n]), half)
}

// leading is the number that the first octets of a key are, with zeros behind a short one.
func leading(k []byte) uint64 {
	var b [8]byte
	copy(b[:], k)
	return binary.BigEndian.Uint64(b[:])
}
