package maildir

import (
	"bytes"
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

// leastRead is how much room is left for a read, so that none is of a few octets.
const leastRead = 4 << 10

var errLow = errors.New("less is free on the disk than is to stay free")

var errSize = errors.New("the message is not as long as it was when it was accepted")

// store leaves the message durably in the mailbox, once.
func (t *Target) store(ctx context.Context, j nexthop.Job, c *letter) error {
	// A first attempt cannot have left anything but its own file in new/, which
	// the rename replaces. Looking through cur/ is too dear to do for nothing.
	if j.Attempt > 1 {
		if done, err := t.stored(ctx, c, j); done || err != nil && !errors.Is(err, fs.ErrNotExist) {
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
	err := t.write(ctx, c, head, j)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Somebody removed the mailbox since it was made: make it anew.
	t.forget(c.box)
	if err := t.ensure(c.box); err != nil {
		return err
	}
	return t.write(ctx, c, head, j)
}

// stored reports whether an earlier attempt already left the message in new/, or a
// reader moved it to cur/ since. It was at least as long as the message without the
// fields of its delivery, which may have named others; a version before this one wrote
// CRLF, and a longer file.
func (t *Target) stored(ctx context.Context, c *letter, j nexthop.Job) (bool, error) {
	box, names := c.box, t.names(j, c)
	inNew := filepath.Join(box, "new")
	for name := range names {
		info, err := t.fs.Stat(filepath.Join(inNew, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		size, err := kept(ctx, j)
		if err != nil {
			return false, err
		}
		if info.Size() > size {
			return true, t.sync.Do(inNew) // that attempt may have died before its sync
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
			return true, t.sync.Do(inCur)
		}
		if name, _, _ := strings.Cut(n, ","); names[name] {
			return true, t.sync.Do(inCur)
		}
	}
	return false, nil
}

// write goes the way of the Maildir convention: a file in tmp/, synced, renamed
// into new/, the directory synced. The order is the promise.
func (t *Target) write(ctx context.Context, c *letter, head []byte, j nexthop.Job) error {
	tmp := filepath.Join(c.box, "tmp", fmt.Sprintf("%s.%s.%d", c.name, t.run, t.serial.Add(1)))
	octets, err := t.writeTmp(ctx, tmp, head, j)
	if err != nil {
		t.discard(tmp)
		return err
	}
	dir := filepath.Join(c.box, "new")
	file := filepath.Join(dir, c.name)
	if err := t.fs.Rename(tmp, file); err != nil {
		t.discard(tmp)
		return err
	}
	if err := t.sync.Do(dir); err != nil {
		// After a failed sync a later one may succeed without having written
		// anything. The file goes, so that the next attempt renames anew instead
		// of trusting what it finds.
		t.discard(file)
		return err
	}
	c.octets = octets
	return nil
}

// writeTmp returns how long the file is.
func (t *Target) writeTmp(ctx context.Context, tmp string, head []byte, j nexthop.Job) (octets int64, err error) {
	f, err := t.fs.Create(tmp)
	if err != nil {
		return 0, err
	}
	octets, err = t.fill(ctx, f, head, j)
	if err == nil {
		err = f.Sync()
	}
	return octets, errors.Join(err, f.Close())
}

// fill copies the message through a buffer of our own, because a fsys.File may
// scribble over the slice that it writes.
func (t *Target) fill(ctx context.Context, f fsys.File, head []byte, j nexthop.Job) (octets int64, err error) {
	buf := t.buffers.Get().(*[bufferOctets]byte)
	defer t.buffers.Put(buf)
	err = eachPiece(ctx, j, buf[:], head, func(piece []byte) error {
		octets += int64(len(piece))
		_, err := f.Write(piece)
		return err
	})
	return octets, err
}

// kept returns how long the message is in a mailbox, without the fields of its delivery.
func kept(ctx context.Context, j nexthop.Job) (octets int64, err error) {
	err = eachPiece(ctx, j, make([]byte, bufferOctets), nil, func(piece []byte) error {
		octets += int64(len(piece))
		return nil
	})
	return octets, err
}

// eachPiece calls do with head and then the message as a mailbox keeps it, a buffer at a
// time: lines end in LF, and a CR that ends no line stays what it is.
func eachPiece(ctx context.Context, j nexthop.Job, buf, head []byte, do func([]byte) error) error {
	r, err := j.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, body := copy(buf, head), int64(0)
	for ended := false; !ended; {
		m, err := r.Read(buf[n:])
		body, ended = body+int64(m), err == io.EOF
		switch {
		case err != nil && !ended:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case body > j.Size, ended && body != j.Size:
			return errSize
		}
		// The last read may have ended in the CR of a line whose LF came now.
		from := max(n-1, 0)
		n = from + unix(buf[from:n+m])
		if n < len(buf)-leastRead && !ended {
			continue
		}
		whole := n
		if !ended && n > 0 && buf[n-1] == '\r' {
			whole--
		}
		if err := do(buf[:whole]); err != nil {
			return err
		}
		n = copy(buf, buf[whole:n])
	}
	return nil
}

// unix turns each CRLF into LF, in place, and returns how long the text is then.
func unix(text []byte) int {
	n, rest := 0, text
	for {
		i := bytes.Index(rest, []byte("\r\n"))
		if i < 0 {
			return n + copy(text[n:], rest)
		}
		n += copy(text[n:], rest[:i])
		rest = rest[i+1:]
	}
}

// discard removes a file of a failed delivery. Clean finds later what stays.
func (t *Target) discard(name string) {
	if err := t.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("rest of a failed delivery stays", "file", name, "err", err)
	}
}
