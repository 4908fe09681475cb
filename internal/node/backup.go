package node

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/operate"
	"sallyport/internal/operate/format"
	"sallyport/internal/store"
)

// copyDir is where a backup keeps the copy that it sends, below the data folder:
// on the same disk, so that files are shared instead of copied.
const copyDir = "backup.tmp"

// addMember sends one member of an archive.
type addMember func(h *tar.Header, content io.Reader) error

// backup implements operate.BackupSource. Its order is the promise:
//
//  1. The exported checkpoints of the trace are copied first: one that covers more than
//     the copied store would look like a store that was rolled back.
//  2. The store is copied as it stands at one moment, with its blobs. Whatever was
//     acknowledged before is in it, or in a mailbox.
//  3. The mailboxes come last: what is delivered meanwhile is in both, and a restored
//     server delivers it into the very same file again; the other way round it would be
//     in neither.
func (n *Node) backup(ctx context.Context, r operate.BackupRequest, start func(operate.BackupHead) error, add func(*tar.Header, io.Reader) error) (err error) {
	if !n.copying.CompareAndSwap(false, true) {
		return &operate.Error{Code: operate.CodeUnavailable, Message: "a backup is under way already; try again when it has ended"}
	}
	defer n.copying.Store(false)
	at, ok := n.store.(store.Checkpointer)
	if !ok {
		return errors.New("this store cannot be copied")
	}
	began := n.o.Now()
	tmp := filepath.Join(n.config().Data, copyDir)
	if err := os.RemoveAll(tmp); err != nil { // of one that was killed
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := copyFiles(n.config().CheckpointDir(), filepath.Join(tmp, "trace")); err != nil {
		return err
	}
	if err := at.Checkpoint(ctx, filepath.Join(tmp, "store")); err != nil {
		return err
	}
	plan := backupPlan(n.config(), tmp, r.Mailboxes)
	octets, err := plan.octets(ctx)
	if err != nil {
		return err
	}
	record, err := format.Read(n.config().Data)
	if err != nil {
		return err
	}
	err = start(operate.BackupHead{
		Hostname: n.config().Hostname.ASCII(), Program: n.o.Version, DataFormat: uint32(record.Version), Began: began,
		Messages: n.spool.Stats().Entries, Octets: octets,
	})
	if err != nil {
		return err
	}
	n.log.Info("backup began", "octets", octets, "mailboxes", r.Mailboxes)
	if err := plan.send(ctx, add); err != nil {
		n.log.Error("backup failed", "err", err)
		return err
	}
	n.log.Info("backup sent")
	return nil
}

// copyFiles copies the regular files of a folder, which may be missing.
func copyFiles(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") { // a dot: being written
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // too old, and removed meanwhile
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plan is what a backup takes: trees of the disk and their names in the archive.
type plan struct {
	trees []tree
}

type tree struct {
	dir   string
	name  string
	owner string          // the folder whose owner and mode the copied one had; "": dir itself
	skip  map[string]bool // paths that are not taken
	boxes bool            // its folders are mailboxes
}

func backupPlan(cfg config.Config, tmp string, mailboxes bool) plan {
	root, dataRoot := cfg.Maildir.Root, ""
	if rel, err := filepath.Rel(cfg.Data, root); err == nil && filepath.IsLocal(rel) {
		dataRoot = "data/" + filepath.ToSlash(rel)
	}
	p := plan{trees: []tree{
		{dir: cfg.Data, name: "data", skip: map[string]bool{cfg.StoreDir(): true, cfg.CheckpointDir(): true, root: true, tmp: true}},
		{dir: filepath.Join(tmp, "store"), name: "data/store", owner: cfg.StoreDir()},
		{dir: filepath.Join(tmp, "trace"), name: "data/trace", owner: cfg.CheckpointDir()},
	}}
	if !mailboxes {
		return p
	}
	if dataRoot == "" {
		dataRoot = "mail"
	}
	p.trees = append(p.trees, tree{dir: root, name: dataRoot, boxes: true})
	return p
}

// octets sums up what is to be sent. Files come and go meanwhile: it is an estimate.
func (p plan) octets(ctx context.Context) (n int64, err error) {
	for _, t := range p.trees {
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
		if errors.Is(err, fs.ErrNotExist) {
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
		if errors.Is(err, fs.ErrNotExist) {
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
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
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
