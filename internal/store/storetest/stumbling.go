// Package storetest is for tests of what a store is used for: it has one operation of a
// real store fail, whichever a test names, so that a course can be followed with each of its operations failing.
package storetest

import (
	"context"
	"errors"
	"sync"

	"sallyport/internal/store"
)

// Stumbling is a store of which one operation fails, once, and every other succeeds. It counts
// Apply, Get and Scan, what makes, opens and lists files, and what writes, commits, reads and closes one.
type Stumbling struct {
	store.Store

	err   error
	at    int
	mu    sync.Mutex
	n     int
	armed bool
	fired bool
}

// Stumble has the operation of st numbered at, from 1, fail with err. It counts while it is armed,
// and is not at first.
func Stumble(st store.Store, at int, err error) *Stumbling {
	return &Stumbling{Store: st, at: at, err: err}
}

// Arm has operations count, or not count any more.
func (s *Stumbling) Arm(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = on
}

// Fired reports whether the operation came, and failed.
func (s *Stumbling) Fired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

func (s *Stumbling) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed || s.fired {
		return nil
	}
	if s.n++; s.n < s.at {
		return nil
	}
	s.fired = true
	return s.err
}

// Apply implements store.Store.
func (s *Stumbling) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.Apply(ctx, tx, d)
}

// Get implements store.Store.
func (s *Stumbling) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

// Scan implements store.Store.
func (s *Stumbling) Scan(ctx context.Context, r store.Range, fn func(key, value []byte) (bool, error)) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Scan(ctx, r, fn)
}

// Blobs implements store.Store.
func (s *Stumbling) Blobs() store.Blobs { return blobs{s.Store.Blobs(), s} }

type blobs struct {
	store.Blobs
	s *Stumbling
}

// Create implements store.Blobs.
func (b blobs) Create(name string) (store.BlobWriter, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	w, err := b.Blobs.Create(name)
	if err != nil {
		return nil, err
	}
	return writer{w, b.s}, nil
}

// Open implements store.Blobs.
func (b blobs) Open(name string) (store.BlobReader, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	r, err := b.Blobs.Open(name)
	if err != nil {
		return nil, err
	}
	return reader{r, b.s}, nil
}

// List implements store.Blobs.
func (b blobs) List() ([]string, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	return b.Blobs.List()
}

type writer struct {
	store.BlobWriter
	s *Stumbling
}

// Write implements store.BlobWriter.
func (w writer) Write(p []byte) (int, error) {
	if err := w.s.check(); err != nil {
		return 0, err
	}
	return w.BlobWriter.Write(p)
}

// Commit implements store.BlobWriter: after an error there is no blob.
func (w writer) Commit() error {
	if err := w.s.check(); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.BlobWriter.Commit()
}

type reader struct {
	store.BlobReader
	s *Stumbling
}

// Read implements store.BlobReader.
func (r reader) Read(p []byte) (int, error) {
	if err := r.s.check(); err != nil {
		return 0, err
	}
	return r.BlobReader.Read(p)
}

// Close implements store.BlobReader: the file is closed in any case.
func (r reader) Close() error { return errors.Join(r.s.check(), r.BlobReader.Close()) }
