package mailbox

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"sallyport/internal/mail"
)

// User is the mailbox of an account, with its folders.
type User struct {
	root    *Root
	account mail.Address
	dir     string
	refs    int // under the root's lock

	moving sync.Mutex // held by who moves messages in from elsewhere
	turns  turns      // of readers

	mu       sync.Mutex
	ended    error
	settings *settings
	valid    validities
	open     map[string]*folder // by the name on the disk; "" is the INBOX
}

// begin reads what is said of the mailbox. With make it makes one that is missing, and the
// folders that people expect, the first time.
func (u *User) begin(make bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.settings == nil {
		if err := u.settle(make); err != nil {
			return err
		}
		s, err := u.root.readSettings(u.dir)
		if err != nil {
			return err
		}
		u.settings = s
	}
	if u.settings.Begun || !make {
		return nil
	}
	return u.usual()
}

// settle sees to it that the mailbox is there, and that nothing of removed folders is.
func (u *User) settle(make bool) error {
	if _, err := u.root.fs.Stat(filepath.Join(u.dir, "cur")); missing(err) && !make {
		return ErrNoAccount
	}
	if err := u.root.makeFolder(u.dir, false); err != nil {
		return err
	}
	names, err := u.root.fs.List(u.dir)
	for _, n := range names {
		if strings.HasPrefix(n, removedPrefix) {
			u.root.removeAll(filepath.Join(u.dir, n))
		}
	}
	return err
}

// usual makes the folders that every mail program looks for, and subscribes to them. Whoever
// removes one does not get it again.
func (u *User) usual() error {
	for _, name := range []string{"Drafts", "Sent", "Trash", "Archive", "Junk"} {
		if err := u.root.makeFolder(filepath.Join(u.dir, "."+name), true); err != nil {
			return err
		}
		u.settings.subscribe(name, true)
	}
	u.settings.subscribe(Inbox, true)
	u.settings.Begun = true
	return u.save()
}

// makeFolder makes the folders of a Maildir and returns when they are durable.
func (r *Root) makeFolder(dir string, child bool) error {
	above := filepath.Dir(dir)
	whole := true
	for _, sub := range []string{"cur", "new", "tmp"} {
		if _, err := r.fs.Stat(filepath.Join(dir, sub)); missing(err) {
			whole = false
		} else if err != nil {
			return err
		}
	}
	if whole {
		return nil
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := r.fs.MkdirAll(filepath.Join(dir, sub), mode); err != nil {
			return err
		}
	}
	if child {
		// By this empty file Maildir++ tells a folder from a mailbox.
		f, err := r.fs.Create(filepath.Join(dir, "maildirfolder"))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, above, filepath.Dir(above)} {
		if err := r.dirs.Do(d); err != nil {
			return err
		}
	}
	return nil
}

// Place returns where the mailbox lies on the disk.
func (u *User) Place() string { return u.dir }

// Close ends one use of the mailbox.
func (u *User) Close() {
	r := u.root
	r.mu.Lock()
	defer r.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refs--
	u.leave()
}

// acquire opens a folder by its name on the disk, or shares it. u.mu is held.
func (u *User) acquire(name string) (*folder, error) {
	if u.ended != nil {
		return nil, u.ended
	}
	if f := u.open[name]; f != nil && (f.refs > 0 || f.journal.unchanged()) {
		if f.refs++; f.refs == 1 {
			u.root.resting.remove(f)
		}
		return f, nil
	} else if f != nil {
		u.end(name, f, ErrEnded)
	}
	dir := filepath.Join(u.dir, name)
	for _, sub := range []string{"cur", "new", "tmp"} {
		info, err := u.root.fs.Stat(filepath.Join(dir, sub))
		if missing(err) && sub != "cur" {
			err = u.root.fs.MkdirAll(filepath.Join(dir, sub), mode)
		} else if missing(err) || err == nil && !info.IsDir() {
			return nil, ErrNoSuchMailbox
		}
		if err != nil {
			return nil, err
		}
	}
	f := &folder{root: u.root, user: u, dir: dir, refs: 1, changed: make(chan struct{})}
	f.journal = newJournal(u.root.fs, filepath.Join(dir, indexFolder), u.root.bounds().Reserve)
	f.cache = &cache{fs: u.root.fs, dir: f.journal.dir}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, f.journal.close())
	}
	if err := u.single(name, f); err != nil {
		return nil, errors.Join(err, f.journal.close())
	}
	u.open[name] = f
	return f, nil
}

// end closes a folder. u.mu is held.
func (u *User) end(name string, f *folder, why error) {
	delete(u.open, name)
	u.root.resting.remove(f)
	f.cache.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		_ = f.journal.close() // nothing of it counts any more
		return
	}
	f.ended = why
	if err := errors.Join(f.note(nil), f.journal.end(f.book)); err != nil {
		u.root.log.Warn("the index of a mailbox was not closed in order", "file", f.dir, "err", err)
	}
	f.wake()
}

// with calls do with a folder that is open meanwhile.
func (u *User) with(ctx context.Context, name string, do func(*folder) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	dir, err := u.find(name)
	if err != nil {
		u.mu.Unlock()
		return told(err)
	}
	f, err := u.acquire(dir)
	u.mu.Unlock()
	if err != nil {
		return told(err)
	}
	defer u.release(f)
	return do(f)
}
