// Package stored reads a mailbox of ours out of a backup, to import from it. The mailbox is taken
// out of the backup into a folder of its own and opened there as a server opens it, so that UIDs,
// flags, keywords and dates are those that it had.
package stored

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/operate/backup"
	"sallyport/internal/store/pebble"
)

// Options say which mailbox is taken from where.
type Options struct {
	From    string // a backup, or a folder that is a copy of a mailbox
	Account mail.Address
	Tmp     string // an empty folder, which stays and is its caller's
	// Folder says whether a folder is wanted.
	Folder func(name string) bool
	// Match says whether a message is wanted.
	Match func(m Candidate) (bool, error)
	// Into is where messages come, "" for a folder called by the day of the backup, or today for a
	// copy.
	Into   string
	Now    time.Time
	Tell   backup.Progress
	Logger *slog.Logger
}

// Candidate is a message that may be wanted.
type Candidate struct {
	Folder   string
	Validity uint32
	UID      mailbox.UID
	Date     time.Time
	// Read returns its octets.
	Read func() ([]byte, error)
}

// Place is a mailbox as it was.
type Place struct {
	o        Options
	info     backup.Info
	doubtful map[string]bool // files of messages, by what identifies them
	damage   error
	root     *mailbox.Root
	user     *mailbox.User
}

// Open takes the mailbox out. A damaged backup gives what it has; Damage tells.
func Open(ctx context.Context, o Options) (*Place, error) {
	p := &Place{o: o, doubtful: map[string]bool{}}
	dir, ok := maildir.Folder(o.Tmp, o.Account)
	if !ok {
		return nil, mailbox.ErrNoAccount
	}
	within, err := filepath.Rel(o.Tmp, dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Tmp)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if is, err := os.Stat(o.From); err == nil && is.IsDir() {
		err = p.copy(ctx, root, within)
		if err != nil {
			return nil, err
		}
	} else if err := p.pick(ctx, root, filepath.ToSlash(within)); err != nil {
		return nil, err
	}
	if _, err := root.Stat(within); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("%s holds no mailbox of %s", o.From, o.Account), p.damage)
	}
	return p, p.open(ctx, dir)
}

func (p *Place) open(ctx context.Context, dir string) (err error) {
	host, err := mail.ParseDomain("restore.invalid")
	if err != nil {
		return err
	}
	p.root, err = mailbox.New(mailbox.Options{
		FS: pebble.HostDisk(), Folder: func(mail.Address) (string, bool) { return dir, true }, Hostname: host,
		Limits: mailbox.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: p.o.Logger,
	})
	if err != nil {
		return err
	}
	// What a folder without messages lacks is made.
	if err := os.MkdirAll(filepath.Join(dir, "cur"), 0o700); err != nil {
		return err
	}
	p.user, err = p.root.Existing(ctx, p.o.Account)
	return err
}

// wanted reports whether a file of the mailbox is: all but those of folders that are not.
func (p *Place) wanted(rel string) bool {
	first, _, _ := strings.Cut(rel, "/")
	if name, ok := mailbox.FolderOf(first); ok {
		return p.o.Folder(name)
	}
	if first == "cur" || first == "new" {
		return p.o.Folder(mailbox.Inbox)
	}
	return first != "tmp"
}

// pick takes the mailbox out of a backup.
func (p *Place) pick(ctx context.Context, root *os.Root, within string) error {
	below := func(info backup.Info, name string) (string, bool) {
		rel, ok := strings.CutPrefix(name, info.MailboxRoot()+"/"+within)
		return strings.TrimPrefix(rel, "/"), ok && (rel == "" || rel[0] == '/')
	}
	info, doubtful, err := backup.Pick(ctx, p.o.From, backup.Picking{
		Tell: p.o.Tell,
		Want: func(info backup.Info, name string) bool {
			p.info = info
			rel, ok := below(info, name)
			return ok && (rel == "" || p.wanted(rel))
		},
		Take: func(h *tar.Header, content io.Reader) error {
			rel, _ := below(p.info, strings.TrimSuffix(h.Name, "/"))
			return write(root, path.Join(within, rel), h.ModTime, content)
		},
	})
	p.info = info
	for _, name := range doubtful {
		p.doubtful[identity(path.Base(name))] = true
	}
	if errors.Is(err, backup.ErrDamaged) && info.Format != 0 {
		p.damage, err = err, nil
	}
	return err
}

func identity(file string) string {
	base, _ := mailbox.NewNames("").Read(file)
	return base
}

func write(root *os.Root, name string, at time.Time, content io.Reader) error {
	if content == nil {
		return root.MkdirAll(name, 0o700)
	}
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) { // a file of the index that was sent twice
		f, err = root.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return root.Chtimes(name, at, at)
}

