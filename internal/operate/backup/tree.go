package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// plan is what a backup takes: trees of the disk and their names in the archive.
type plan struct {
	trees []tree
	left  *leftOut // of the mailboxes; nil: they are not sent
}

type tree struct {
	dir   string
	name  string
	owner string          // the folder whose owner and mode the copied one had; "": dir itself
	skip  map[string]bool // paths that are not taken
	boxes bool            // its folders are mailboxes
	left  *leftOut        // notes what cannot be read; nil: that ends the backup
}

func planOf(at Places, tmp string, mailboxes bool) plan {
	root, dataRoot := at.Mailboxes, ""
	if rel, err := filepath.Rel(at.Data, root); err == nil && filepath.IsLocal(rel) {
		dataRoot = "data/" + filepath.ToSlash(rel)
	}
	p := plan{trees: []tree{
		{dir: at.Data, name: "data", skip: map[string]bool{at.Store: true, at.Checkpoints: true, root: true, tmp: true}},
		{dir: filepath.Join(tmp, "store"), name: "data/store", owner: at.Store},
		{dir: filepath.Join(tmp, "trace"), name: "data/trace", owner: at.Checkpoints},
	}}
	if !mailboxes {
		return p
	}
	if dataRoot == "" {
		dataRoot = "mail"
	}
	p.left = &leftOut{root: root}
	p.trees = append(p.trees, tree{dir: root, name: dataRoot, boxes: true, left: p.left})
	return p
}

// octets sums up what is to be sent. Files come and go meanwhile: it is an estimate.
func (p plan) octets(ctx context.Context) (n int64, err error) {
	for _, t := range p.trees {
		if t.left != nil {
			t.left = &leftOut{} // it is noted when it is sent
		}
		err := t.walk(ctx, t.dir, func(_ string, info fs.FileInfo) error {
			if info.Mode().IsRegular() {
				n += info.Size()
			}
			return nil
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (p plan) send(ctx context.Context, add addMember) error {
	for _, t := range p.trees {
		var err error
		if t.boxes {
			err = t.sendBoxes(ctx, add)
		} else {
			err = t.sendAll(ctx, t.dir, add)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls fn for each folder and regular file, a folder before its content. What
// vanished meanwhile is passed over, and so is what is neither (sockets, links).
func (t tree) walk(ctx context.Context, from string, fn func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || t.left.takes(path, err) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if t.skip[path] {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || t.left.takes(path, err) {
			return nil
		}
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		return fn(path, info)
	})
}

// sendAll sends everything below from.
func (t tree) sendAll(ctx context.Context, from string, add addMember) error {
	return t.walk(ctx, from, func(path string, info fs.FileInfo) error {
		_, err := t.send(path, info.IsDir(), add)
		return err
	})
}

// send sends one file or folder; false when it vanished.
func (t tree) send(path string, dir bool, add addMember) (sent bool, err error) {
	rel, err := filepath.Rel(t.dir, path)
	if err != nil {
		return false, err
	}
	name := t.name
	if rel != "." {
		name += "/" + filepath.ToSlash(rel)
	}
	f, err := t.left.open(path, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case t.left.takes(path, err):
		return true, nil // it need not be looked at again
	case err != nil:
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if info.IsDir() != dir {
		return false, fmt.Errorf("%s changed its nature while it was read", path)
	}
	if rel == "." && t.owner != "" {
		if info, err = os.Stat(t.owner); err != nil {
			return false, err
		}
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return false, err
	}
	h.Name = name
	if dir {
		h.Name += "/"
	}
	return true, add(h, f)
}
