package mailbox

import (
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// resting are the folders that nobody has open any more, closed in order, whose index stays in memory
// for who comes back: most do within minutes, and to read the index of a long folder takes longer than
// what is asked of it. The one that was left first stands first.
type resting struct {
	mu       sync.Mutex
	folders  []rested
	messages int // of all
}

type rested struct {
	folder   *folder
	messages int
	since    time.Time
}

// add keeps a folder, and returns those for which there is no room any more.
func (r *resting) add(f *folder, messages, most int, now time.Time) (over []*folder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folders = append(r.folders, rested{f, messages, now})
	r.messages += messages
	for len(r.folders) > restingFolders || r.messages > most {
		over = append(over, r.folders[0].folder)
		r.messages -= r.folders[0].messages
		r.folders = slices.Delete(r.folders, 0, 1)
	}
	return over
}

// restingFolders bounds how many folders rest, however few messages they have.
const restingFolders = 1000

// remove takes out a folder that somebody has open again, or that is closed.
func (r *resting) remove(f *folder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.folders, func(o rested) bool { return o.folder == f }); i >= 0 {
		r.messages -= r.folders[i].messages
		r.folders = slices.Delete(r.folders, i, i+1)
	}
}

// before returns those that were left before a moment. They stay until they are removed.
func (r *resting) before(at time.Time) (old []*folder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.folders {
		if o.since.Before(at) {
			old = append(old, o.folder)
		}
	}
	return old
}

// release ends one use of a folder; the last one closes its index in order.
func (u *User) release(f *folder) {
	u.mu.Lock()
	over := u.lay(f)
	u.mu.Unlock()
	for _, o := range over {
		o.user.forget(o)
	}
}

// lay lets a folder rest that nobody has open any more, and returns those that give way to it. u.mu
// is held.
func (u *User) lay(f *folder) (over []*folder) {
	if f.refs--; f.refs > 0 {
		return nil
	}
	f.mu.Lock()
	messages := len(f.book.entries)
	rests := u.ended == nil && f.ended == nil && messages <= u.root.bounds().Resting && f.close()
	f.mu.Unlock()
	if !rests {
		u.drop(f, ErrEnded)
		return nil
	}
	f.cache.sleep()
	return u.root.resting.add(f, messages, u.root.bounds().Resting, u.root.now())
}

// close closes the index in order, and reports whether it could. The lock is held.
func (f *folder) close() bool {
	if f.note(nil) != nil || f.journal.broken {
		return false
	}
	return f.journal.end(f.book) == nil
}

// drop closes a folder, if it is still one of the mailbox. u.mu is held.
func (u *User) drop(f *folder, why error) {
	for name, other := range u.open {
		if other == f {
			u.end(name, f, why)
		}
	}
}

// forget closes a folder that rests, unless somebody has opened it meanwhile.
func (u *User) forget(f *folder) {
	r := u.root
	r.mu.Lock()
	defer r.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.refs == 0 {
		u.drop(f, ErrEnded)
	}
	u.leave()
}

// leave takes a mailbox out of those that are known, when nobody has it open and nothing of it
// rests. The locks of both are held.
func (u *User) leave() {
	if u.refs > 0 {
		return
	}
	u.settings, u.valid = nil, validities{} // what is there may be another when somebody comes again
	if len(u.open) == 0 && u.root.users[u.dir] == u {
		delete(u.root.users, u.dir)
	}
}

// thin lets go what is not needed to open a folder again, unless somebody has done so meanwhile.
func (u *User) thin(f *folder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.refs == 0 {
		f.mu.Lock()
		f.messages, f.modseq = nil, 0
		f.mu.Unlock()
	}
}

// unchanged reports whether the index of a folder that rests is as it was left: others may have put
// another in its place, or removed it.
func (j *journal) unchanged() bool {
	for name, octets := range map[string]int64{journalFile: j.octets, indexFile: j.basis} {
		info, err := j.fs.Stat(filepath.Join(j.dir, name))
		if octets == 0 && missing(err) {
			continue
		}
		if err != nil || info.Size() != octets {
			return false
		}
	}
	return true
}
