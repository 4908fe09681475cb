package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/diskspace"
	"sallyport/internal/store"
)

// partial ends the name of a blob that is not committed.
const partial = ".part"

// writeCategory names our writes in the disk's statistics.
const writeCategory vfs.DiskWriteCategory = "sallyport-blob"

type blobs struct {
	fs      vfs.FS
	dir     string
	space   *diskspace.Space
	closed  atomic.Bool
	scratch sync.Pool // of *[]byte: copies of what is written, for as long as that takes
	// removing is held for writing while a checkpoint is taken, and for reading while a
	// blob is removed.
	removing sync.RWMutex
}

// openBlobs makes the folder and removes what earlier processes did not commit.
func openBlobs(fs vfs.FS, dir string, sp *diskspace.Space) (*blobs, error) {
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	b := &blobs{fs: fs, dir: dir, space: sp}
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if strings.HasSuffix(n, partial) {
			if err := fs.Remove(b.path(n)); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// makeDir makes a folder, and what is missing above it, and returns when all their
// names are durable. The folder above is always synced: an earlier process may
// have died before it did.
func makeDir(disk vfs.FS, dir string) error {
	parent := disk.PathDir(dir)
	if _, err := disk.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != "" && parent != dir {
		if err := makeDir(disk, parent); err != nil {
			return err
		}
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(disk, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (b *blobs) path(name string) string { return b.fs.PathJoin(b.dir, name) }

func (b *blobs) check(name string) error {
	if b.closed.Load() {
		return store.ErrClosed
	}
	return store.CheckBlobName(name)
}

func (b *blobs) close() { b.closed.Store(true) }

// Create implements store.Blobs.
func (b *blobs) Create(name string) (store.BlobWriter, error) {
	if err := b.check(name); err != nil {
		return nil, err
	}
	if b.space.Low(0) {
		return nil, store.ErrLow
	}
	f, err := b.fs.Create(b.path(name+partial), writeCategory)
	if err != nil {
		return nil, diskError(err)
	}
	return &blobWriter{blobs: b, name: name, file: f}, nil
}

// Open implements store.Blobs.
func (b *blobs) Open(name string) (store.BlobReader, error) {
	if err := b.check(name); err != nil {
		return nil, err
	}
	f, err := b.fs.Open(b.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, diskError(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(diskError(err), f.Close())
	}
	return &blobReader{file: f, size: info.Size()}, nil
}

// Remove implements store.Blobs. The folder is not synced: a blob that comes back
// after a crash is an orphan, which its owner removes again.
func (b *blobs) Remove(name string) error {
	if err := b.check(name); err != nil {
		return err
	}
	b.removing.RLock()
	defer b.removing.RUnlock()
	if err := b.fs.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(err)
	}
	return nil
}

// List implements store.Blobs.
func (b *blobs) List() ([]string, error) {
	if b.closed.Load() {
		return nil, store.ErrClosed
	}
	names, err := b.fs.List(b.dir)
	if err != nil {
		return nil, diskError(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return store.CheckBlobName(n) != nil })
	slices.Sort(names)
	return names, nil
}

type blobWriter struct {
	blobs *blobs
	name  string
	file  vfs.File
	err   error
	ended bool
}

// Write implements io.Writer.
func (w *blobWriter) Write(p []byte) (int, error) {
	if w.err != nil || w.ended {
		return 0, w.fault(store.ErrClosed)
	}
	give, ok := w.blobs.space.Take(int64(len(p)))
	if !ok {
		return 0, w.fault(store.ErrLow)
	}
	defer give()
	// The file may use the slice as it likes; the caller's stays as it is.
	scratch, ok := w.blobs.scratch.Get().(*[]byte)
	if !ok {
		scratch = new([]byte)
	}
	defer w.blobs.scratch.Put(scratch)
	*scratch = append((*scratch)[:0], p...)
	n, err := w.file.Write(*scratch)
	if err != nil {
		err = w.fault(diskError(err))
	}
	return n, err
}

// ReadAt implements io.ReaderAt.
func (w *blobWriter) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.file.ReadAt(p, off)
	return n, readEnd(err)
}

// fault keeps the first error.
func (w *blobWriter) fault(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// Commit implements store.BlobWriter. The order is the promise: the content is on
// disk before the name is given, and the name before Commit returns.
func (w *blobWriter) Commit() error {
	if w.ended {
		return w.fault(store.ErrClosed)
	}
	if w.err != nil || w.blobs.closed.Load() {
		return errors.Join(w.fault(store.ErrClosed), w.Abort())
	}
	w.ended = true
	err := w.file.Sync()
	err = errors.Join(err, w.file.Close())
	b := w.blobs
	if err == nil {
		err = b.fs.Rename(b.path(w.name+partial), b.path(w.name))
	}
	if err == nil {
		err = syncDir(b.fs, b.dir)
	}
	if err != nil {
		// Whatever name it has by now, it must not be found.
		_ = b.fs.Remove(b.path(w.name + partial))
		_ = b.fs.Remove(b.path(w.name))
		return w.fault(diskError(err))
	}
	return nil
}

// Abort implements store.BlobWriter.
func (w *blobWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	err := errors.Join(w.file.Close(), w.blobs.fs.Remove(w.blobs.path(w.name+partial)))
	if err != nil {
		return diskError(err)
	}
	return nil
}

type blobReader struct {
	file vfs.File
	size int64
}

// Read implements io.Reader.
func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	return n, readEnd(err)
}

// ReadAt implements io.ReaderAt.
func (r *blobReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.file.ReadAt(p, off)
	return n, readEnd(err)
}

// Size implements store.BlobReader.
func (r *blobReader) Size() int64 { return r.size }

// Close implements io.Closer.
func (r *blobReader) Close() error { return r.file.Close() }

func readEnd(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return diskError(err)
}

func diskError(err error) error { return fmt.Errorf("%w: %v", store.ErrUnavailable, err) }