// copy takes a folder that is a copy of a mailbox.
func (p *Place) copy(ctx context.Context, root *os.Root, within string) error {
	if _, err := os.Stat(filepath.Join(p.o.From, "cur")); err != nil {
		return fmt.Errorf("%s is no mailbox: %w", p.o.From, err)
	}
	return filepath.WalkDir(p.o.From, func(at string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.o.From, at)
		switch {
		case err != nil:
			return err
		case rel != "." && !p.wanted(filepath.ToSlash(rel)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return root.MkdirAll(filepath.Join(within, rel), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		return write(root, filepath.Join(within, rel), info.ModTime(), f)
	})
}

// Damage is why the backup gave only a part; nil if it did not.
func (p *Place) Damage() error { return p.damage }

// Into is the folder that messages come into.
func (p *Place) Into() string {
	switch {
	case p.o.Into != "":
		return p.o.Into
	case p.info.Began.IsZero():
		return "Restored " + p.o.Now.Format(time.DateOnly)
	}
	return "Restored " + p.info.Began.Local().Format(time.DateOnly)
}

// Identity implements moving.Place.
func (p *Place) Identity() string {
	if p.info.Began.IsZero() {
		return "copy " + p.o.From
	}
	return "backup of " + p.info.Began.UTC().Format(time.RFC3339)
}

// Close implements moving.Place.
func (p *Place) Close() error {
	p.user.Close()
	p.root.Close()
	return nil
}

// Folders implements moving.Place.
func (p *Place) Folders(ctx context.Context) (all []moving.Folder, err error) {
	folders, err := p.user.Folders(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if f.Missing || !p.o.Folder(f.Name) {
			continue
		}
		s, err := p.user.Status(ctx, f.Name, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		all = append(all, moving.Folder{
			Name: f.Name, Levels: strings.Split(f.Name, mailbox.Separator), Messages: s.Messages,
			Subscribed: true,
		})
	}
	return all, nil
}

// Read implements moving.Place.
func (p *Place) Read(ctx context.Context, folder string, r moving.Receiver) error {
	box, err := p.user.Select(ctx, folder, true)
	if err != nil {
		return err
	}
	defer box.Close()
	s := box.State()
	for _, m := range s.Messages {
		if err := ctx.Err(); err != nil {
			return err
		}
		origin := mailbox.OriginOf("backup", p.Into(), folder, strconv.FormatUint(uint64(s.UIDValidity), 10),
			strconv.FormatUint(uint64(m.UID), 10))
		name := "UID " + strconv.FormatUint(uint64(m.UID), 10)
		c := &candidate{ctx: ctx, box: box, uid: m.UID}
		came, err := box.Date(ctx, m.UID)
		ok := true
		if err == nil {
			ok, err = p.o.Match(Candidate{Folder: folder, Validity: s.UIDValidity, UID: m.UID, Date: came, Read: c.read})
		}
		if err == nil && !ok {
			continue
		}
		if !r.Wanted(origin) {
			continue
		}
		var octets []byte
		if err == nil {
			octets, err = c.read()
		}
		if err != nil {
			err = r.Unreadable(name, err)
		} else {
			p.remark(c, name, r)
			err = r.Message(moving.Message{Origin: origin, Name: name, Flags: m.Flags, Date: came, Octets: octets})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remark says what is wrong with a message that comes all the same.
func (p *Place) remark(c *candidate, name string, r moving.Receiver) {
	switch is := int64(len(c.octets)); {
	case c.was != is:
		r.Remark(name, fmt.Sprintf("has %d octets with CRLF, and had %d; it comes as it is", is, c.was))
	case c.altered:
		r.Remark(name, "is not what it was: its octets have changed; it comes as it is")
	}
	if file := c.box.FileOf(c.uid); p.doubtful[identity(file)] {
		r.Remark(name, "is not what was backed up, or that cannot be told; it comes as it is")
	}
}

// candidate reads a message once.
type candidate struct {
	ctx    context.Context
	box    *mailbox.Mailbox
	uid    mailbox.UID
	octets []byte
	was    int64
	// altered: the octets are not those of the message that was once there.
	altered bool
}

func (c *candidate) read() (b []byte, err error) {
	if c.octets != nil {
		return c.octets, nil
	}
	if c.was, err = c.box.Size(c.ctx, c.uid); err != nil {
		return nil, err
	}
	content, err := c.box.Content(c.ctx, c.uid)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if content.Size() > mailbox.MaxArrival {
		return nil, mailbox.ErrTooBig
	}
	c.octets, c.altered = make([]byte, content.Size()), content.Altered()
	if _, err := content.ReadAt(c.octets, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return c.octets, nil
}
