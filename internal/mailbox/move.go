package mailbox

import (
	"context"
	"errors"
	"io"
	"path/filepath"
)

// Pair is a message and its copy.
type Pair struct{ From, To UID }

// Copy makes the messages part of another folder too, with their flags and dates: all of those
// that are there, or none. It is durable when it returns. RFC 9051 §6.4.7.
func (m *Mailbox) Copy(ctx context.Context, uids []UID, to *Mailbox) ([]Pair, error) {
	if err := to.folder.user.mayAdd(len(uids)); err != nil {
		return nil, err
	}
	end, err := m.room(ctx, uids, to)
	if err != nil {
		return nil, err
	}
	pairs, err := m.copy(ctx, uids, to)
	end(err == nil && len(pairs) > 0)
	return pairs, err
}

// room takes what copies need of the quota of the other folder's mailbox.
func (m *Mailbox) room(ctx context.Context, uids []UID, to *Mailbox) (end func(kept bool), err error) {
	root, nothing := to.folder.root, func(bool) {}
	if root.quota == nil || to.unbounded {
		return nothing, nil
	}
	messages, octets, err := m.folder.weight(uids)
	if err != nil || messages == 0 {
		return nothing, told(err)
	}
	return root.quota.Take(ctx, to.folder.user.account, octets, messages)
}

func (m *Mailbox) copy(ctx context.Context, uids []UID, to *Mailbox) ([]Pair, error) {
	items, from, places, err := m.linkInto(ctx, uids, to)
	t := to.folder
	defer t.came(items)
	if err == nil {
		err = t.root.dirs.Do(filepath.Join(t.where(), "cur"))
	}
	var given []UID
	if err == nil && len(items) > 0 {
		t.mu.Lock()
		given, err = t.adopt(items, places)
		t.mu.Unlock()
		if err == nil {
			err = t.sync()
		}
	}
	if err != nil {
		(&Appending{to: to}).unlink(places)
		return nil, told(err)
	}
	pairs := make([]Pair, len(given))
	for i := range given {
		pairs[i] = Pair{from[i], given[i]}
	}
	return pairs, nil
}

// Move takes the messages to another folder. What it returned is there and not here any more,
// durably; a crash in the middle leaves a message in both, and never in none. A mailbox that is
// full has room for it, since nothing is added. RFC 9051 §6.4.8.
func (m *Mailbox) Move(ctx context.Context, uids []UID, to *Mailbox) ([]Pair, error) {
	if m.readOnly {
		return nil, ErrReadOnly
	}
	pairs, err := m.copy(ctx, uids, to)
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	from := make([]UID, len(pairs))
	for i, p := range pairs {
		from[i] = p.From
	}
	if _, err := m.Remove(ctx, from); err != nil {
		return pairs, err
	}
	return pairs, nil
}

// linkInto gives the files new names in the other folder: never the old ones, which others may
// go by.
func (m *Mailbox) linkInto(ctx context.Context, uids []UID, to *Mailbox) (items []item, from []UID, places []place, err error) {
	entries, dir, err := m.existing(ctx, uids)
	if err != nil {
		return nil, nil, nil, err
	}
	validity := m.UIDValidity()
	t := to.folder
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return nil, nil, nil, t.ended
	}
	if t.coming == nil {
		t.coming = map[string]EmailID{}
	}
	err = t.mine(func() error {
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			it := item{
				name: t.root.newName(), flags: e.flags, date: e.date, size: e.size, ragged: e.ragged, octets: e.octets, sum: e.sum,
				origin: e.emailID(validity),
			}
			have, more := lettersOf(e.file)
			p := place{t.keyword.name(it.name+":2,"+m.foreign(have)+more, e.flags), true}
			t.coming[it.name] = it.origin
			err := t.bring(filepath.Join(dir, map[bool]string{true: "cur", false: "new"}[e.inCur], e.file), p, e)
			if err != nil {
				delete(t.coming, it.name)
			}
			if missing(err) {
				continue // others removed or renamed it at this moment: it is as good as gone
			}
			if err != nil {
				return err
			}
			items, from, places = append(items, it), append(from, e.uid), append(places, p)
		}
		return nil
	})
	return items, from, places, err
}

// came forgets copies that have their UIDs now, or are none.
func (f *folder) came(items []item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range items {
		delete(f.coming, it.name)
	}
}

// foreign returns the letters that nobody here understands.
func (m *Mailbox) foreign(have string) string {
	var out []byte
	for _, c := range []byte(have) {
		if m.folder.keyword.word(c) == "" && systemOf(string(c)) == 0 {
			out = append(out, c)
		}
	}
	return string(out)
}

// existing returns the messages that are there, their names as they are now.
func (m *Mailbox) existing(ctx context.Context, uids []UID) (entries []*entry, dir string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.look(false); err != nil {
		return nil, "", err
	}
	for _, uid := range uids {
		e := f.book.entry(uid)
		if e == nil {
			continue
		}
		if _, err := f.root.fs.Lstat(f.path(e.place())); missing(err) {
			if _, err := f.look(true); err != nil {
				return nil, "", err
			}
			if e = f.book.entry(uid); e == nil {
				continue
			}
		}
		if e, err = f.ask(e); err != nil && !missing(err) {
			return nil, "", err
		}
		entries = append(entries, e)
	}
	return entries, f.dir, nil
}

// bring makes a file part of the folder: a second name where the disk can do that, else a copy.
func (f *folder) bring(from string, to place, e *entry) error {
	err := f.root.fs.Link(from, f.path(to))
	if err == nil || missing(err) {
		return err
	}
	src, errOpen := f.root.fs.Open(from)
	if errOpen != nil {
		return errOpen
	}
	defer src.Close()
	length, errSize := src.Size()
	if errSize != nil {
		return errSize
	}
	if f.root.space != nil {
		give, ok := f.root.space.Take(length)
		if !ok {
			return ErrNoRoom
		}
		defer give()
	}
	tmp := filepath.Join(f.dir, "tmp", f.root.newName())
	file, err := f.root.fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, io.NewSectionReader(src, 0, length))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.root.fs.Touch(tmp, e.date)
	}
	if err == nil {
		err = f.root.fs.Rename(tmp, f.path(to))
	}
	return err
}
