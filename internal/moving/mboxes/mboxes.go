// Package mboxes reads mbox files as a place that mail moves in from: one file, or a folder of
// them as Dovecot, pine, Thunderbird and Apple Mail keep them. It changes nothing and follows no
// link. A message is known by what is in it, since nothing else in an mbox stays: of two that are
// the same in one folder both come, once.
package mboxes

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	form  mbox.Form
	zone  *time.Location
	files map[string]string // by the name of the folder that each is
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
		name := folderOf(filepath.Base(abs))
		if slices.Contains([]string{"mbox", "inbox", strings.ToLower(inbox)}, strings.ToLower(name)) {
			name = mailbox.Inbox
		}
		p.files[name] = abs
		return p, p.looks(abs)
	}
	if err := p.within(abs, nil, 0); err != nil {
		return nil, err
	}
	if len(p.files) == 0 {
		return nil, fmt.Errorf("%s is neither a Maildir nor a folder of mbox files", path)
	}
	return p, nil
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
	f, size, err := open(path)
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
	entries, err := os.ReadDir(dir)
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
			if info, err := e.Info(); err != nil || info.Size() == 0 || p.looks(path) != nil {
				continue
			}
			if e.Name() == "mbox" && strings.HasSuffix(dir, ".mbox") { // of Apple Mail
				levels = above
			}
			name := strings.Join(levels, mailbox.Separator)
			if strings.EqualFold(name, mailbox.Inbox) {
				name = mailbox.Inbox
			}
			p.files[name] = path
		}
	}
	return nil
}

// open opens a file to read it. Whoever owns the folder may be anybody: neither a link nor a pipe
// is followed.
func open(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
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
func (p *Place) Close() error { return nil }

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
	f, size, err := open(path)
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
