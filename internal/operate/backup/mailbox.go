package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sendBoxes sends the mailboxes: root/DOMAIN/LOCAL-PART, each in two passes.
func (t tree) sendBoxes(ctx context.Context, add addMember) error {
	if sent, err := t.send(t.dir, true, add); err != nil || !sent {
		return err
	}
	return t.inside(t.dir, add, func(domain string) error {
		return t.inside(domain, add, func(box string) error {
			return t.sendBox(ctx, box, add)
		})
	})
}

// inside sends what lies in a folder, and calls fn for the folders among it instead.
func (t tree) inside(dir string, add addMember, fn func(dir string) error) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || t.left.takes(dir, err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			sent, err := t.send(path, true, add)
			if err == nil && sent {
				err = fn(path)
			}
			if err != nil {
				return err
			}
		case e.Type().IsRegular():
			if _, err := t.send(path, false, add); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendBox sends one mailbox while readers may work in it. A message's file never
// changes, but a reader renames it, from new to cur, with other flags, or into another
// folder. So the mailbox is read until a pass finds nothing that was not sent: a
// message is known by its folder and its name without flags, and is sent once, under
// the name where it was met first. One that moves to another folder meanwhile may be
// sent in both. What lies in tmp is no message yet.
func (t tree) sendBox(ctx context.Context, box string, add addMember) error {
	seen := map[[16]byte]bool{}
	for pass := range maxPasses {
		more := false
		err := t.walk(ctx, box, func(path string, info fs.FileInfo) error {
			dir, name := filepath.Split(path)
			folder := filepath.Base(dir)
			key := path
			switch {
			case path == box:
				return nil
			case info.IsDir():
			case folder == "tmp":
				return nil
			case folder == "new" || folder == "cur":
				base, _, _ := strings.Cut(name, ":")
				key = filepath.Join(filepath.Dir(filepath.Clean(dir)), base)
			}
			id := identify(key)
			if seen[id] {
				return nil
			}
			sent, err := t.send(path, info.IsDir(), add)
			seen[id] = sent
			more = true
			return err
		})
		if err != nil || !more && pass > 0 {
			return err
		}
	}
	return nil
}

// maxPasses bounds how often one mailbox is read: a mailbox that receives all the
// time would always have something new, which came after the backup began.
const maxPasses = 4

// identify shortens a name, of which a mailbox may have millions.
func identify(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}
