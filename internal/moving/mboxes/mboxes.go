// Package mboxes reads mbox files to import from: one file, or a folder of them as Dovecot, pine,
// Thunderbird and Apple Mail keep them. It changes nothing and follows no link. A message is known
// by what is in it, since nothing else in an mbox stays: of two that are the same in one folder
// both come, once.
package mboxes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/moving/mbox"
)

// Place is a file or a folder of files.
type Place struct {
	path  string
	root  *os.Root // whatever lies within, nothing outside of it is opened
	form  mbox.Form
	zone  *time.Location
	files map[string]string // by the name of the folder that each is, below root
}

// Open takes a file or a folder. Dates without a zone are of zone. A single file is the folder of
// that name, or the INBOX where the name says so or is inbox.
func Open(path string, form mbox.Form, zone *time.Location, inbox string) (*Place, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, err
	}
	p := &Place{path: abs, form: form, zone: zone, files: map[string]string{}}
	if !info.IsDir() {
		err = p.alone(abs, inbox)
	} else if p.root, err = os.OpenRoot(abs); err == nil {
		if err = p.within(".", nil, 0); err == nil && len(p.files) == 0 {
			err = fmt.Errorf("%s is neither a Maildir nor a folder of mbox files", path)
		}
	}
	if err != nil && p.root != nil {
		err = errors.Join(err, p.root.Close())
	}
	return p, err
}

// alone takes a single file.
func (p *Place) alone(abs, inbox string) (err error) {
	if p.root, err = os.OpenRoot(filepath.Dir(abs)); err != nil {
		return err
	}
	name := folderOf(filepath.Base(abs))
	if slices.Contains([]string{"mbox", "inbox", strings.ToLower(inbox)}, strings.ToLower(name)) {
		name = mailbox.Inbox
	}
	p.files[name] = filepath.Base(abs)
	return p.looks(filepath.Base(abs))
}

// folderOf is how a folder is called by the name of its file.
func folderOf(file string) string {
	for _, end := range []string{".mbox", ".mbx", ".sbd"} {
		if name, ok := strings.CutSuffix(file, end); ok && name != "" {
			return name
		}
	}
	return file
}

// looks reports by its error whether a file is no mbox.
func (p *Place) looks(path string) error {
	f, size, err := p.open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = mbox.NewReader(f, size, p.form, 0, p.zone).Next()
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// maxDepth bounds how deep folders within folders are looked for.
const maxDepth = 20

func (p *Place) within(dir string, above []string, depth int) error {
	entries, err := p.entries(dir)
	if err != nil || depth == maxDepth {
		return err
	}
	for _, e := range entries {
		path, levels := filepath.Join(dir, e.Name()), append(slices.Clone(above), folderOf(e.Name()))
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			if err := p.within(path, levels, depth+1); err != nil {
				return err
			}
		case e.Type().IsRegular():
			// One that cannot be read may be an mbox: reading it tells that.
			if info, err := e.Info(); err != nil || info.Size() == 0 || errors.Is(p.looks(path), mbox.ErrNone) {
				continue
			}
			if e.Name() == "mbox" && strings.HasSuffix(filepath.Join(p.path, dir), ".mbox") { // of Apple Mail
				if levels = above; len(levels) == 0 {
					levels = []string{folderOf(filepath.Base(p.path))}
				}
			}
			name := strings.Join(levels, mailbox.Separator)
			if strings.EqualFold(name, mailbox.Inbox) {
				name = mailbox.Inbox
			}
			p.files[moving.Free(name, func(name string) bool { _, taken := p.files[name]; return taken })] = path
		}
	}
	return nil
}

// entries reads a folder.
func (p *Place) entries(dir string) ([]fs.DirEntry, error) {
	f, err := p.root.Open(dir)
	if err != nil {
		return nil, err
	}
	all, err := f.ReadDir(-1)
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, errors.Join(err, f.Close())
}

// open opens a file to read it. Whoever owns the folder may be anybody: neither a link nor a pipe
// is followed, and what somebody puts in the place of either meanwhile leads nowhere out of the folder.
func (p *Place) open(path string) (*os.File, int64, error) {
	if info, err := p.root.Lstat(path); err != nil {
		return nil, 0, err
	} else if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no file", path)
	}
	f, err := p.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Identity implements moving.Place.
func (p *Place) Identity() string { return "mbox " + p.path }

// Close implements moving.Place.
func (p *Place) Close() error { return p.root.Close() }

// Folders implements moving.Place. How many messages are in a file nobody knows before it is read.
func (p *Place) Folders(context.Context) (all []moving.Folder, err error) {
	for name := range p.files {
		all = append(all, moving.Folder{Name: name, Levels: strings.Split(name, mailbox.Separator), Subscribed: true, Messages: -1})
	}
	slices.SortFunc(all, func(a, b moving.Folder) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Read implements moving.Place.
func (p *Place) Read(ctx context.Context, folder string, r moving.Receiver) error {
	path, ok := p.files[folder]
	if !ok {
		return mailbox.ErrNoSuchMailbox
	}
	f, size, err := p.open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := mbox.NewReader(f, size, p.form, mailbox.MaxArrival, p.zone)
	times := map[mailbox.Digest]int{}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		m, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := "the message at octet " + strconv.FormatInt(m.At, 10)
		switch {
		case m.Internal || m.Notes.Expunged:
			continue
		case m.TooLong:
			err = r.Unreadable(name, fmt.Errorf("it has more than %d octets", int64(mailbox.MaxArrival)))
		default:
			if m.Date.IsZero() {
				m.Date = info.ModTime()
			}
			d := mailbox.DigestOf(m.Octets)
			times[d]++
			o := mailbox.OriginOf(p.Identity(), folder, string(d[:]), strconv.Itoa(times[d]))
			if !r.Wanted(o) {
				continue
			}
			err = r.Message(moving.Message{Origin: o, Name: name, Flags: flags(m.Notes), Date: m.Date, Octets: m.Octets})
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func flags(n mbox.Notes) mailbox.Flags {
	var s mailbox.System
	for _, f := range []struct {
		set  bool
		flag mailbox.System
	}{{n.Seen, mailbox.Seen}, {n.Answered, mailbox.Answered}, {n.Flagged, mailbox.Flagged}, {n.Deleted, mailbox.Deleted}, {n.Draft, mailbox.Draft}} {
		if f.set {
			s |= f.flag
		}
	}
	words := slices.DeleteFunc(slices.Clone(n.Keywords), func(w string) bool { return !mailbox.IsKeyword(w) })
	if n.Forwarded {
		words = append(words, mailbox.Forwarded)
	}
	return mailbox.NewFlags(s, words...)
}
