package mailbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"sallyport/internal/damage"
	"sallyport/internal/mail"
)

// Verified is how a folder and its index were found.
type Verified struct {
	Messages int
	// Damage names what is lost of the index.
	Damage []string
	// Unreadable names files that could not be read, with the fault, and files that are not as
	// long as the index says or have another checksum.
	Unreadable []string
	// Found, Missing and Renamed count what others did since the folder was looked at last, which
	// is no damage.
	Found, Missing, Renamed int
}

// Sound reports whether nothing is damaged.
func (v Verified) Sound() bool { return len(v.Damage)+len(v.Unreadable) == 0 }

// Verify reads the index of a folder from the disk, and every message, and changes nothing.
func (u *User) Verify(ctx context.Context, name string) (v Verified, err error) {
	f, l, err := u.examine(name)
	if err != nil {
		return v, told(err)
	}
	v.Damage = l.damage
	files, err := f.list(true)
	if err != nil {
		return v, told(err)
	}
	s := l.book.compare(files)
	v.Messages = len(l.book.entries) - len(s.missing) + len(s.found)
	v.Found, v.Missing, v.Renamed = len(s.found), len(s.missing), len(s.renamed)
	at := map[*entry]place{}
	for _, r := range s.renamed {
		at[r.entry] = r.is
	}
	for _, e := range l.book.entries {
		p, moved := at[e]
		if !moved {
			p = e.place()
		}
		if err := ctx.Err(); err != nil {
			return v, err
		}
		if bad := f.bad(ctx, p, e.size, e.sum); bad != "" {
			v.Unreadable = append(v.Unreadable, bad)
		}
	}
	for _, p := range s.found {
		if bad := f.bad(ctx, p, -1, 0); bad != "" {
			v.Unreadable = append(v.Unreadable, bad)
		}
	}
	return v, nil
}

// found tells of a damaged index.
func (r *Root) found(dir, what string) {
	if r.damage != nil {
		r.damage(damage.Found{
			Kind: damage.Index, File: dir, What: what + "; the index was made anew from the files",
			Lost: "no message; what programs remember of the folder they may fetch again, and flags that were set last may be missing",
		})
	}
}

// Scrub reads the index of each folder of an account from the disk, and tells of damage. Of a
// folder that is damaged the index is made anew. Messages are not read.
func (r *Root) Scrub(ctx context.Context, account mail.Address) error {
	u, err := r.Existing(ctx, account)
	if errors.Is(err, ErrNoAccount) {
		return nil
	}
	if err != nil {
		return err
	}
	defer u.Close()
	all, err := u.Folders(ctx)
	if err != nil {
		return err
	}
	for _, f := range all {
		_, l, err := u.examine(f.Name)
		if errors.Is(err, ErrNoSuchMailbox) {
			continue
		}
		if err != nil {
			return told(err)
		}
		if len(l.damage) == 0 {
			continue
		}
		// To be asked how it is, a folder is opened, and a damaged index is made anew and told of.
		if _, err := u.Status(ctx, f.Name, true); err != nil {
			return err
		}
	}
	return nil
}

// examine reads the index of a folder as it is on the disk. What it returns is no folder that
// anybody else has.
func (u *User) examine(name string) (*folder, loaded, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	dir, err := u.find(name)
	if err != nil {
		return nil, loaded{}, err
	}
	if open := u.open[dir]; open != nil {
		open.mu.Lock() // nobody writes meanwhile
		defer open.mu.Unlock()
	}
	f := &folder{root: u.root, user: u, dir: filepath.Join(u.dir, dir)}
	f.journal = newJournal(u.root.fs, filepath.Join(f.dir, indexFolder), u.root.bounds().Reserve)
	l, err := f.journal.load(func() (uint32, error) { return 0, nil }, u.root.bounds().Vanished)
	return f, l, err
}

// bad says what is wrong with a file; "" of one that vanished meanwhile, and of one that is well.
func (f *folder) bad(ctx context.Context, p place, size int64, sum uint32) string {
	file, err := f.root.fs.Open(f.path(p))
	if missing(err) {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("%s: %v", f.path(p), err)
	}
	defer file.Close()
	c, err := newContent(ctx, file, &f.root.pieces)
	switch {
	case err != nil:
		return fmt.Sprintf("%s: %v", f.path(p), err)
	case size >= 0 && c.Size() != size:
		return fmt.Sprintf("%s has %d octets with CRLF, and had %d", f.path(p), c.Size(), size)
	case sum != 0 && c.sum != sum:
		return fmt.Sprintf("%s is not what it was: its octets have changed", f.path(p))
	}
	c.pieces.give(c.block)
	return ""
}

// Rebuilt is what became of a folder whose index was made anew.
type Rebuilt struct {
	Messages int
	// NewUIDs is how many of them have another UID than before, or their first one.
	NewUIDs     int
	UIDValidity uint32
	// Damage names what had been lost of the index.
	Damage []string
}

// Rebuild makes the index of a folder anew from its files. UIDs, mod-sequences and keywords that
// are known stay; sizes and what was parsed are read again. Those who have the folder open go
// on.
func (u *User) Rebuild(ctx context.Context, name string) (r Rebuilt, err error) {
	_, before, err := u.examine(name)
	if err != nil {
		return r, told(err)
	}
	err = u.with(ctx, name, func(f *folder) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		r.Damage = before.damage
		if _, err := f.look(true); err != nil {
			return err
		}
		for _, e := range slices.Clone(f.book.entries) {
			c := *e
			c.size, c.ragged, c.octets, c.sum = -1, false, -1, 0
			f.book.put(&c)
			if known := before.book.entry(c.uid); known == nil || before.book.validity != f.book.validity {
				r.NewUIDs++
			}
		}
		if err := f.measure(f.book.entries); err != nil {
			return err
		}
		f.cache.forget()
		f.lazy, f.altered = nil, nil // the new index holds it
		if err := f.journal.renew(f.book); err != nil {
			return err
		}
		r.Messages, r.UIDValidity = len(f.book.entries), f.book.validity
		return nil
	})
	if err != nil {
		return r, told(err)
	}
	_, err = u.Status(ctx, name, true) // which measures every message
	return r, err
}
