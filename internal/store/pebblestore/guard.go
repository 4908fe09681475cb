package pebblestore

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// phase is where an open database stands in its life.
type phase uint8

const (
	phaseOpening phase = iota // errors go to Pebble, which then does not open
	phaseLive                 // errors never go to Pebble
	phaseFailed               // nothing reaches the disk any more
	phaseClosing              // errors go to Pebble, which only closes
)

const (
	stallFirst = 20 * time.Millisecond // first wait for space; doubles
	stallMax   = time.Second           // longest wait between two tries
)

var errFenced = errors.New("pebblestore: the database was given up")

// guard is the file system of one open database. While the database lives, a
// change of the disk that fails does not return to it: if the disk is full, the
// change waits for space and is tried again; otherwise the database has failed,
// and the goroutine that asked is parked. From then on nothing that this database
// does reaches the disk, so that another one may be opened beside it.
//
// Parked goroutines return with an error when release is called, when nobody can
// be in the middle of a commit: Pebble then only unwinds. Those that write the
// manifest never return, since Pebble may try the same edit twice.
type guard struct {
	vfs.FS // the disk; reading is not guarded
	health *health

	mu       sync.RWMutex // held for reading during each change of the disk
	phase    phase
	cause    error
	failed   chan struct{} // closed in phaseFailed
	released chan struct{} // closed by release
}

func newGuard(fs vfs.FS, h *health) *guard {
	return &guard{FS: fs, health: h, failed: make(chan struct{}), released: make(chan struct{})}
}

// fail ends the writing of this database. It does not return before every change
// under way has ended. While the database opens, it only forbids its use: Pebble
// must get its errors then, and come to an end.
func (g *guard) fail(cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		g.cause = cause
	}
	if g.phase == phaseLive {
		g.health.setFailed(true)
		g.phase = phaseFailed
		close(g.failed)
	}
}

// enter moves from opening to live, or from live to closing. It returns the cause
// if the database has failed.
func (g *guard) enter(p phase) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		g.phase = p
	}
	return g.cause
}

// release lets parked goroutines return, all but those of the manifest.
func (g *guard) release() { close(g.released) }

// reason returns why the database failed.
func (g *guard) reason() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.cause
}

// hasFailed reports whether fail was called.
func (g *guard) hasFailed() bool {
	select {
	case <-g.failed:
		return true
	default:
		return false
	}
}

// change makes one change of the disk, named by the file that it concerns.
func (g *guard) change(name string, fn func() error) error {
	p, err := g.try(fn)
	if p == phaseLive && isFull(err) {
		p, err = g.waitForSpace(fn)
	}
	if p == phaseLive && err != nil {
		g.fail(err)
		p = phaseFailed
	}
	if p != phaseFailed {
		return err
	}
	g.park(name)
	return errFenced
}

// waitForSpace tries a change again until it finds space, or meets another error,
// or the database fails or closes.
func (g *guard) waitForSpace(fn func() error) (phase, error) {
	g.health.stalled(1)
	defer g.health.stalled(-1)
	for wait := stallFirst; ; wait = min(2*wait, stallMax) {
		select {
		case <-g.failed:
		case <-time.After(wait):
		}
		if p, err := g.try(fn); p != phaseLive || !isFull(err) {
			return p, err
		}
	}
}

func (g *guard) try(fn func() error) (phase, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.phase == phaseFailed {
		return phaseFailed, nil
	}
	return g.phase, fn()
}

func (g *guard) park(name string) {
	if isManifest(name) {
		select {}
	}
	<-g.released
}

// isManifest reports whether a file belongs to the description of the database's
// state, whose changes Pebble must not see fail.
func isManifest(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	return strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

// isFull reports whether an error passes by itself when space is freed.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Create implements vfs.FS.
func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

// OpenReadWrite implements vfs.FS.
func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (g *guard) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

// OpenDir implements vfs.FS. A directory is opened to be synced.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenDir(name) })
}

func (g *guard) open(name string, fn func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.change(name, func() (err error) {
		f, err = fn()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// Link implements vfs.FS.
func (g *guard) Link(oldname, newname string) error {
	return g.change(newname, func() error { return g.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (g *guard) Rename(oldname, newname string) error {
	return g.change(newname, func() error { return g.FS.Rename(oldname, newname) })
}

// MkdirAll implements vfs.FS.
func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.change(dir, func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove implements vfs.FS. Pebble removes only what nobody needs and bears that
// it stays, so that a failure here is no failure of the database.
func (g *guard) Remove(name string) error {
	return g.removal(func() error { return g.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (g *guard) RemoveAll(name string) error {
	return g.removal(func() error { return g.FS.RemoveAll(name) })
}

func (g *guard) removal(fn func() error) error {
	if p, err := g.try(fn); p != phaseFailed {
		return err
	}
	return errFenced
}

// Lock implements vfs.FS. The store itself holds the lock of the folder, over all
// databases that it opens there.
func (g *guard) Lock(string) (io.Closer, error) { return noLock{}, nil }

// Unwrap implements vfs.FS.
func (g *guard) Unwrap() vfs.FS { return g.FS }

type noLock struct{}

// Close implements io.Closer.
func (noLock) Close() error { return nil }

// guardedFile is a file through which a guarded database changes the disk.
type guardedFile struct {
	vfs.File
	guard *guard
	name  string
}

// Write implements vfs.File. A write that was cut short by a full disk goes on
// where it stopped.
func (f *guardedFile) Write(p []byte) (int, error) {
	done := 0
	err := f.guard.change(f.name, func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}

// WriteAt implements vfs.File.
func (f *guardedFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	err := f.guard.change(f.name, func() error {
		n, err := f.File.WriteAt(p[done:], off+int64(done))
		done += n
		return err
	})
	return done, err
}

// Sync implements vfs.File.
func (f *guardedFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *guardedFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// sync is never tried again, whatever its error: the kernel may have dropped what
// it could not write, and a second sync would then succeed without it.
func (f *guardedFile) sync(fn func() error) error {
	return f.guard.change(f.name, func() error {
		if err := fn(); err != nil {
			return syncError{err}
		}
		return nil
	})
}

// syncError hides a full disk, for which a write would wait.
type syncError struct{ cause error }

// Error implements error.
func (e syncError) Error() string { return "sync: " + e.cause.Error() }

// Stat implements vfs.File. Pebble asks it of a log that it is about to write to,
// and cannot bear an error there.
func (f *guardedFile) Stat() (info vfs.FileInfo, err error) {
	err = f.guard.change(f.name, func() (err error) {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

// Close implements vfs.File. It frees the descriptor in any case.
func (f *guardedFile) Close() error {
	err := f.File.Close()
	if err == nil {
		return nil
	}
	return f.guard.change(f.name, func() error { return syncError{err} })
}
