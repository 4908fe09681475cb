package mem

import (
	"bytes"
	"slices"
	"sync"

	"sallyport/internal/store"
)

type blobs struct {
	mu     sync.RWMutex
	files  map[string][]byte
	closed bool
}

// Create implements store.Blobs.
func (b *blobs) Create(name string) (store.BlobWriter, error) {
	if err := store.CheckBlobName(name); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, store.ErrClosed
	}
	return &blobWriter{blobs: b, name: name}, nil
}

// Open implements store.Blobs.
func (b *blobs) Open(name string) (store.BlobReader, error) {
	if err := store.CheckBlobName(name); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, store.ErrClosed
	}
	f, ok := b.files[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return blobReader{bytes.NewReader(f)}, nil
}

// Remove implements store.Blobs.
func (b *blobs) Remove(name string) error {
	if err := store.CheckBlobName(name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return store.ErrClosed
	}
	delete(b.files, name)
	return nil
}

// List implements store.Blobs.
func (b *blobs) List() ([]string, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, store.ErrClosed
	}
	names := make([]string, 0, len(b.files))
	for n := range b.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

func (b *blobs) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

type blobWriter struct {
	blobs *blobs
	name  string
	mu    sync.Mutex // guards buf against those who read it meanwhile
	buf   []byte
	ended bool
}

// ReadAt implements io.ReaderAt.
func (w *blobWriter) ReadAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.NewReader(w.buf).ReadAt(p, off)
}

// Write implements io.Writer.
func (w *blobWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, store.ErrClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// Commit implements store.BlobWriter.
func (w *blobWriter) Commit() error {
	w.blobs.mu.Lock()
	defer w.blobs.mu.Unlock()
	if w.ended || w.blobs.closed {
		return store.ErrClosed
	}
	w.ended = true
	w.blobs.files[w.name] = w.buf
	return nil
}

// Abort implements store.BlobWriter.
func (w *blobWriter) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended, w.buf = true, nil
	}
	return nil
}

type blobReader struct{ *bytes.Reader }

// Close implements io.Closer.
func (blobReader) Close() error { return nil }
