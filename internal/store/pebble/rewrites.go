package pebble

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
)

// Pebble (2.1.7) ends the process for what it meets in files of values in work of its own, which nobody can catch:
//
//   - where a file is gone, or its footer does not read, it wants to tell its listener, has no words for it, and panics
//     (DB.reportCorruption of nothing);
//   - where any block of it does not read as the file is written anew, it does the same;
//   - and after any other error of a read there, it frees blocks that are in use (BufferPool.Release), and keeps
//     a file open with which it cannot be closed.
//
// So it gets to see none of these. A file that is gone or has no footer is answered with errors that are no corruption to
// it, by which what it does fails in order. And a file that it is about to write anew is read through before it may begin, where an error is
// still one: as it makes the new file.

// rewrites is what is known of files of values that Pebble writes anew without what nothing refers to any more: one at a time.
type rewrites struct {
	input  atomic.Uint64             // the number of the file that is; 0: none
	paused atomic.Pointer[time.Time] // until when none is, since the last time failed
}

// rewritePause is how long no file of values is written anew after that has failed: Pebble tries again at once, and the same file.
const rewritePause = time.Hour

// rewriteCategory is what Pebble says that it makes a file for.
const rewriteCategory vfs.DiskWriteCategory = "pebble-blob-file-rewrite"

func (r *rewrites) begin(number uint64) { r.input.Store(number) }

// end reports whether it failed.
func (r *rewrites) end(err error, now time.Time) (failed bool) {
	r.input.Store(0)
	if err == nil || errors.Is(err, pebble.ErrCancelledCompaction) {
		return false
	}
	until := now.Add(rewritePause)
	r.paused.Store(&until)
	return true
}

// garbage is how much of all files of values may be what nothing refers to any more, before one is written anew; at 1 none is.
func (r *rewrites) garbage(now time.Time) float64 {
	if until := r.paused.Load(); until != nil && now.Before(*until) {
		return 1
	}
	return mostGarbage
}

// keeper is told of files of values that a database meets.
type keeper interface {
	// damaged is told of a file that does not read.
	damaged(g *guard, path string)
	// unread is told of a file that the disk does not give.
	unread(path string, err error)
	// mayRewrite looks whether a file may be written anew.
	mayRewrite(g *guard, name string) error
}

// mayRewrite reads the file through that Pebble is about to write anew.
func (g *guard) mayRewrite() error {
	if err := g.reason(); err != nil {
		return fmt.Errorf("the database has failed: %w", err)
	}
	if g.keeper == nil {
		return nil
	}
	return g.keeper.mayRewrite(g, valuesName(g.rewrites.input.Load()))
}

// List implements vfs.FS. Among the files of a database are those of values that are gone, as long as they have a guard: one of which
// Pebble does not know it does not ask for, but panics. It removes, guard and all, what it does not need.
func (g *guard) List(dir string) ([]string, error) {
	names, err := g.FS.List(dir)
	if err != nil || g.keeper == nil || dir != g.guards.db {
		return names, err
	}
	beside, err := g.FS.List(g.guards.dir)
	if err != nil {
		return names, nil
	}
	have := map[string]bool{}
	for _, name := range names {
		number, _, _ := strings.Cut(name, ".")
		have[number] = true
	}
	for _, name := range beside {
		if number, is := strings.CutSuffix(name, ".blob"); is && !isTemporary(name) && !have[number] {
			names = append(names, name)
		}
	}
	return names, nil
}

// errGone is that a file of values is not there. Pebble would take the disk's own word for damage.
var errGone = errors.New("a file of values is gone")

