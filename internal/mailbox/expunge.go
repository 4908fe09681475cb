package mailbox

import (
	"context"
	"errors"
	"path/filepath"
)

// Expunge removes the messages that are flagged as deleted: all of them, or those among uids.
// A file whose flag others took away meanwhile stays. It returns the UIDs that are gone, once
// that is durable. RFC 9051 §6.4.3, §6.4.9.
func (m *Mailbox) Expunge(ctx context.Context, uids []UID) ([]UID, error) {
	return m.remove(ctx, func(f *folder) []UID {
		if uids == nil {
			for _, e := range f.book.entries {
				if e.flags.Has(Deleted) {
					uids = append(uids, e.uid)
				}
			}
		}
		return uids
	}, Deleted)
}

// Remove removes messages whatever their flags are, as POP3 does at the end of a session.
func (m *Mailbox) Remove(ctx context.Context, uids []UID) ([]UID, error) {
	return m.remove(ctx, func(*folder) []UID { return uids }, 0)
}

// Withdraw takes back messages that the caller has just appended, also where the folder is open for
// reading only.
func (m *Mailbox) Withdraw(ctx context.Context, uids []UID) ([]UID, error) {
	return m.take(ctx, func(*folder) []UID { return uids }, 0)
}

func (m *Mailbox) remove(ctx context.Context, which func(*folder) []UID, must System) ([]UID, error) {
	if m.readOnly {
		return nil, ErrReadOnly
	}
	return m.take(ctx, which, must)
}

func (m *Mailbox) take(ctx context.Context, which func(*folder) []UID, must System) ([]UID, error) {
	f := m.folder
	f.mu.Lock()
	gone, err := f.remove(ctx, which, must)
	f.mu.Unlock()
	if len(gone) > 0 {
		err = errors.Join(err, f.sync())
	}
	f.left()
	if err != nil {
		return nil, told(err)
	}
	return gone, nil
}

// remove unlinks files by the very names that were seen, so that one that others renamed since
// is looked at again.
func (f *folder) remove(ctx context.Context, which func(*folder) []UID, must System) (uids []UID, err error) {
	if _, err := f.look(false); err != nil {
		return nil, err
	}
	if err := f.journal.ensure(f.book.validity, f.book.next, f.book.modseq+1); err != nil {
		return nil, err
	}
	var inNew, inCur bool
	var gone []vanished
	err = f.mine(func() error {
		for _, uid := range which(f) {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, err := f.unlink(uid, must)
			if err != nil {
				return err
			}
			if e == nil {
				continue
			}
			gone, uids = append(gone, vanished{uid: uid}), append(uids, uid)
			inNew, inCur = inNew || !e.inCur, inCur || e.inCur
		}
		return nil
	})
	if len(gone) == 0 {
		return nil, err
	}
	modseq := f.book.modseq + 1
	for i := range gone {
		gone[i].modseq = modseq
	}
	if inCur {
		err = errors.Join(err, f.root.dirs.Do(filepath.Join(f.dir, "cur")))
	}
	if inNew {
		err = errors.Join(err, f.root.dirs.Do(filepath.Join(f.dir, "new")))
	}
	f.book.remove(gone, f.root.bounds().Vanished)
	f.wake()
	return uids, errors.Join(err, f.note(appendGone(nil, gone)))
}

// unlink removes one file; nil: it is not there, or has not the flags.
func (f *folder) unlink(uid UID, must System) (*entry, error) {
	for range attempts {
		e := f.book.entry(uid)
		if e == nil || !e.flags.Has(must) {
			return nil, nil
		}
		err := f.root.fs.Remove(f.path(e.place()))
		if !missing(err) {
			return e, err
		}
		if _, err := f.look(true); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
