package mailbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/kit/fsys"
	"sallyport/internal/mail"
)

// Options is what a Root needs.
type Options struct {
	FS fsys.FS
	// Folder tells where the mailbox of an account lies; ok is false for an address that can
	// have none.
	Folder func(account mail.Address) (dir string, ok bool)
	// Hostname is part of every file name.
	Hostname mail.Domain
	Limits   Limits
	// Space says how much of the disk a message may take; nil: what there is.
	Space Space
	// Quota says how much a mailbox may hold; nil: what there is room for.
	Quota Quota
	// Timely: the disk says of a folder when anything in it changed. Otherwise folders are read
	// in full each time.
	Timely bool
	Now    func() time.Time
	Rand   io.Reader    // tells the runs of a server apart in file names
	Logger *slog.Logger // damage and faults of the disk, with their paths; nothing of messages
	// Damage is told of an index that is damaged; nil: the log alone is.
	Damage damage.Note
}

// Space is the room that is left for mail. Take takes octets until give is called, or says that
// there are not so many.
type Space interface {
	Take(octets int64) (give func(), ok bool)
}

// Root opens the mailboxes of all accounts. It is safe for concurrent use, and so are Users and
// Mailboxes.
type Root struct {
	fs       fsys.FS
	dirs     *fsys.Group // syncs of folders
	folder   func(mail.Address) (string, bool)
	hostname string
	limits   atomic.Pointer[Limits]
	space    Space
	quota    Quota
	timely   bool
	now      func() time.Time
	log      *slog.Logger
	damage   damage.Note
	run      string
	serial   atomic.Uint64
	pieces   pieces
	resting  resting

	mu    sync.Mutex
	users map[string]*User // by folder

	weights weights
}

// hostOctets is how much of the host's name goes into a file name.
const hostOctets = 128

// New returns the mailboxes below what Options.Folder says. It opens nothing yet.
func New(o Options) (*Root, error) {
	if o.FS == nil || o.Folder == nil || o.Hostname.IsZero() || o.Now == nil || o.Rand == nil || o.Logger == nil {
		return nil, errors.New("mailbox: file system, folder, host name, clock, random source and logger must be given")
	}
	l := o.Limits
	if err := l.validate(); err != nil {
		return nil, err
	}
	var run [6]byte
	if _, err := io.ReadFull(o.Rand, run[:]); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	host := o.Hostname.ASCII()
	r := &Root{
		fs: o.FS, dirs: fsys.NewGroup(o.FS.SyncDir), folder: o.Folder, hostname: host[:min(len(host), hostOctets)],
		space: o.Space, quota: o.Quota, timely: o.Timely, now: o.Now, log: o.Logger, damage: o.Damage, run: hex.EncodeToString(run[:]),
		users: map[string]*User{}, weights: weights{of: map[string]weight{}},
	}
	r.limits.Store(&l)
	return r, nil
}

// Adjust replaces the limits; how often folders are looked at stays as it was. What is there
// beyond a new limit stays.
func (r *Root) Adjust(l Limits) error {
	if err := l.validate(); err != nil {
		return err
	}
	r.limits.Store(&l)
	return nil
}

// Bounds returns the limits in force.
func (r *Root) Bounds() Limits { return r.bounds() }

func (r *Root) bounds() Limits { return *r.limits.Load() }

// newName returns a base name that no file has: seconds, microseconds, the run of the server and
// a serial number, the host.
func (r *Root) newName() string {
	now := r.now()
	return fmt.Sprintf("%d.M%06dR%sQ%d.%s", now.Unix(), now.Nanosecond()/1000, r.run, r.serial.Add(1), r.hostname)
}

// User opens the mailbox of an account, and makes it when it is missing. All who have it open
// share it; each must call Close.
func (r *Root) User(ctx context.Context, account mail.Address) (*User, error) {
	return r.user(ctx, account, true)
}

// Existing opens the mailbox of an account as it is: ErrNoAccount if there is none yet.
func (r *Root) Existing(ctx context.Context, account mail.Address) (*User, error) {
	return r.user(ctx, account, false)
}

func (r *Root) user(ctx context.Context, account mail.Address, make bool) (*User, error) {
	dir, ok := r.folder(account)
	if !ok {
		return nil, ErrNoAccount
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	u := r.users[dir]
	if u == nil {
		u = &User{root: r, account: account, dir: dir, open: map[string]*folder{}}
		r.users[dir] = u
	}
	u.refs++
	r.mu.Unlock()
	if err := u.begin(make); err != nil {
		u.Close()
		return nil, told(err)
	}
	return u, nil
}

// Arrived is told that a message came into a folder, by its place on the disk. Whoever waits
// for it looks at once.
func (r *Root) Arrived(dir string) {
	if f := r.opened(dir); f != nil {
		f.mu.Lock()
		f.wake()
		f.mu.Unlock()
	}
}

// opened returns the folder at a place on the disk, if anybody has it open.
func (r *Root) opened(dir string) *folder {
	r.mu.Lock()
	u, name := r.users[dir], ""
	if u == nil {
		u, name = r.users[filepath.Dir(dir)], filepath.Base(dir)
	}
	r.mu.Unlock()
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open[name]
}

// Leave ends the use of the mailbox at a place on the disk, which is about to be moved. Whoever
// has it open gets ErrEnded from then on.
func (r *Root) Leave(dir string) {
	r.mu.Lock()
	u := r.users[dir]
	delete(r.users, dir)
	r.mu.Unlock()
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = ErrEnded
	for name, f := range u.open {
		u.end(name, f, ErrEnded)
	}
}

// Watch looks at the folders that somebody has open for what other programs did, until ctx
// ends.
func (r *Root) Watch(ctx context.Context) {
	tick := time.NewTicker(r.bounds().Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, f := range r.all() {
			f.mu.Lock()
			if _, err := f.look(false); err != nil && f.ended == nil {
				r.log.Warn("a folder could not be looked at", "file", f.dir, "err", err)
			}
			f.mu.Unlock()
			f.cache.rest()
		}
		now := r.now()
		for _, f := range r.resting.before(now.Add(-r.bounds().Look)) {
			f.user.thin(f)
		}
		for _, f := range r.resting.before(now.Add(-r.bounds().Rest)) {
			f.user.forget(f)
		}
	}
}

// all returns the folders that somebody has open.
func (r *Root) all() (folders []*folder) {
	r.mu.Lock()
	users := make([]*User, 0, len(r.users))
	for _, u := range r.users {
		users = append(users, u)
	}
	r.mu.Unlock()
	for _, u := range users {
		u.mu.Lock()
		for _, f := range u.open {
			if f.refs > 0 {
				folders = append(folders, f)
			}
		}
		u.mu.Unlock()
	}
	return folders
}

// Close ends the use of all mailboxes in order.
func (r *Root) Close() {
	r.mu.Lock()
	dirs := make([]string, 0, len(r.users))
	for dir := range r.users {
		dirs = append(dirs, dir)
	}
	r.mu.Unlock()
	for _, dir := range dirs {
		r.Leave(dir)
	}
}
