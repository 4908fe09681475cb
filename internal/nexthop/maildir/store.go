package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"sallyport/internal/kit/fsys"
	"sallyport/internal/nexthop"
)

// bufferOctets is the size of a write. A message of ordinary size is one write.
const bufferOctets = 64 << 10

var errLow = errors.New("less is free on the disk than is to stay free")

var errSize = errors.New("the message is not as long as it was when it was accepted")

// store leaves the message durably in the mailbox, once.
func (t *Target) store(ctx context.Context, j nexthop.Job, c *letter) error {
	// A first attempt cannot have left anything but its own file in new/, which
	// the rename replaces. Looking through cur/ is too dear to do for nothing.
	if j.Attempt > 1 {
		if done, err := t.stored(c.box, t.names(j, c), j.Size); done || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	head := t.head(j, c)
	if t.space != nil {
		give, ok := t.space.Take(int64(len(head)) + j.Size)
		if !ok {
			return errLow
		}
		defer give()
	}
	if err := t.ensure(c.box); err != nil {
		return err
	}
	err := t.write(ctx, c.box, c.name, head, j)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Somebody removed the mailbox since it was made: make it anew.
	t.forget(c.box)
	if err := t.ensure(c.box); err != nil {
		return err
	}
	return t.write(ctx, c.box, c.name, head, j)
}

// stored reports whether an earlier attempt already left the message in new/, or a
// reader moved it to cur/ since. It was at least as long as the message without the
// fields of its delivery, which may have named others.
func (t *Target) stored(box string, names map[string]bool, size int64) (bool, error) {
	inNew := filepath.Join(box, "new")
	for name := range names {
		info, err := t.fs.Stat(filepath.Join(inNew, name))
		if err == nil && info.Size() > size {
			return true, t.sync.sync(inNew) // that attempt may have died before its sync
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	inCur := filepath.Join(box, "cur")
	found, err := t.fs.List(inCur)
	if err != nil {
		return false, err
	}
	for _, n := range found {
		// A reader appends ":2," and flags; some put sizes after a comma first.
		if name, _, _ := strings.Cut(n, ":"); names[name] {
			return true, t.sync.sync(inCur)
		}
		if name, _, _ := strings.Cut(n, ","); names[name] {
			return true, t.sync.sync(inCur)
		}
	}
	return false, nil
}

// write goes the way of the Maildir convention: a file in tmp/, synced, renamed
// into new/, the directory synced. The order is the promise.
func (t *Target) write(ctx context.Context, box, name string, head []byte, j nexthop.Job) error {
	tmp := filepath.Join(box, "tmp", fmt.Sprintf("%s.%s.%d", name, t.run, t.serial.Add(1)))
	if err := t.writeTmp(ctx, tmp, head, j); err != nil {
		t.discard(tmp)
		return err
	}
	dir := filepath.Join(box, "new")
	file := filepath.Join(dir, name)
	if err := t.fs.Rename(tmp, file); err != nil {
		t.discard(tmp)
		return err
	}
	if err := t.sync.sync(dir); err != nil {
		// After a failed sync a later one may succeed without having written
		// anything. The file goes, so that the next attempt renames anew instead
		// of trusting what it finds.
		t.discard(file)
		return err
	}
	return nil
}

func (t *Target) writeTmp(ctx context.Context, tmp string, head []byte, j nexthop.Job) error {
	f, err := t.fs.Create(tmp)
	if err != nil {
		return err
	}
	err = t.fill(ctx, f, head, j)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// fill copies the message through a buffer of our own, because a fsys.File may
// scribble over the slice that it writes.
func (t *Target) fill(ctx context.Context, f fsys.File, head []byte, j nexthop.Job) error {
	r, err := j.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	buf := t.buffers.Get().(*[bufferOctets]byte)
	defer t.buffers.Put(buf)
	n, body := copy(buf[:], head), int64(0)
	for {
		m, err := r.Read(buf[n:])
		n, body = n+m, body+int64(m)
		switch {
		case err != nil && err != io.EOF:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case body > j.Size, err == io.EOF && body != j.Size:
			return errSize
		}
		if n == len(buf) || err == io.EOF {
			if _, err := f.Write(buf[:n]); err != nil {
				return err
			}
			n = 0
		}
		if err == io.EOF {
			return nil
		}
	}
}

// discard removes a file of a failed delivery. Clean finds later what stays.
func (t *Target) discard(name string) {
	if err := t.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("rest of a failed delivery stays", "file", name, "err", err)
	}
}
