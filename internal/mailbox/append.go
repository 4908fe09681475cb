package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"sallyport/internal/kit/fsys"
)

// Appending is messages that become part of a folder together or not at all (RFC 3502). It ends
// with Commit or Abort.
type Appending struct {
	to    *Mailbox
	items []item
	give  []func(kept bool)
}

// item is a message that lies in tmp.
type item struct {
	name  string // in tmp and, with its flags, in cur
	flags Flags
	date  time.Time
	size  int64
	// ragged: its last line has no end.
	ragged bool
	sum    uint32 // of the file
	// octets of the file; -1: nobody looked.
	octets int64
	origin EmailID // of a copy
}

// Append makes a message part of the folder. The message is read to its end, which is size
// octets with CRLF; date zero is now. It is durable when it returns.
func (m *Mailbox) Append(ctx context.Context, r io.Reader, size int64, flags Flags, date time.Time) (UID, error) {
	a := m.Begin()
	defer a.Abort()
	if err := a.Add(ctx, r, size, flags, date); err != nil {
		return 0, err
	}
	uids, err := a.Commit(ctx)
	if err != nil {
		return 0, err
	}
	return uids[0], nil
}

// Begin begins to append. A folder that is open for reading only takes messages too: nothing
// that is in it changes.
func (m *Mailbox) Begin() *Appending { return &Appending{to: m} }

// Add takes one more message. Nobody sees it before Commit.
func (a *Appending) Add(ctx context.Context, r io.Reader, size int64, flags Flags, date time.Time) error {
	root, f := a.to.folder.root, a.to.folder
	if size > root.bounds().Message {
		return ErrTooBig
	}
	if err := f.mayBear(flags); err != nil {
		return err
	}
	f.mu.Lock()
	flags, err := f.spelt(flags)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return a.take(ctx, item{name: root.newName(), flags: flags, date: date}, r, size)
}

// take keeps a message in tmp, under a name that no other has.
func (a *Appending) take(ctx context.Context, it item, r io.Reader, size int64) error {
	root, f := a.to.folder.root, a.to.folder
	if root.space != nil {
		give, ok := root.space.Take(size)
		if !ok {
			return ErrNoRoom
		}
		a.give = append(a.give, func(bool) { give() })
	}
	if root.quota != nil && !a.to.unbounded {
		end, err := root.quota.Take(ctx, f.user.account, size, 1)
		if err != nil {
			return err
		}
		a.give = append(a.give, end)
	}
	if it.date = keepable(it.date); it.date.IsZero() {
		it.date = root.now()
	}
	tmp := a.tmp(it)
	file, err := root.fs.Create(tmp)
	if err != nil {
		return told(err)
	}
	a.items = append(a.items, it)
	at, kept := &a.items[len(a.items)-1], &counted{File: file}
	at.size, at.ragged, err = copyUnix(ctx, kept, r, size)
	at.octets, at.sum = kept.octets, kept.sum.value()
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return told(fmt.Errorf("a message could not be kept: %w", err))
	}
	return nil
}

// keepable is a date that files and the index can have, which count nanoseconds from 1970 on: of an earlier or later one, the
// nearest. Programs that know no date say 1601.
func keepable(t time.Time) time.Time {
	least, most := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	switch {
	case t.IsZero():
		return t
	case t.Before(least):
		return least
	case t.After(most):
		return most
	}
	return t
}

// counted is a file that knows how much was written to it.
type counted struct {
	fsys.File
	octets int64
	sum    sum
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	c.sum.add(b)
	n, err := c.File.Write(b)
	c.octets += int64(n)
	return n, err
}

func (a *Appending) tmp(it item) string {
	f := a.to.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	return filepath.Join(f.dir, "tmp", it.name)
}

