package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
	"sallyport/internal/kit/parity"
)

// guards keeps, beside the files of a database, what puts them right: of each table and each file of
// values a parity guard, of the manifest a second copy. What it does can fail, and the database goes on: what has
// no guard gets one when it is read through next. Of all methods the zero value does nothing.
type guards struct {
	fs  vfs.FS
	db  string // the folder of the database; files elsewhere are not followed
	dir string
}

// concerns reports whether a file is one of the database.
func (g guards) concerns(name string) bool { return g.fs != nil && g.fs.PathDir(name) == g.db }

func (g guards) path(name string) string { return g.fs.PathJoin(g.dir, g.fs.PathBase(name)) }

// follow returns what is to be told of everything that is written to a new file; nil: nothing.
func (g guards) follow(name string) follower {
	if !g.concerns(name) {
		return nil
	}
	base := g.fs.PathBase(name)
	switch {
	case isTable(base):
		return newGuardFollower(g, base)
	case strings.HasPrefix(base, "MANIFEST-"):
		f, err := g.fs.Create(g.path(name), guardCategory)
		if err != nil {
			return nil
		}
		_ = syncDir(g.fs, g.dir)
		return &copyFollower{guards: g, name: base, file: f}
	}
	return nil
}

// follower sees what is written to a file.
type follower interface {
	write(p []byte)
	sync()
	// close ends it; whole: everything that was written is in the file.
	close(whole bool)
}

// guardFollower makes the guard of a file that is written once. One that a crash cut short is known as such, and
// made anew.
type guardFollower struct {
	guards guards
	name   string
	text   bytes.Buffer
	parity *parity.Writer
}

func (f *guardFollower) write(p []byte) { _, _ = f.parity.Write(p) }
func (f *guardFollower) sync()          {}

func (f *guardFollower) close(whole bool) {
	if whole && f.parity.Close() == nil {
		f.guards.put(f.name, f.text.Bytes())
	}
}

// put writes a guard; there is none when that fails. It gets its name when it is synced, so that one that the power
// left with a part missing is not there, and damage of one that is there is the disk's.
func (g guards) put(name string, text []byte) {
	m := mender{fs: g.fs, root: g.fs.PathDir(g.dir)}
	if m.write(g.path(name), text) != nil {
		_ = g.fs.Remove(m.temporary(g.path(name)))
	}
}

// copyFollower writes everything a second time. Where that fails, the copy ends there, and counts for less
// than the file.
type copyFollower struct {
	guards guards
	name   string
	file   vfs.File
	failed bool
}

func (f *copyFollower) write(p []byte) {
	if f.failed {
		return
	}
	if _, err := f.file.Write(bytes.Clone(p)); err != nil {
		f.failed = true
	}
}

func (f *copyFollower) sync() {
	if !f.failed {
		f.failed = f.file.Sync() != nil
	}
}

func (f *copyFollower) close(bool) { _ = f.file.Close() }

// removed removes the guard of a file that is gone.
func (g guards) removed(name string) {
	if !g.concerns(name) {
		return
	}
	if base := g.fs.PathBase(name); isTable(base) || strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "OPTIONS-") {
		_ = g.fs.Remove(g.path(name))
	}
}

// named makes the guard of a file that got its name after it was written.
func (g guards) named(name string) {
	if !g.concerns(name) || !strings.HasPrefix(g.fs.PathBase(name), "OPTIONS-") {
		return
	}
	m := mender{fs: g.fs}
	text, err := m.read(name)
	if err != nil {
		return
	}
	f := newGuardFollower(g, g.fs.PathBase(name))
	f.write(text)
	f.close(true)
}

// unreadError is that the disk does not give a file, which says nothing of what is in it.
type unreadError struct{ cause error }

// Error implements error.
func (e unreadError) Error() string { return e.cause.Error() }

func (e unreadError) Unwrap() error { return e.cause }

