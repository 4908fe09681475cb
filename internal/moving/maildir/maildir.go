// Package maildir reads Maildirs to import from: those with the folders of Maildir++ (.Sent,
// .Lists.Go) and those with folders within folders, as Dovecot keeps them with LAYOUT=fs. It
// changes nothing, follows no link, and takes flags and keywords from the names of files, and the
// date of a message from when its file was changed last, as Dovecot does.
package maildir

import (
	"cmp"
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

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
)

// Maildir is one.
type Maildir struct {
	dir  string
	root *os.Root          // dir: whatever lies within, nothing outside of it is opened
	dirs map[string]string // folders by name, each below root
}

// maxSmallFile bounds the files that programs keep beside messages.
const maxSmallFile = 1 << 20

// Open takes a folder; it fails if there is neither cur nor a folder with it.
func Open(dir string) (*Maildir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	m := &Maildir{dir: abs, root: root, dirs: map[string]string{}}
	if err = m.find(); err == nil && len(m.dirs) == 0 {
		err = fmt.Errorf("%s is no Maildir: there is no folder cur in it", dir)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return m, nil
}

// Identity implements moving.Place.
func (m *Maildir) Identity() string { return "maildir " + m.dir }

// Close implements moving.Place.
func (m *Maildir) Close() error { return m.root.Close() }

func (m *Maildir) isMaildir(dir string) bool {
	info, err := m.root.Lstat(filepath.Join(dir, "cur"))
	return err == nil && info.IsDir()
}

// errLink: what stands there is a link, or anything else but a folder.
var errLink = errors.New("it is no folder, and a link is not followed")

// entries reads a folder that is none by a link.
func (m *Maildir) entries(dir string) ([]fs.DirEntry, error) {
	if info, err := m.root.Lstat(dir); err != nil || !info.IsDir() {
		return nil, cmp.Or(err, errLink)
	}
	f, err := m.root.Open(dir)
	if err != nil {
		return nil, err
	}
	all, err := f.ReadDir(-1)
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, errors.Join(err, f.Close())
}

// name notes a folder under its name. Where two have one, the second is called otherwise.
func (m *Maildir) name(name, dir string) {
	if strings.EqualFold(name, mailbox.Inbox) {
		name = mailbox.Inbox
	}
	m.dirs[moving.Free(name, func(name string) bool { _, taken := m.dirs[name]; return taken })] = dir
}

// find looks for folders, in both layouts.
func (m *Maildir) find() error {
	if m.isMaildir(".") {
		m.dirs[mailbox.Inbox] = "."
	}
	entries, err := m.entries(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, ok := mailbox.FolderOf(e.Name()); ok && e.IsDir() && m.isMaildir(e.Name()) {
			m.name(name, e.Name())
		}
	}
	return m.within(".", nil, 0)
}

// maxDepth bounds how deep folders within folders are looked for.
const maxDepth = 20

func (m *Maildir) within(dir string, above []string, depth int) error {
	entries, err := m.entries(dir)
	if err != nil || depth == maxDepth {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || slices.Contains([]string{"cur", "new", "tmp", "sallyport"}, name) {
			continue
		}
		path, levels := filepath.Join(dir, name), append(slices.Clone(above), name)
		if m.isMaildir(path) {
			m.name(strings.Join(levels, mailbox.Separator), path)
		}
		if err := m.within(path, levels, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Folders implements moving.Place.
func (m *Maildir) Folders(ctx context.Context) (all []moving.Folder, err error) {
	subscribed, known := m.subscriptions()
	for name, dir := range m.dirs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f := moving.Folder{
			Name: name, Levels: strings.Split(name, mailbox.Separator),
			Subscribed: !known || subscribed[name] || name == mailbox.Inbox,
		}
		for _, sub := range []string{"cur", "new"} {
			names, err := m.entries(filepath.Join(dir, sub))
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errLink) {
				return nil, err
			}
			f.Messages += len(names)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b moving.Folder) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// subscriptions reads what Dovecot and Courier note; known is false where neither did.
func (m *Maildir) subscriptions() (names map[string]bool, known bool) {
	names = map[string]bool{}
	for _, file := range []string{"subscriptions", "courierimapsubscribed"} {
		text, err := m.readSmall(file)
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(text) {
			line = strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "INBOX.")
			if name, ok := mailbox.FolderOf("." + strings.ReplaceAll(line, "\t", ".")); ok {
				names[name] = true
			}
			names[strings.ReplaceAll(line, "\t", mailbox.Separator)] = true
		}
	}
	return names, known
}

func (m *Maildir) readSmall(path string) (string, error) {
	b, err := m.readFile(path, maxSmallFile)
	return string(b.octets), err
}

// file is a message and where it lies.
type file struct {
	sub, name string
	origin    mailbox.Origin
	flags     mailbox.Flags
}

// Read implements moving.Place.
func (m *Maildir) Read(ctx context.Context, folder string, r moving.Receiver) error {
	dir, ok := m.dirs[folder]
	if !ok {
		return mailbox.ErrNoSuchMailbox
	}
	keywords, err := m.readSmall(filepath.Join(dir, "dovecot-keywords"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Remark("dovecot-keywords", "cannot be read, and keywords are lost: "+err.Error())
	}
	all, err := m.list(dir, folder, mailbox.NewNames(keywords), r)
	if err != nil {
		return err
	}
	origins := make([]mailbox.Origin, len(all))
	for i, f := range all {
		origins[i] = f.origin
	}
	r.Listed(origins)
	for _, f := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !r.Wanted(f.origin) {
			continue
		}
		if err := m.message(dir, f, r); err != nil {
			return err
		}
	}
	return nil
}

// list reads the names in new and cur, in the order in which messages came.
func (m *Maildir) list(dir, folder string, names *mailbox.Names, r moving.Receiver) (all []file, err error) {
	known := map[mailbox.Origin]bool{}
	for _, sub := range []string{"new", "cur"} {
		entries, err := m.entries(filepath.Join(dir, sub))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, errLink):
			r.Remark(sub, err.Error())
			continue
		case err != nil:
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			identity, flags := names.Read(e.Name())
			f := file{sub, e.Name(), mailbox.OriginOf(m.Identity(), folder, identity), flags}
			if known[f.origin] { // two that programs would take for one
				f.origin = mailbox.OriginOf(m.Identity(), folder, e.Name())
			}
			known[f.origin] = true
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b file) int {
		x, y := seconds(a.name), seconds(b.name)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return all, nil
}

func seconds(name string) int64 {
	digits, _, _ := strings.Cut(name, ".")
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

func (m *Maildir) message(dir string, f file, r moving.Receiver) error {
	path := filepath.Join(f.sub, f.name)
	got, err := m.readFile(filepath.Join(dir, path), mailbox.MaxArrival)
	if errors.Is(err, fs.ErrNotExist) { // renamed meanwhile, as readers do
		other, found := m.again(dir, f.name)
		if !found {
			return r.Unreadable(path, errors.New("it vanished while the folder was read"))
		}
		got, err = m.readFile(filepath.Join(dir, other), mailbox.MaxArrival)
	}
	if err != nil {
		return r.Unreadable(path, plain(err))
	}
	if n, ok := said(f.name); ok && n != int64(len(got.octets)) {
		r.Remark(path, fmt.Sprintf("has %d octets, and had %d when its program wrote it; it comes as it is", len(got.octets), n))
	}
	return r.Message(moving.Message{Origin: f.origin, Name: path, Flags: f.flags, Date: got.info.ModTime(), Octets: got.octets})
}

// plain leaves out the path, which is told anyway.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// again finds a file under the name that it has now.
func (m *Maildir) again(dir, name string) (string, bool) {
	base, _, _ := strings.Cut(name, ":")
	for _, sub := range []string{"cur", "new"} {
		entries, _ := m.entries(filepath.Join(dir, sub))
		for _, e := range entries {
			if b, _, _ := strings.Cut(e.Name(), ":"); b == base {
				return filepath.Join(sub, e.Name()), true
			}
		}
	}
	return "", false
}

// said is how many octets a file has by its name, as Dovecot writes it (,S=1234).
func said(name string) (int64, bool) {
	base, _, _ := strings.Cut(name, ":")
	for _, field := range strings.Split(base, ",")[1:] {
		if digits, ok := strings.CutPrefix(field, "S="); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

var errNoFile = errors.New("it is no file, and no link is followed")

type content struct {
	octets []byte
	info   fs.FileInfo
}

// readFile reads one file. A Maildir is its owner's, who may be anybody and is not who runs this:
// neither a link nor a pipe is followed, and what somebody puts in the place of either meanwhile leads
// nowhere out of the Maildir.
func (m *Maildir) readFile(path string, most int64) (c content, err error) {
	if info, err := m.root.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return c, cmp.Or(err, errNoFile)
	}
	f, err := m.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return c, err
	}
	defer f.Close()
	if c.info, err = f.Stat(); err != nil {
		return c, err
	}
	switch {
	case !c.info.Mode().IsRegular():
		return c, errNoFile
	case c.info.Size() > most:
		return c, fmt.Errorf("it has %d octets, and at most %d are read", c.info.Size(), most)
	}
	c.octets = make([]byte, 0, c.info.Size()+1)
	for len(c.octets) < cap(c.octets) {
		n, err := f.Read(c.octets[len(c.octets):cap(c.octets)])
		c.octets = c.octets[:len(c.octets)+n]
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
	return c, errors.New("it grows while it is read")
}