// openValues has a file of values, or why there is none, be looked at before Pebble sees it.
func (g *guard) openValues(name string, f vfs.File, err error) (vfs.File, error) {
	if errors.Is(err, fs.ErrNotExist) {
		if !g.hasFailed() { // one that failed looks for what the next one has removed
			g.keeper.unread(name, err)
		}
		return nil, fmt.Errorf("%w: %s", errGone, g.PathBase(name))
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Size() < footerOctets {
		g.rotten(name)
		return nil, errors.Join(fmt.Errorf("%w: %s has %d octets", errValues, g.PathBase(name), info.Size()), f.Close())
	}
	return &valuesFile{File: f, guard: g, name: name, size: info.Size()}, nil
}

// rotten tells of a file that does not read. What a database meets that has failed may have been put right since.
func (g *guard) rotten(name string) {
	if !g.hasFailed() {
		g.keeper.damaged(g, name)
	}
}

// valuesFile is a file of values that Pebble reads.
type valuesFile struct {
	vfs.File
	guard *guard
	name  string
	size  int64
}

// ReadAt implements vfs.File. Pebble reads the footer, or a block, at once.
func (f *valuesFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	switch {
	case len(p) == footerOctets && off+footerOctets == f.size:
		if n == len(p) && !isFooter(p) {
			f.guard.rotten(f.name)
			return 0, fmt.Errorf("%w: the footer of %s does not read", errValues, f.guard.PathBase(f.name))
		}
	case f.isRewritten() && (n < len(p) || !isBlock(p)) && byRewriter():
		f.park(err)
	}
	return n, err
}

// isRewritten reports whether the file is written anew now.
func (f *valuesFile) isRewritten() bool {
	number := f.guard.rewrites.input.Load()
	return number > 0 && f.guard.PathBase(f.name) == valuesName(number)
}

// mostCallers is how many functions are looked at, from the one that reads on: Pebble has a dozen between.
const mostCallers = 64

// byRewriter reports whether it is Pebble's writing anew that calls. A file does not get to know otherwise who reads it.
func byRewriter() bool {
	pcs := make([]uintptr, mostCallers)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".(*blobFileRewriter).Rewrite") {
			return true
		}
		if !more {
			return false
		}
	}
}

// park gives the database up, and never returns. It comes to that only where a file was sound, and does not read a moment later: any
// answer would end the process. What the database holds stays in memory as long as that lives.
func (f *valuesFile) park(err error) {
	if err != nil {
		f.guard.keeper.unread(f.name, err)
	} else {
		f.guard.rotten(f.name)
	}
	f.guard.fail(fmt.Errorf("%s did not read as it was written anew: %w", f.name, cmp.Or(err, errValues)))
	select {}
}

// mayRewrite implements keeper.
func (s *pebbleStore) mayRewrite(g *guard, name string) error {
	m := s.mender()
	err := m.checkValues(name)
	switch {
	case err == nil:
	case !errors.Is(err, errValues):
		s.unread(m.db(name), err)
	case m.isAsGuarded(name):
		// A part of it was cut out before, or was damaged before it had a guard. Who reads that finds out which.
		s.once(damage.Found{
			Kind: damage.Table, File: m.db(name), What: fmt.Sprintf("as its guard knows it, it does not read (%v), and is not written anew: what nothing refers to any more keeps its room", err),
			Lost: "what stands there, where something refers to it that was not lost before",
		})
	default:
		s.damaged(g, m.db(name))
	}
	return err
}

// isAsGuarded reports whether a file is what its guard was made of.
func (m *mender) isAsGuarded(name string) bool {
	g, text, err := m.guarded(name)
	if g == nil || err != nil || int64(len(text)) != g.Size() {
		return false
	}
	return len(g.Bad(0, text)) == 0
}

// unread implements keeper. That the process has too many files open is not the file's fault.
func (s *pebbleStore) unread(path string, err error) {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		s.once(unreadFound(path, err))
	}
}

func unreadFound(path string, err error) damage.Found {
	f := damage.Found{Kind: damage.Table, File: path, What: "it cannot be read: " + err.Error(), Lost: "what stands where it cannot be read, unless the disk gives it back"}
	if errors.Is(err, fs.ErrNotExist) {
		f.What, f.Lost = "it is gone from its folder", "what it had, unless it is given back: do that, or restore a backup"
	}
	return f
}

// once notes what is the matter with a file, and not again as long as the process lives.
func (s *pebbleStore) once(f damage.Found) {
	s.rot.mu.Lock()
	first := s.rot.first(f)
	s.rot.mu.Unlock()
	if first {
		s.note(f)
	}
}

// first reports whether the same was not told of a file before. The caller has the lock.
func (r *rot) first(f damage.Found) bool {
	key := f.File + "\n" + f.What
	if r.told[key] {
		return false
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	r.told[key] = true
	return true
}
