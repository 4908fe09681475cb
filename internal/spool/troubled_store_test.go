package spool_test

import (
	"context"
	"errors"

	"sallyport/internal/store"
)

// errTrouble is what the store answers in trouble, and nothing else does.
var errTrouble = errors.New("the disk is in trouble")

// trouble fails one operation of a store: the one numbered at, counted from 1, while
// it is armed.
type trouble struct {
	store.Store
	armed bool
	at, n int
	fired bool
}

func (s *trouble) check() error {
	if !s.armed {
		return nil
	}
	if s.n++; s.n != s.at {
		return nil
	}
	s.fired = true
	return errTrouble
}

func (s *trouble) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.Apply(ctx, tx, d)
}

func (s *trouble) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

func (s *trouble) Scan(ctx context.Context, r store.Range, fn func(key, value []byte) (bool, error)) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Scan(ctx, r, fn)
}

func (s *trouble) Blobs() store.Blobs { return troubledBlobs{s.Store.Blobs(), s} }

type troubledBlobs struct {
	store.Blobs
	s *trouble
}

func (b troubledBlobs) Create(name string) (store.BlobWriter, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	w, err := b.Blobs.Create(name)
	return troubledWriter{w, b.s}, err
}

func (b troubledBlobs) Open(name string) (store.BlobReader, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	r, err := b.Blobs.Open(name)
	return troubledReader{r, b.s}, err
}

func (b troubledBlobs) List() ([]string, error) {
	if err := b.s.check(); err != nil {
		return nil, err
	}
	return b.Blobs.List()
}

type troubledWriter struct {
	store.BlobWriter
	s *trouble
}

func (w troubledWriter) Write(p []byte) (int, error) {
	if err := w.s.check(); err != nil {
		return 0, err
	}
	return w.BlobWriter.Write(p)
}

func (w troubledWriter) Commit() error {
	if err := w.s.check(); err != nil {
		return errors.Join(err, w.BlobWriter.Abort())
	}
	return w.BlobWriter.Commit()
}

type troubledReader struct {
	store.BlobReader
	s *trouble
}

func (r troubledReader) Read(p []byte) (int, error) {
	if err := r.s.check(); err != nil {
		return 0, err
	}
	return r.BlobReader.Read(p)
}

func (r troubledReader) Close() error { return errors.Join(r.s.check(), r.BlobReader.Close()) }
