package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Extraction says where and how a backup is written out.
type Extraction struct {
	Root *os.Root // an empty folder
	// Rename gives a member another name below Root; nil: none.
	Rename func(name string) string
	// Owners gives files to whom they belonged, by name where this host knows the
	// name, else by number, as tar(1) does. It needs root.
	Owners bool
	Tell   Progress
}

// Extract writes a backup out, comparing with the manifest again, and returns when
// everything is on disk. What it left below Root after an error is not a whole
// backup.
func Extract(ctx context.Context, file string, x Extraction) error {
	r, err := openArchive(file, x.Tell)
	if err != nil {
		return err
	}
	defer r.close()
	tmp, err := os.MkdirTemp(x.Root.Name(), ".restore-*")
	if err != nil {
		return err
	}
	lines, err := newLineFile(tmp)
	if err = errors.Join(err, os.Remove(tmp)); err != nil {
		return err
	}
	defer lines.close()
	e := extractor{x: x, r: r, lines: lines, modes: map[string]fs.FileMode{}, owners: owners{}}
	err = r.each(ctx, e.member, func(manifest io.Reader) error {
		if _, _, err := lines.rewind(); err != nil {
			return err
		}
		return compare(bufio.NewReaderSize(manifest, 2*maxNameOctets), lines.Reader)
	})
	if err != nil {
		return err
	}
	for name, mode := range e.modes {
		if err := x.Root.Chmod(name, mode); err != nil {
			return err
		}
	}
	return syncAll(x.Root)
}

// syncAll makes everything on the file system of root durable: one call for what
// may be millions of files.
func syncAll(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

type extractor struct {
	x      Extraction
	r      *reader
	lines  *lineFile
	modes  map[string]fs.FileMode // of folders that could not be filled with their own
	owners owners
}

func (e *extractor) member(h *tar.Header) error {
	name := strings.TrimSuffix(h.Name, "/")
	if e.x.Rename != nil {
		name = e.x.Rename(name)
	}
	if h.Typeflag == tar.TypeDir {
		return e.folder(name, h)
	}
	// Members whose folder is not one of the archive: config/ and files/.
	if dir := path.Dir(name); dir != "." {
		// Whoever may read the files in it must reach them; they have their own modes.
		if err := e.x.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// Permission bits alone: what came out of an archive runs as nobody else.
	f, err := e.x.Root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), e.r)
	if err == nil {
		err = f.Chmod(h.FileInfo().Mode().Perm())
	}
	if err == nil && e.x.Owners {
		err = f.Chown(e.owners.of(h))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := e.x.Root.Chtimes(name, h.ModTime, h.ModTime); err != nil {
		return err
	}
	return e.lines.add(sum, h.Name)
}

func (e *extractor) folder(name string, h *tar.Header) error {
	mode := h.FileInfo().Mode().Perm()
	if err := e.x.Root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	if mode&0o700 != 0o700 {
		e.modes[name], mode = mode, 0o700
	}
	if err := e.x.Root.Chmod(name, mode); err != nil {
		return err
	}
	if e.x.Owners {
		uid, gid := e.owners.of(h)
		return e.x.Root.Chown(name, uid, gid)
	}
	return nil
}

// owners remembers which number a name has on this host.
type owners map[string]int

func (o owners) of(h *tar.Header) (uid, gid int) {
	return o.number("u"+h.Uname, h.Uid, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}), o.number("g"+h.Gname, h.Gid, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
}

// number returns the number of a name of this host, or the one that was recorded
// where this host has no such name.
func (o owners) number(key string, recorded int, find func(name string) (string, error)) int {
	name := key[1:]
	if name == "" {
		return recorded
	}
	if n, ok := o[key]; ok {
		return n
	}
	n := recorded
	if text, err := find(name); err == nil {
		if v, err := strconv.Atoi(text); err == nil {
			n = v
		}
	}
	o[key] = n
	return n
}
