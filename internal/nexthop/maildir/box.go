package maildir

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// mode of every directory: mail is for its owner alone.
const mode = 0o700

// makeRoot makes the root, and durable whatever of its path did not exist yet.
func (t *Target) makeRoot() error {
	missing := []string{t.root}
	for dir := t.root; ; {
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		// The parent of the highest new directory holds its entry.
		missing = append(missing, parent)
		if _, err := t.fs.Stat(parent); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		dir = parent
	}
	if err := t.fs.MkdirAll(t.root, mode); err != nil {
		return err
	}
	return t.syncAll(missing...)
}

// ensure makes the directories of a mailbox and returns when they are durable: a
// file synced into a directory that itself can vanish is not durable.
func (t *Target) ensure(box string) error {
	t.mu.Lock()
	_, known := t.known[box]
	t.mu.Unlock()
	if known {
		return nil
	}
	if isFolder(filepath.Base(box)) {
		if err := t.ensure(filepath.Dir(box)); err != nil {
			return err
		}
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := t.fs.MkdirAll(filepath.Join(box, sub), mode); err != nil {
			return err
		}
	}
	if err := t.mark(box); err != nil {
		return err
	}
	above := filepath.Dir(box)
	if err := t.syncAll(box, above, filepath.Dir(above)); err != nil {
		return err
	}
	t.remember(box)
	return nil
}

// junkFolder is where a mailbox keeps mail apart that may be forged or harmful, unless its owner has another
// folder for that, in the way of Maildir++: a folder is a Maildir within the Maildir whose name begins
// with a dot. No local-part has such a name.
const junkFolder = ".Junk"

// isFolder reports whether a name is that of a folder within a mailbox.
func isFolder(name string) bool {
	return len(name) > 1 && name[0] == '.' && filepath.Base(name) == name && name != ".."
}

// mark leaves the empty file in a folder by which Maildir++ tells it from a mailbox.
func (t *Target) mark(box string) error {
	if !isFolder(filepath.Base(box)) {
		return nil
	}
	f, err := t.fs.Create(filepath.Join(box, "maildirfolder"))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (t *Target) syncAll(dirs ...string) error {
	for _, dir := range dirs {
		if err := t.sync.Do(dir); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the set of known mailboxes within its bound by dropping any
// other: forgetting costs no more than making directories that exist.
func (t *Target) remember(box string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.known {
		if len(t.known) < t.limits.Known {
			break
		}
		delete(t.known, other)
	}
	t.known[box] = struct{}{}
}

func (t *Target) forget(box string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, box)
}

// Tend cleans every mailbox at once and then daily, until ctx ends; age is how long ago a file was written.
func (t *Target) Tend(ctx context.Context, age func(time.Time) time.Duration) {
	for {
		if removed, err := t.Clean(ctx, age); err != nil && ctx.Err() == nil {
			t.log.Warn("mailboxes not cleaned", "err", err)
		} else if removed > 0 {
			t.log.Info("stale files removed from mailboxes", "count", removed)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cleanEvery):
		}
	}
}

// cleanEvery is how often files are looked for that deliveries left behind.
const cleanEvery = 24 * time.Hour

// Clean removes the files that deliveries which died left in tmp/, of every
// mailbox, once they are older than Limits.StaleTmp. It returns how many it
// removed, and the first error, having cleaned on past it. It may run at any time
// beside deliveries.
func (t *Target) Clean(ctx context.Context, age func(time.Time) time.Duration) (removed int, err error) {
	keep := func(e error) {
		if err == nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	for _, domain := range t.list(t.root, keep) {
		for _, box := range t.list(domain, keep) {
			if ctx.Err() != nil {
				return removed, ctx.Err()
			}
			n, e := t.cleanBox(ctx, box, age)
			removed += n
			keep(e)
		}
	}
	return removed, err
}

// cleanBox cleans the folders of one mailbox.
func (t *Target) cleanBox(ctx context.Context, box string, age func(time.Time) time.Duration) (removed int, err error) {
	keep := func(e error) {
		if err == nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	for _, folder := range append(t.list(box, keep), box) {
		if folder != box && !strings.HasPrefix(filepath.Base(folder), ".") {
			continue
		}
		if info, e := t.fs.Stat(folder); e != nil || !info.IsDir() {
			keep(e) // a file of another program may be called like a folder
			continue
		}
		for _, file := range t.list(filepath.Join(folder, "tmp"), keep) {
			if ctx.Err() != nil {
				return removed, ctx.Err()
			}
			old, e := t.stale(file, age)
			if e == nil && old {
				e = t.fs.Remove(file)
			}
			keep(e)
			if old && e == nil {
				removed++
			}
		}
	}
	return removed, err
}

func (t *Target) list(dir string, keep func(error)) []string {
	names, err := t.fs.List(dir)
	keep(err)
	for i, n := range names {
		names[i] = filepath.Join(dir, n)
	}
	return names
}

// stale reports whether a file in tmp/ belongs to no delivery that still lives.
func (t *Target) stale(file string, age func(time.Time) time.Duration) (bool, error) {
	info, err := t.fs.Stat(file)
	if err != nil {
		return false, err
	}
	return !info.IsDir() && age(info.ModTime()) > t.limits.StaleTmp, nil
}
