package mailbox

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sallyport/internal/mail"
)

// Usage is what a mailbox holds: the messages of all its folders, and how long their files are.
type Usage struct {
	Messages int
	Octets   int64
}

// Quota says how much a mailbox may hold. It is safe for concurrent use.
type Quota interface {
	// Take takes room for so many messages, of so many octets together, until end is called:
	// with true they are there now. The error is an ErrOverQuota, or ErrUnavailable.
	Take(ctx context.Context, account mail.Address, octets int64, messages int) (end func(kept bool), err error)
	// Left is told that messages are gone from a mailbox.
	Left(account mail.Address)
}

// Usage returns what the mailbox of an account holds; nothing, if there is none. Its files are
// looked at where the times of a folder say that somebody changed it, and their lengths are
// kept in the index, so that one that is made anew comes to the same.
func (r *Root) Usage(ctx context.Context, account mail.Address) (Usage, error) {
	u, err := r.Existing(ctx, account)
	if errors.Is(err, ErrNoAccount) {
		return Usage{}, nil
	}
	if err != nil {
		return Usage{}, err
	}
	defer u.Close()
	return u.Usage(ctx)
}

// Usage returns what the mailbox holds.
func (u *User) Usage(ctx context.Context) (all Usage, err error) {
	u.mu.Lock()
	names, err := u.names(ctx)
	u.mu.Unlock()
	if err != nil {
		return all, told(err)
	}
	for _, dir := range names {
		is, err := u.weigh(ctx, dir)
		if errors.Is(err, ErrNoSuchMailbox) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return all, told(err)
		}
		all.Messages, all.Octets = all.Messages+is.Messages, all.Octets+is.Octets
	}
	return all, nil
}

// weight is what a folder held when it was looked at.
type weight struct {
	Usage
	times times
}

// weights are those of folders, by their place on the disk, so that one that nobody changed is
// not opened to be asked again.
type weights struct {
	mu sync.Mutex
	of map[string]weight
}

// mostWeights is how many folders are remembered so.
const mostWeights = 100_000

func (w *weights) note(dir string, is weight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.of {
		if len(w.of) < mostWeights {
			break
		}
		delete(w.of, other)
	}
	w.of[dir] = is
}

func (w *weights) get(dir string) (weight, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	is, ok := w.of[dir]
	return is, ok
}

// weigh returns what a folder holds, by its name on the disk.
func (u *User) weigh(ctx context.Context, name string) (Usage, error) {
	if err := ctx.Err(); err != nil {
		return Usage{}, err
	}
	dir := filepath.Join(u.dir, name)
	if is, ok := u.root.weights.get(dir); ok && u.root.unchanged(dir, is.times) {
		return is.Usage, nil
	}
	u.mu.Lock()
	f, err := u.acquire(name)
	u.mu.Unlock()
	if err != nil {
		return Usage{}, err
	}
	defer u.release(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.look(false); err != nil {
		return Usage{}, err
	}
	if err := f.measure(f.book.entries); err != nil {
		return Usage{}, err
	}
	is := Usage{len(f.book.entries), f.book.octets}
	u.root.weights.note(dir, weight{is, f.times})
	return is, nil
}

// unchanged reports whether the times of a folder say that nobody changed it since.
func (r *Root) unchanged(dir string, was times) bool {
	now := r.now()
	if !r.timely || now.Sub(was.full) >= r.bounds().Full || !was.again.IsZero() && !now.Before(was.again) {
		return false
	}
	is, err := (&folder{root: r, dir: dir}).stat()
	return err == nil && is.new.Equal(was.new) && is.cur.Equal(was.cur)
}

// weight returns how many of the messages there are, and how long their files are together.
func (f *folder) weight(uids []UID) (messages int, octets int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var meant []*entry
	for _, uid := range uids {
		if e := f.book.entry(uid); e != nil {
			meant = append(meant, e)
		}
	}
	if err := f.measure(meant); err != nil {
		return 0, 0, err
	}
	for _, e := range meant {
		octets += max(f.book.entry(e.uid).octets, 0)
	}
	return len(meant), octets, nil
}

// measure looks how long the files of messages are of which that is not known. The folder's lock is
// held.
func (f *folder) measure(entries []*entry) error {
	if f.book.unknown == 0 {
		return nil
	}
	for _, e := range slices.Clone(entries) {
		if e.octets >= 0 {
			continue
		}
		if _, err := f.ask(e); err != nil && !missing(err) { // else the next look finds it, or that it is gone
			return err
		}
	}
	return nil
}

// ask asks a file what is to be known of it without reading it, unless somebody did so before. It need
// not be durable, since the file tells it again. The folder's lock is held.
func (f *folder) ask(e *entry) (*entry, error) {
	if e.octets >= 0 && !e.date.IsZero() {
		return e, nil
	}
	info, err := f.root.fs.Lstat(f.path(e.place()))
	if err != nil {
		return e, err
	}
	c := *e
	c.octets = info.Size()
	if c.date.IsZero() {
		c.date = info.ModTime()
	}
	f.book.replace(&c)
	if f.lazy = c.append(f.lazy); len(f.lazy) >= lazyOctets {
		return &c, f.note(nil)
	}
	return &c, nil
}

// Date returns when a message came: the internal date of RFC 9051 §2.3.3. It is known of most; of
// others the file is asked.
func (m *Mailbox) Date(ctx context.Context, uid UID) (time.Time, error) {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	for again := false; ; again = true {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		e := f.book.entry(uid)
		switch {
		case e == nil:
			return time.Time{}, ErrGone
		case !e.date.IsZero():
			return e.date, nil
		case f.ended != nil:
			return time.Time{}, f.ended
		}
		e, err := f.ask(e)
		if !missing(err) {
			return e.date, told(err)
		}
		if again {
			return time.Time{}, ErrGone
		}
		if _, err := f.look(true); err != nil {
			return time.Time{}, told(err)
		}
	}
}

// left tells the quota that messages are gone.
func (f *folder) left() { f.user.left() }

func (u *User) left() {
	if u.root.quota != nil {
		u.root.quota.Left(u.account)
	}
}
