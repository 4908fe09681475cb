package pebble

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	stallFirst = 20 * time.Millisecond // first wait for space; doubles
	stallMax   = time.Second           // longest wait between two tries
)

// guard is the file system of one open database. The database never learns that a
// change of the disk failed, because Pebble would end the process, or leave a lock
// held, or free something twice:
//
//   - If the disk is full, the change waits for space and is tried again.
//   - After any other error the database has failed. That change and all later
//     ones come to nothing and report success: nothing that this database does
//     reaches the disk any more, and it can be closed as if all were well.
//
// So whoever relies on a change asks hasFailed afterwards: as long as it has not
// failed, every change that was reported did happen.
type guard struct {
	vfs.FS // the disk; reading is not guarded, but for files of values
	health *health
	guards guards
	// keeper is told of files of values; nil: they are read as all others.
	keeper   keeper
	rewrites rewrites

	mu      sync.RWMutex // held for reading during each change of the disk
	writing sync.Map     // names of files that are followed and not closed
	patient bool         // a full disk is waited for
	cause   error        // why the database has failed; nil if it has not
	failed  chan struct{}
}

func newGuard(disk vfs.FS, h *health, beside guards) *guard {
	return &guard{FS: disk, health: h, guards: beside, failed: make(chan struct{})}
}

// fail ends the writing of this database. It does not return before every change
// under way has ended.
func (g *guard) fail(cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		g.health.fail(cause)
		g.cause = cause
		close(g.failed)
	}
}

// setPatient says whether a full disk is waited for: as long as there is somebody
// who can be told to wait. It is not while the database opens or closes.
func (g *guard) setPatient(patient bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.patient = patient
}

// reason returns why the database failed, nil if it has not.
func (g *guard) reason() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.cause
}

// hasFailed reports whether changes come to nothing by now.
func (g *guard) hasFailed() bool {
	select {
	case <-g.failed:
		return true
	default:
		return false
	}
}

// change makes one change of the disk. Of its errors the caller sees only those
// that are answers: that a name exists, or does not.
func (g *guard) change(fn func() error) error {
	err, patient := g.try(fn)
	if patient && isFull(err) {
		err = g.waitForSpace(fn, err)
	}
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist):
		return err
	}
	g.fail(err)
	return nil
}

// try makes a change, unless the database has failed.
func (g *guard) try(fn func() error) (err error, patient bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.cause != nil {
		return nil, false
	}
	return fn(), g.patient
}

// waitForSpace tries a change again, which found none, until it finds space, or meets another error,
// or nobody waits any more.
func (g *guard) waitForSpace(fn func() error, full error) error {
	g.health.stalled(full)
	defer g.health.unstalled()
	for wait := stallFirst; ; wait = min(2*wait, stallMax) {
		select {
		case <-g.failed:
		case <-time.After(wait):
		}
		if err, patient := g.try(fn); !patient || !isFull(err) {
			return err
		}
	}
}

// isFull reports whether an error passes by itself when space is freed.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Create implements vfs.FS.
func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == rewriteCategory {
		if err := g.mayRewrite(); err != nil {
			return nil, err
		}
	}
	f, err := g.open(func() (vfs.File, error) {
		if err := g.settleMarker(name); err != nil {
			return nil, err
		}
		return g.FS.Create(name, c)
	})
	if err == nil && !g.hasFailed() {
		f.follow(name)
	}
	return file(f, err)
}

// settleMarker syncs the folder before a marker in it appears or goes. A marker is
// the name of a file that says which manifest counts. Pebble syncs the folder once
// after having made the manifest, made the new marker and removed the old one; a
// disk may keep any of these and lose the others, and a database with a marker of
// no manifest does not open, and one without a marker is taken for a new one.
func (g *guard) settleMarker(name string) error {
	if !strings.HasPrefix(g.PathBase(name), "marker.") {
		return nil
	}
	return final(syncDir(g.FS, g.PathDir(name)))
}

// OpenReadWrite implements vfs.FS.
func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return file(g.open(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) }))
}

// ReuseForWrite implements vfs.FS.
func (g *guard) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return file(g.open(func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) }))
}

// Open implements vfs.FS. Whoever reads a file from one end to the other sorts or
// copies tables, which can wait.
func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.Open(name, opts...)
	if g.keeper != nil && isValues(name) && g.guards.concerns(name) {
		f, err = g.openValues(name, f, err)
	}
	if err == nil && slices.Contains(opts, vfs.SequentialReadsOption) {
		f = patientFile{f}
	}
	return f, err
}

