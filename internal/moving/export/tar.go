package export

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/kit/safefile"
)

// part is a file that gets its name when it is whole.
type part struct {
	*os.File
	path   string
	closed bool
	ended  bool
}

// newPart begins a file at a path that must not exist; until it is whole it is called path.part.
func newPart(path string) (*part, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s %w", path, ErrThere)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &part{File: f, path: path}, nil
}

// settle makes durable what was written, and nothing more is.
func (p *part) settle() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.Sync(), p.Close())
}

func (p *part) commit() error {
	if p.ended {
		return nil
	}
	err := p.settle()
	p.ended = true
	if err == nil { // Link and not Rename: it never replaces what somebody put there meanwhile.
		err = os.Link(p.path+".part", p.path)
	}
	return errors.Join(err, os.Remove(p.path+".part"), safefile.SyncDir(filepath.Dir(p.path)))
}

func (p *part) abort() {
	if !p.ended {
		p.ended = true
		_ = p.settle() // it is removed
		_ = os.Remove(p.path + ".part")
	}
}

// Tar writes one tar archive, which holds a folder Maildir with a Maildir++.
func Tar(path string) (Writer, error) {
	p, err := newPart(path)
	if err != nil {
		return nil, err
	}
	return &maildir{store: &archive{part: p, tar: tar.NewWriter(p), notes: map[string][]byte{}}}, nil
}

// archive is a tar archive. Small files that change come at its end.
type archive struct {
	part  *part
	tar   *tar.Writer
	notes map[string][]byte
	order []string
}

const archiveRoot = "Maildir"

func (a *archive) mkdir(dir string) error {
	for _, sub := range []string{".", "tmp", "new", "cur"} {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: filepath.Join(archiveRoot, dir, sub) + "/", Mode: 0o700, Format: tar.FormatPAX}
		if err := a.tar.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) write(dir, name string, content []byte, at time.Time) error {
	return a.add(filepath.Join(dir, "cur", name), content, at)
}

func (a *archive) add(name string, content []byte, at time.Time) error {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.Join(archiveRoot, name), Mode: 0o600, Size: int64(len(content)),
		ModTime: at, Format: tar.FormatPAX,
	}
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(a.tar, bytes.NewReader(content))
	return err
}

func (a *archive) note(name string, content []byte) error {
	if _, known := a.notes[name]; !known {
		a.order = append(a.order, name)
	}
	a.notes[name] = content
	return nil
}

func (a *archive) names(string) ([]string, error) { return nil, nil }
func (a *archive) read(string) ([]byte, error)    { return nil, nil }

func (a *archive) commit() error {
	for _, name := range a.order {
		// Dovecot takes a file of the year 1970 for one that is not there.
		if err := a.add(name, a.notes[name], time.Now()); err != nil {
			return err
		}
	}
	if err := a.tar.Close(); err != nil {
		return err
	}
	return a.part.commit()
}

func (a *archive) abort() { a.part.abort() }