// copyUnix copies a message with its lines ended by LF, and returns how long it is with CRLF, and
// whether its last line has no end.
func copyUnix(ctx context.Context, w fsys.File, r io.Reader, size int64) (octets int64, ragged bool, err error) {
	buf := make([]byte, min(size+1, blockOctets)+1)
	r = io.LimitReader(r, size+1)
	n, read := 0, int64(0)
	after := false // what was written ends in a CR
	for ended := false; !ended; {
		if err := ctx.Err(); err != nil {
			return octets, ragged, err
		}
		k, err := r.Read(buf[n:])
		read, n, ended = read+int64(k), n+k, err == io.EOF
		switch {
		case err != nil && !ended:
			return octets, ragged, err
		case read > size || ended && read < size:
			return octets, ragged, fmt.Errorf("the message has not the %d octets that were announced", size)
		case n < len(buf) && !ended:
			continue
		}
		whole := n
		if !ended && whole > 0 && buf[whole-1] == '\r' {
			whole-- // its LF may follow
		}
		if whole > 0 {
			part := bytes.ReplaceAll(buf[:whole], []byte("\r\n"), []byte("\n"))
			octets += int64(len(part) + bare(part, after))
			last := part[len(part)-1]
			after, ragged = last == '\r', last != '\n'
			if _, err := w.Write(part); err != nil {
				return octets, ragged, err
			}
		}
		n = copy(buf, buf[whole:n])
	}
	return octets, ragged, nil
}

// mayBear holds keywords to their bounds.
func (f *folder) mayBear(flags Flags) error {
	words := flags.Keywords()
	if len(words) > f.root.bounds().Keywords {
		return ErrTooMany
	}
	for _, w := range words {
		if !IsKeyword(w) {
			return ErrKeyword
		}
	}
	return nil
}

// Abort gives up what was not committed.
func (a *Appending) Abort() {
	root := a.to.folder.root
	for _, it := range a.items {
		if err := root.fs.Remove(a.tmp(it)); err != nil && !missing(err) {
			root.log.Warn("the rest of a message that was not appended stays", "err", err)
		}
	}
	a.end(false)
}

func (a *Appending) end(kept bool) {
	for _, give := range a.give {
		give(kept)
	}
	a.items, a.give = nil, nil
}

// Commit makes the messages part of the folder, and returns their UIDs in the order in which
// they were added, once they are durable. After an error none of them is.
func (a *Appending) Commit(ctx context.Context) ([]UID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := a.to.folder
	if err := f.user.mayAdd(len(a.items)); err != nil {
		return nil, err
	}
	places, err := a.link()
	if err == nil {
		err = f.root.dirs.Do(filepath.Join(f.where(), "cur"))
	}
	if err != nil {
		a.unlink(places)
		return nil, told(err)
	}
	f.mu.Lock()
	uids, err := f.adopt(a.items, places)
	f.mu.Unlock()
	if err == nil {
		err = f.sync()
	}
	if err != nil {
		a.unlink(places)
		return nil, told(err)
	}
	a.end(true)
	return uids, nil
}

func (f *folder) where() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dir
}

// link gives the messages their names in cur, which no other file has: each is new.
func (a *Appending) link() (places []place, err error) {
	f := a.to.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		return nil, f.ended
	}
	err = f.mine(func() error {
		for _, it := range a.items {
			p := place{f.keyword.name(it.name+":2,", it.flags), true}
			tmp := filepath.Join(f.dir, "tmp", it.name)
			// Not before: an old file in tmp is taken for one that somebody left there.
			if err := f.root.fs.Touch(tmp, it.date); err != nil {
				return err
			}
			if err := f.root.fs.Rename(tmp, f.path(p)); err != nil {
				return err
			}
			places = append(places, p)
		}
		return nil
	})
	return places, err
}

func (a *Appending) unlink(places []place) {
	f := a.to.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range places {
		if err := f.root.fs.Remove(f.path(p)); err != nil && !missing(err) {
			f.root.log.Warn("a message that was not appended stays", "file", f.path(p), "err", err)
		}
	}
}

// adopt gives messages that were just linked their UIDs. One that somebody who looked meanwhile
// has seen already has one.
func (f *folder) adopt(items []item, places []place) ([]UID, error) {
	b := f.book
	if f.ended != nil {
		return nil, f.ended
	}
	if err := f.journal.ensure(b.validity, b.next+UID(len(items)), b.modseq+1); err != nil {
		return nil, err
	}
	modseq := b.modseq + 1
	uids := make([]UID, len(items))
	var out []byte
	for i, it := range items {
		e := &entry{uid: b.next, file: places[i].file, inCur: true}
		if known := b.keys[it.name]; known != nil {
			c := *known
			e = &c
		}
		e.modseq, e.flags, e.date, e.size, e.ragged, e.octets, e.sum = modseq, it.flags, it.date, it.size, it.ragged, it.octets, it.sum
		e.origin = it.origin
		uids[i] = e.uid
		out = e.append(out)
		b.put(e)
	}
	b.modseq = modseq
	f.wake()
	return uids, f.note(out)
}
