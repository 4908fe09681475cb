package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"sallyport/internal/kit/shortage"
)

// mostLeftOut is how many files and folders a backup names that could not be read; the others it counts.
const mostLeftOut = 10_000

// leftOut is what cannot be read of the mailboxes: a bad sector under one message, or one that another program has made
// its own, keeps no other message out of a backup. nil takes nothing.
type leftOut struct {
	root  string
	lines []string
	more  int
	seen  map[string]bool
	read  func(path string) (*os.File, error) // nil: os.Open
}

// takes notes what cannot be read, and reports whether it is that: what is short in the whole process, or is gone,
// is none.
func (l *leftOut) takes(path string, err error) bool {
	var at *fs.PathError
	if l == nil || err == nil || errors.Is(err, fs.ErrNotExist) || shortage.Of(err) || !errors.As(err, &at) {
		return false
	}
	switch {
	case l.seen[path]: // it is met in each pass
	case len(l.lines) == mostLeftOut:
		l.more++
	default:
		if l.seen == nil {
			l.seen = map[string]bool{}
		}
		l.seen[path] = true
		l.lines = append(l.lines, strings.ReplaceAll(path, "\n", "?")+": "+at.Err.Error())
	}
	return true
}

// open opens a file or folder. Where what cannot be read is left out, all of a file is read once before, since an archive
// says how long a file is before it has it.
func (l *leftOut) open(path string, dir bool) (*os.File, error) {
	open := os.Open
	if l != nil && l.read != nil {
		open = l.read
	}
	f, err := open(path)
	if err != nil || l == nil || dir {
		return f, err
	}
	_, err = io.Copy(io.Discard, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (l *leftOut) count() int {
	if l == nil {
		return 0
	}
	return len(l.lines) + l.more
}

func (l *leftOut) first() string {
	if l.count() == 0 {
		return ""
	}
	return l.lines[0]
}

// send sends the member that names what was left out, if something was.
func (l *leftOut) send(add addMember, at time.Time) error {
	if l.count() == 0 {
		return nil
	}
	text := strings.Join(l.lines, "\n") + "\n"
	if l.more > 0 {
		text += fmt.Sprintf("and %d more\n", l.more)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: LeftOutName, Mode: 0o600, Size: int64(len(text)), ModTime: at}
	return add(h, strings.NewReader(text))
}

// mostUnread is how many of them a summary names.
const mostUnread = 5

// counting notes of a member what it says that was left out.
func (s *Summary) counting(h *tar.Header, content io.Reader) io.Reader {
	if h.Name != LeftOutName {
		return content
	}
	return io.TeeReader(content, &leftOutReader{s: s})
}

// leftOutReader reads the member that names what was left out.
type leftOutReader struct {
	s    *Summary
	part []byte // of a line
}

// Write takes the next part of it.
func (r *leftOutReader) Write(b []byte) (int, error) {
	r.part = append(r.part, b...)
	for {
		line, rest, whole := bytes.Cut(r.part, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if r.s.LeftOut++; r.s.LeftOut <= mostUnread {
			r.s.Unread += string(line) + "\n"
		}
		r.part = rest
	}
}