// patientFile lets everything else that can run go first at each of its reads.
// Sorting tables is long computing, of which the scheduler would take its processor
// away only every 10 ms: on a machine with few of them, mail would wait that long.
type patientFile struct{ vfs.File }

// ReadAt implements vfs.File.
func (f patientFile) ReadAt(p []byte, off int64) (int, error) {
	runtime.Gosched()
	return f.File.ReadAt(p, off)
}

// Read implements vfs.File.
func (f patientFile) Read(p []byte) (int, error) {
	runtime.Gosched()
	return f.File.Read(p)
}

// OpenDir implements vfs.FS. A directory is opened to be synced.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	return file(g.open(func() (vfs.File, error) { return g.FS.OpenDir(name) }))
}

// file is what open returned; none is no file.
func file(f *guardedFile, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (g *guard) open(fn func() (vfs.File, error)) (*guardedFile, error) {
	// What a failed database opens is a file of nothing.
	f := vfs.NewMemFile(nil)
	err := g.change(func() error {
		opened, err := fn()
		if err == nil {
			f = opened
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g}, nil
}

// Link implements vfs.FS.
func (g *guard) Link(oldname, newname string) error {
	return g.change(func() error { return g.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (g *guard) Rename(oldname, newname string) error {
	err := g.change(func() error { return g.FS.Rename(oldname, newname) })
	if err == nil && !g.hasFailed() {
		g.guards.named(newname)
	}
	return err
}

// MkdirAll implements vfs.FS.
func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.change(func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove implements vfs.FS. Pebble removes only what nobody needs, and bears that
// it stays, so that a failure here is no failure of the database.
func (g *guard) Remove(name string) error {
	if err := g.change(func() error { return g.settleMarker(name) }); err != nil {
		return err
	}
	err, _ := g.try(func() error {
		err := g.FS.Remove(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			g.guards.removed(name)
		}
		return err
	})
	return err
}

// RemoveAll implements vfs.FS.
func (g *guard) RemoveAll(name string) error {
	err, _ := g.try(func() error { return g.FS.RemoveAll(name) })
	return err
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
	guard    *guard
	follower follower // nil: nobody follows
	name     string   // of a file that is followed
}

// follow has somebody see what is written.
func (f *guardedFile) follow(name string) {
	if f.follower = f.guard.guards.follow(name); f.follower != nil {
		f.name = f.guard.PathBase(name)
		f.guard.writing.Store(f.name, true)
	}
}

// writes reports whether a file is still being written.
func (g *guard) writes(name string) bool {
	_, is := g.writing.Load(name)
	return is
}

// Write implements vfs.File. A write that was cut short by a full disk goes on
// where it stopped. Who follows is told of what is written, and of nothing that a database writes after it has failed: a
// copy of the manifest would name tables that never were.
func (f *guardedFile) Write(p []byte) (int, error) {
	done, told := 0, f.follower == nil
	err := f.guard.change(func() error {
		if !told { // before: the file may change the slice
			f.follower.write(p)
			told = true
		}
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return len(p), err
}

// WriteAt implements vfs.File.
func (f *guardedFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	err := f.guard.change(func() error {
		n, err := f.File.WriteAt(p[done:], off+int64(done))
		done += n
		return err
	})
	return len(p), err
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
	err := f.guard.change(func() error { return final(fn()) })
	if f.follower != nil && !f.guard.hasFailed() {
		f.follower.sync()
	}
	return err
}

// final hides what kind of error it was, so that it is neither waited for nor
// taken for an answer.
func final(err error) error {
	if err == nil {
		return nil
	}
	return finalError{err}
}

type finalError struct{ cause error }

// Error implements error.
func (e finalError) Error() string { return e.cause.Error() }

// Preallocate implements vfs.File. It helps, and need not succeed.
func (f *guardedFile) Preallocate(off, length int64) error {
	err, _ := f.guard.try(func() error { return f.File.Preallocate(off, length) })
	return err
}

// Stat implements vfs.File. Pebble asks it of a log that it is about to write to,
// and cannot bear an error there.
func (f *guardedFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err == nil {
		return info, nil
	}
	f.guard.fail(err)
	return vfs.NewMemFile(nil).Stat()
}

// Close implements vfs.File. It frees the descriptor in any case.
func (f *guardedFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.guard.fail(err)
	}
	if f.follower != nil {
		f.follower.close(!f.guard.hasFailed())
		f.guard.writing.Delete(f.name)
	}
	return nil
}
