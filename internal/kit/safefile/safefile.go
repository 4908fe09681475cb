// Package safefile writes small files durably. A file that it wrote is there whole after a power
// cut, or is as it was before; it is never half of either. Whoever returns from one of its
// functions without an error may rely on what the disk now holds.
//
// Rename is the step that everything turns on, so no other package renames a file
// of the disk (but the store and the mailboxes, which have orders of their own).
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// folderMode is that of every folder that MakeDir makes: what is in it is for its
// owner alone.
const folderMode = 0o700

// Replace gives path this content and mode, whatever it held before: a reader sees
// the old file or the new one. The new one has our owner; the name is not followed
// if it is a link. The folder must exist.
func Replace(path string, content []byte, mode fs.FileMode) error {
	return replace(real{}, path, content, mode)
}

// Create is Replace for a file that must not exist yet; if something has its name,
// that stays as it is and the error is fs.ErrExist.
func Create(path string, content []byte, mode fs.FileMode) error {
	return create(real{}, path, content, mode)
}

// Remove removes a file, so that it stays removed. That there is none is no error.
func Remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, SyncDir(filepath.Dir(path)))
}

// MakeDir makes a folder that only we may enter, and what is missing above it, and
// returns when all their names are durable. A folder that exists is left as it is.
func MakeDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is in the way: it is no folder", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MakeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// SyncDir makes the names in a folder durable, and what was removed from it gone.
func SyncDir(dir string) error { return real{}.syncDir(dir) }

// disk is what a durable replacement asks of a file system. Tests cut its power.
type disk interface {
	temporary(dir, pattern string) (file, error) // of mode 0600, and of a name that nobody has
	rename(from, to string) error
	link(from, to string) error
	remove(name string) error
	syncDir(dir string) error
}

type file interface {
	io.Writer
	Name() string
	Chmod(fs.FileMode) error
	Sync() error
	Close() error
}

func replace(d disk, path string, content []byte, mode fs.FileMode) error {
	name, err := written(d, path, content, mode)
	if err != nil {
		return err
	}
	if err := d.rename(name, path); err != nil {
		return errors.Join(err, d.remove(name))
	}
	return d.syncDir(filepath.Dir(path))
}

func create(d disk, path string, content []byte, mode fs.FileMode) error {
	name, err := written(d, path, content, mode)
	if err != nil {
		return err
	}
	// A link, since that never replaces what somebody put there meanwhile.
	if err := errors.Join(d.link(name, path), d.remove(name)); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// written leaves the content, synced, in a file of another name beside path. The
// content comes before the wider mode, and the sync before the name: a name that a
// crash leaves always leads to everything. Readers of folders know by the dot that
// it is being written.
func written(d disk, path string, content []byte, mode fs.FileMode) (name string, err error) {
	f, err := d.temporary(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, d.remove(f.Name()))
	}
	return f.Name(), nil
}

// real is the disk of this host.
type real struct{}

func (real) temporary(dir, pattern string) (file, error) { return os.CreateTemp(dir, pattern) }
func (real) rename(from, to string) error                { return os.Rename(from, to) }
func (real) link(from, to string) error                  { return os.Link(from, to) }
func (real) remove(name string) error                    { return os.Remove(name) }

func (real) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
