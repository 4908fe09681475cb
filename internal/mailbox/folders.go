package mailbox

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
)

// Folder is one folder as a list shows it.
type Folder struct {
	Name string
	// Missing: it is not there, but folders below it are. RFC 9051 §7.3.1 \NonExistent.
	Missing    bool
	Children   bool
	Subscribed bool
	Use        Use
}

// Folders returns the folders of the account in the order of their names, the INBOX first, with
// those that are not there but have others below them.
func (u *User) Folders(ctx context.Context) ([]Folder, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	names, err := u.names(ctx)
	if err != nil {
		return nil, told(err)
	}
	all := map[string]*Folder{}
	for name := range names {
		all[name] = &Folder{Name: name, Subscribed: u.settings.subscribed(name), Use: u.settings.use(name)}
	}
	for name := range names {
		for {
			i := strings.LastIndex(name, Separator)
			if i < 0 {
				break
			}
			name = name[:i]
			if all[name] == nil {
				all[name] = &Folder{Name: name, Missing: true, Subscribed: u.settings.subscribed(name)}
			}
			all[name].Children = true
		}
	}
	list := make([]Folder, 0, len(all))
	for _, f := range all {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Folder) int {
		if a.Name == Inbox || b.Name == Inbox {
			return map[bool]int{true: -1, false: 1}[a.Name == Inbox]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// Subscriptions returns the names that the account subscribed to, whether a folder has them or
// not. RFC 9051 §6.3.7.
func (u *User) Subscriptions() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.settings.Subscribed)
}

// names returns the folders by name, as they are called on the disk. u.mu is held.
func (u *User) names(ctx context.Context) (map[string]string, error) {
	if u.ended != nil {
		return nil, u.ended
	}
	all, err := u.root.fs.List(u.dir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, dir := range all {
		if !isFolder(dir) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if info, err := u.root.fs.Stat(filepath.Join(u.dir, dir)); err != nil || !info.IsDir() {
			continue // a file of another program may be called like a folder
		}
		if _, err := u.root.fs.Stat(filepath.Join(u.dir, dir, "cur")); err == nil {
			dirs = append(dirs, dir)
		} else if !missing(err) {
			return nil, err
		}
	}
	return named(dirs, u.root.bounds()), nil
}

// find returns how the folder of a name is called on the disk. u.mu is held.
func (u *User) find(name string) (string, error) {
	if u.ended != nil {
		return "", u.ended
	}
	dir, err := directory(name, u.root.bounds())
	if err == nil {
		if dir == "" {
			return "", nil
		}
		if _, err := u.root.fs.Stat(filepath.Join(u.dir, dir, "cur")); err == nil {
			return dir, nil
		}
	}
	names, err := u.names(context.Background())
	if err != nil {
		return "", err
	}
	if dir, ok := names[name]; ok {
		return dir, nil
	}
	return "", ErrNoSuchMailbox
}

// Create makes a folder. A use is what it is for (RFC 6154 §3); ErrUse if another is for that.
func (u *User) Create(ctx context.Context, name string, use Use) error {
	dir, err := directory(strings.TrimSuffix(name, Separator), u.root.bounds())
	if err != nil {
		return err
	}
	if dir == "" {
		return ErrInbox
	}
	name = folderName(dir)
	u.mu.Lock()
	defer u.mu.Unlock()
	names, err := u.names(ctx)
	if err != nil {
		return told(err)
	}
	if _, ok := names[name]; ok {
		return ErrExists
	}
	if len(names) >= u.root.bounds().Folders {
		return ErrTooMany
	}
	if use != UseNone {
		for other := range names {
			if u.settings.use(other) == use {
				return ErrUse
			}
		}
	}
	if err := u.root.makeFolder(filepath.Join(u.dir, dir), true); err != nil {
		return told(err)
	}
	if use == UseNone {
		return nil
	}
	if u.settings.Uses == nil {
		u.settings.Uses = map[string]Use{}
	}
	u.settings.Uses[name] = use
	return told(u.save())
}

// removedPrefix begins the names of folders that are about to vanish. No program takes them for
// folders of mail.
const removedPrefix = "..sallyport-removed-"

// Delete removes a folder and the messages in it, at once for whoever asks afterwards. Folders
// below it stay.
func (u *User) Delete(ctx context.Context, name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	dir, err := u.find(name)
	switch {
	case errors.Is(err, ErrNoSuchMailbox):
		if names, listed := u.names(ctx); listed == nil && hasBelow(names, name) {
			return ErrHasChildren
		}
		return err
	case err != nil:
		return told(err)
	case dir == "":
		return ErrInbox
	}
	if f := u.open[dir]; f != nil {
		u.end(dir, f, ErrNoSuchMailbox)
	}
	away := filepath.Join(u.dir, removedPrefix+u.root.newName())
	if err := u.root.fs.Rename(filepath.Join(u.dir, dir), away); err != nil {
		return told(err)
	}
	if err := u.root.dirs.Do(u.dir); err != nil {
		return told(err)
	}
	if _, ok := u.settings.Uses[name]; ok {
		delete(u.settings.Uses, name)
		err = u.save()
	}
	u.root.removeAll(away)
	u.left()
	return told(err)
}

func hasBelow(names map[string]string, name string) bool {
	for other := range names {
		if strings.HasPrefix(other, name+Separator) {
			return true
		}
	}
	return false
}

// removeAll removes what nobody finds any more. What cannot be removed stays until the mailbox
// is opened the next time.
func (r *Root) removeAll(path string) {
	if info, err := r.fs.Lstat(path); err == nil && info.IsDir() {
		names, _ := r.fs.List(path)
		for _, n := range names {
			r.removeAll(filepath.Join(path, n))
		}
	}
	if err := r.fs.Remove(path); err != nil && !missing(err) {
		r.log.Warn("the rest of a removed folder stays", "file", path, "err", err)
	}
}

// Rename gives a folder another name, and so to those below it. Of the INBOX the messages go,
// and it stays, empty. RFC 9051 §6.3.6.
func (u *User) Rename(ctx context.Context, from, to string) error {
	target, err := directory(to, u.root.bounds())
	if err != nil {
		return err
	}
	if target == "" {
		return ErrExists
	}
	if strings.EqualFold(from, Inbox) {
		return u.emptyInto(ctx, to)
	}
	to = folderName(target)
	u.mu.Lock()
	defer u.mu.Unlock()
	names, err := u.names(ctx)
	if err != nil {
		return told(err)
	}
	moves, err := u.moves(names, from, to)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if f := u.open[m[1]]; f != nil { // of a folder that others removed
			u.end(m[1], f, ErrNoSuchMailbox)
		}
		if err := u.root.fs.Rename(filepath.Join(u.dir, m[0]), filepath.Join(u.dir, m[1])); err != nil {
			return told(err)
		}
		if f := u.open[m[0]]; f != nil {
			delete(u.open, m[0])
			u.open[m[1]] = f
			f.mu.Lock()
			f.dir = filepath.Join(u.dir, m[1])
			f.journal.dir = filepath.Join(f.dir, indexFolder)
			f.cache.move(f.journal.dir)
			f.mu.Unlock()
		}
		u.place(m[1])
	}
	if err := u.root.dirs.Do(u.dir); err != nil {
		return told(err)
	}
	u.settings.rename(from, to)
	return told(u.save())
}

// moves returns which folders get which names on the disk by a rename.
func (u *User) moves(names map[string]string, from, to string) (moves [][2]string, err error) {
	taken := map[string]bool{}
	for name := range names {
		if moved(name, from, to) == name {
			taken[name] = true
		}
	}
	_, there := names[from]
	if !there && !hasBelow(names, from) {
		return nil, ErrNoSuchMailbox
	}
	if taken[to] {
		return nil, ErrExists
	}
	for name, dir := range names {
		after := moved(name, from, to)
		if after == name {
			continue
		}
		target, err := directory(after, u.root.bounds())
		if err != nil {
			return nil, err
		}
		if _, other := names[after]; other || taken[after] {
			return nil, ErrExists
		}
		moves = append(moves, [2]string{dir, target})
	}
	slices.SortFunc(moves, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return moves, nil
}

// emptyInto moves the messages of the INBOX into a new folder.
func (u *User) emptyInto(ctx context.Context, to string) error {
	if err := u.Create(ctx, to, UseNone); err != nil {
		return err
	}
	inbox, err := u.Select(ctx, Inbox, false)
	if err != nil {
		return err
	}
	defer inbox.Close()
	target, err := u.Select(ctx, to, false)
	if err != nil {
		return err
	}
	defer target.Close()
	var uids []UID
	for _, m := range inbox.State().Messages {
		uids = append(uids, m.UID)
	}
	_, err = inbox.Move(ctx, uids, target)
	return err
}

// Subscribe notes whether the account wants to see a name, which need not be a folder's.
// RFC 9051 §6.3.7.
func (u *User) Subscribe(_ context.Context, name string, on bool) error {
	dir, err := directory(name, u.root.bounds())
	if err == nil && dir == "" {
		name = Inbox
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended != nil {
		return u.ended
	}
	if err != nil && on {
		if _, other := u.find(name); other != nil { // no other program made one of that name either
			return err
		}
	}
	if on && len(u.settings.Subscribed) >= u.root.bounds().Subscriptions {
		return ErrTooMany
	}
	if !u.settings.subscribe(name, on) {
		return nil
	}
	return told(u.save())
}

// Status is what can be told of a folder without opening it. RFC 9051 §6.3.11.
type Status struct {
	Messages, Unseen, Deleted, Recent int
	UIDValidity                       uint32
	UIDNext                           UID
	HighestModSeq                     ModSeq
	// Size is how long all messages are together, with CRLF, but for those that cannot be read. It is told
	// when it was asked for, since files may have to be read for it.
	Size int64
	// DeletedOctets is how long the files of the messages are that are flagged as deleted.
	// RFC 9208 §4.1.4.
	DeletedOctets int64
}

// Status looks at a folder and moves nothing in it.
func (u *User) Status(ctx context.Context, name string, size bool) (s Status, err error) {
	err = u.with(ctx, name, func(f *folder) error {
		m := &Mailbox{folder: f, readOnly: true}
		if _, err := m.Refresh(ctx); err != nil {
			return err
		}
		var unknown []UID
		f.mu.Lock()
		if err := f.measure(f.book.deleted()); err != nil {
			f.mu.Unlock()
			return told(err)
		}
		s = Status{
			Messages: len(f.book.entries), UIDValidity: f.book.validity, UIDNext: f.book.next, HighestModSeq: f.book.modseq,
		}
		for _, e := range f.book.entries {
			if !e.flags.Has(Seen) {
				s.Unseen++
			}
			if e.flags.Has(Deleted) {
				s.Deleted++
				s.DeletedOctets += max(e.octets, 0)
			}
			if e.uid >= f.book.recent {
				s.Recent++
			}
			s.Size += max(e.size, 0)
			if e.size < 0 {
				unknown = append(unknown, e.uid)
			}
		}
		f.mu.Unlock()
		if !size {
			s.Size = 0
			return nil
		}
		for _, uid := range unknown {
			octets, err := m.Size(ctx, uid)
			if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrUnreadable) {
				return err
			}
			s.Size += octets
		}
		return nil
	})
	return s, err
}
