package pebble

import (
	"errors"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// badFS gives out files that fail as it says.
type badFS struct {
	vfs.FS
	write, sync, stat, close error
	room                     int // octets that a write takes before it fails
}

type badFile struct {
	vfs.File
	fs *badFS
}

// Create implements vfs.FS.
func (b *badFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, c)
	return &badFile{f, b}, err
}

// Write implements vfs.File: it takes what there is room for.
func (f *badFile) Write(p []byte) (int, error) {
	if f.fs.write == nil || len(p) <= f.fs.room {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:f.fs.room])
	return n, errors.Join(f.fs.write, err)
}

// Sync implements vfs.File.
func (f *badFile) Sync() error { return errors.Join(f.fs.sync, f.File.Sync()) }

// SyncData implements vfs.File.
func (f *badFile) SyncData() error { return errors.Join(f.fs.sync, f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f *badFile) SyncTo(int64) (bool, error) { return true, f.fs.sync }

// Stat implements vfs.File.
func (f *badFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return info, errors.Join(f.fs.stat, err)
}

// Close implements vfs.File.
func (f *badFile) Close() error { return errors.Join(f.fs.close, f.File.Close()) }

func guarded(t *testing.T) (*guard, *badFS, vfs.File) {
	t.Helper()
	bad := &badFS{FS: vfs.NewMem()}
	g := newGuard(bad, newHealth(), guards{})
	g.setPatient(true)
	f, err := g.Create("f", "test")
	if err != nil {
		t.Fatal(err)
	}
	return g, bad, f
}

func contentOf(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A write cut short by a full disk goes on where it stopped, neither losing nor
// repeating an octet, and there is trouble meanwhile.
func TestAShortWriteGoesOn(t *testing.T) {
	g, bad, f := guarded(t)
	bad.write, bad.room = syscall.ENOSPC, 3
	done := make(chan error, 1)
	go func() {
		_, err := f.Write([]byte("0123456789"))
		done <- err
	}()
	select {
	case <-g.health.watch():
	case <-time.After(10 * time.Second):
		t.Fatal("no trouble with a full disk")
	}
	select {
	case err := <-done:
		if err != nil || g.hasFailed() {
			t.Fatalf("write: %v, failed %v", err, g.reason())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the write does not end")
	}
	if got := contentOf(t, bad, "f"); got != "0123456789" {
		t.Errorf("the file holds %q", got)
	}
	if g.health.troubled() {
		t.Error("the trouble does not end")
	}
}

// After any other fault the database hears of no error and touches the disk no
// more, whatever it does.
func TestAFailedDatabaseTouchesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*badFS)
		do    func(g *guard, f vfs.File) error
	}{
		"write":        {func(b *badFS) { b.write = syscall.EIO }, func(_ *guard, f vfs.File) error { _, err := f.Write([]byte("x")); return err }},
		"sync":         {func(b *badFS) { b.sync = syscall.EIO }, func(_ *guard, f vfs.File) error { return f.Sync() }},
		"full at sync": {func(b *badFS) { b.sync = syscall.ENOSPC }, func(_ *guard, f vfs.File) error { return f.SyncData() }},
		"partial sync": {func(b *badFS) { b.sync = syscall.EIO }, func(_ *guard, f vfs.File) error { _, err := f.SyncTo(1); return err }},
		"stat":         {func(b *badFS) { b.stat = syscall.EIO }, func(_ *guard, f vfs.File) error { _, err := f.Stat(); return err }},
		"close":        {func(b *badFS) { b.close = syscall.EIO }, func(_ *guard, f vfs.File) error { return f.Close() }},
		"fatal":        {func(*badFS) {}, fatal},
		"nobody waits": {func(b *badFS) { b.write = syscall.ENOSPC }, func(g *guard, f vfs.File) error { g.setPatient(false); _, err := f.Write([]byte("x")); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			g, bad, f := guarded(t)
			other, err := g.Create("other", "test")
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(bad)
			if err := c.do(g, f); err != nil {
				t.Errorf("the database hears of %v", err)
			}
			if !g.hasFailed() || g.reason() == nil || !g.health.troubled() {
				t.Fatal("the database has not failed")
			}
			*bad = badFS{FS: bad.FS}
			lifeAfterDeath(t, g, other)
			names, err := bad.List("")
			if err != nil || len(names) != 2 || contentOf(t, bad, "other") != "" {
				t.Errorf("after its failure, the disk holds %q with %q, %v", names, contentOf(t, bad, "other"), err)
			}
		})
	}
}

func fatal(g *guard, _ vfs.File) error {
	dbLogger{log: slog.New(slog.DiscardHandler), guard: g}.Fatalf("the database says that it is %s", "over")
	return nil
}

// lifeAfterDeath does all that a database could do to the disk.
func lifeAfterDeath(t *testing.T, g *guard, f vfs.File) {
	t.Helper()
	n, err := f.Write([]byte("never"))
	fresh, cerr := g.Create("new", "test")
	reused, rerr := g.ReuseForWrite("f", "reused", "test")
	both, berr := g.OpenReadWrite("both", "test")
	dir, derr := g.OpenDir("")
	if err := errors.Join(err, cerr, rerr, berr, derr); err != nil || n != 5 {
		t.Fatalf("%d written, %v", n, err)
	}
	_, aerr := f.WriteAt([]byte("never"), 0)
	_, serr := fresh.Stat()
	_, terr := both.SyncTo(1)
	for what, err := range map[string]error{
		"write at": aerr, "stat": serr, "sync to": terr, "sync": fresh.Sync(), "sync data": reused.SyncData(),
		"sync of the folder": dir.Sync(), "link": g.Link("f", "linked"), "rename": g.Rename("f", "renamed"),
		"mkdir": g.MkdirAll("dir", 0o700), "remove": g.Remove("f"), "remove all": g.RemoveAll("f"),
		"preallocate": f.Preallocate(0, 100), "close": errors.Join(f.Close(), fresh.Close(), both.Close()),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Answers are no faults: whether a name exists is for the database to know.
func TestAnswersPass(t *testing.T) {
	g, _, _ := guarded(t)
	if err := g.Rename("none", "other"); !errors.Is(err, syscall.ENOENT) && err == nil {
		t.Errorf("rename: %v", err)
	}
	if _, err := g.OpenDir("none"); err == nil {
		t.Error("a folder that does not exist opens")
	}
	if err := g.Remove("none"); err == nil {
		t.Error("what does not exist is removed")
	}
	if g.hasFailed() {
		t.Errorf("failed: %v", g.reason())
	}
}