// guardOf reads the guard of a file of the database; nil: it has none that is whole. An error is an unreadError.
func (m *mender) guardOf(name string) (*parity.Guard, error) {
	text, err := m.read(m.guard(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadError{err}
	}
	g, err := parity.Parse(text)
	if err != nil {
		return nil, nil
	}
	return g, nil
}

// guarded reads a file of the database and its guard; nil: it has none that is whole. An error is an unreadError.
func (m *mender) guarded(name string) (*parity.Guard, []byte, error) {
	g, err := m.guardOf(name)
	if g == nil || err != nil {
		return nil, nil, err
	}
	file, err := m.read(m.db(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, unreadError{err}
	}
	return g, file, nil
}

// tableState is how a table was found, or left.
type tableState uint8

const (
	unguarded tableState = iota // nothing says how it was written
	sound                       // it is as it was written
	mended                      // it was put right
	broken                      // a part of it could not be put right
)

// asWritten reports whether a file is as its guard says, and reads it in pieces: tables are the larger the more the store
// holds, and a start has many of them looked at. An error is an unreadError.
func (m *mender) asWritten(name string, g *parity.Guard) (bool, error) {
	f, err := m.fs.Open(m.db(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, unreadError{err}
	}
	defer f.Close()
	size, piece := int64(0), make([]byte, scrubOctets)
	for {
		n, err := io.ReadFull(f, piece)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return false, unreadError{err}
		}
		if len(g.Bad(int(size/parity.Page), piece[:n])) > 0 {
			return false, nil
		}
		if size += int64(n); end {
			return size == g.Size(), nil
		}
	}
}

// mendTable puts a table right, or a file of values.
func (m *mender) mendTable(name string) (tableState, error) {
	g, err := m.guardOf(name)
	if g == nil || err != nil {
		return unguarded, err
	}
	switch same, err := m.asWritten(name, g); {
	case err != nil:
		return unguarded, err
	case same:
		return sound, nil
	}
	g, text, err := m.guarded(name)
	if g == nil || err != nil {
		return unguarded, err
	}
	right, bad, left := g.Mend(text)
	if len(bad) == 0 && len(text) == len(right) {
		return sound, nil
	}
	f := damage.Found{Kind: damage.Table, File: m.db(name)}
	f.What = fmt.Sprintf("%d pages of %d octets are not as they were written", len(bad), parity.Page)
	if len(bad) > 0 {
		f.What += fmt.Sprintf(", the first at octet %d", bad[0]*parity.Page)
	}
	state := mended
	if len(left) == 0 {
		f.What += "; all were put right"
	} else {
		state = broken
		f.What += fmt.Sprintf("; %d could not be put right", len(left))
		f.Lost = "what stood in those pages; the next entries say what that was"
	}
	if f.Aside, err = m.replace(m.db(name), right); err != nil {
		return unguarded, err
	}
	m.note(f)
	return state, nil
}

// guardAnew makes the guard of a file as that is now.
func (m *mender) guardAnew(name string) error {
	text, err := m.read(m.db(name))
	if err != nil {
		return err
	}
	f := newGuardFollower(m.guards(), name)
	f.write(text)
	f.close(true)
	return nil
}

func (m *mender) guards() guards {
	return guards{fs: m.fs, db: m.fs.PathJoin(m.root, dbDir), dir: m.fs.PathJoin(m.root, guardDir)}
}

func newGuardFollower(g guards, name string) *guardFollower {
	f := &guardFollower{guards: g, name: name}
	f.parity = parity.NewWriter(&f.text)
	return f
}

// sweep removes guards of files that are gone. Those of files of values Pebble removes: see guard.List.
func (m *mender) sweep() {
	names, err := m.fs.List(m.fs.PathJoin(m.root, guardDir))
	if err != nil {
		return
	}
	for _, name := range names {
		if isValues(name) && !isTemporary(name) {
			continue
		}
		if _, err := m.fs.Stat(m.db(name)); errors.Is(err, fs.ErrNotExist) {
			_ = m.fs.Remove(m.guard(name))
		}
	}
}
