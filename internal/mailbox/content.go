package mailbox

import (
	"bytes"
	"context"
	"io"
	"sort"
	"sync"

	"sallyport/internal/kit/fsys"
)

// Content is a message as IMAP and POP3 tell it: every line ends in CRLF, whatever it ends in on
// the disk. It is safe for concurrent use.
type Content struct {
	file  fsys.Source
	size  int64
	marks []mark64 // where each block of the file begins

	mu    sync.Mutex
	at    int // the block that is held, -1: none
	block []byte
}

// mark64 says where a block of the file begins in the message, and whether the octet before it
// is a CR.
type mark64 struct {
	at    int64
	after bool
}

// blockOctets is how much of a file is turned at once. A message of ordinary size is one block.
const blockOctets = 64 << 10

// Content opens a message. ErrGone: its file vanished.
func (m *Mailbox) Content(ctx context.Context, uid UID) (*Content, error) {
	file, err := m.source(ctx, uid)
	if err != nil {
		return nil, told(err)
	}
	c, err := newContent(ctx, file)
	if err != nil {
		_ = file.Close()
		return nil, told(err)
	}
	m.folder.learn(uid, c.size)
	return c, nil
}

// source opens the file of a message, whatever others call it by now.
func (m *Mailbox) source(ctx context.Context, uid UID) (fsys.Source, error) {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	for again := false; ; again = true {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f.ended != nil {
			return nil, f.ended
		}
		e := f.book.entry(uid)
		if e == nil {
			return nil, ErrGone
		}
		file, err := f.root.fs.Open(f.path(e.place()))
		if !missing(err) {
			return file, err
		}
		if again {
			return nil, ErrGone
		}
		if _, err := f.look(true); err != nil {
			return nil, err
		}
	}
}

// newContent reads the file once, to know how long the message is and where to find a place in
// it.
func newContent(ctx context.Context, file fsys.Source) (*Content, error) {
	c := &Content{file: file, at: -1}
	length, err := file.Size()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, min(length, blockOctets))
	after := false
	for at := int64(0); at < length; at += blockOctets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := buf[:min(length-at, blockOctets)]
		if _, err := file.ReadAt(part, at); err != nil && err != io.EOF {
			return nil, err
		}
		c.marks = append(c.marks, mark64{c.size, after})
		c.size += int64(len(part) + bare(part, after))
		after = part[len(part)-1] == '\r'
		if length <= blockOctets {
			c.at, c.block = 0, withCR(part, false)
		}
	}
	return c, nil
}

// bare counts the LF that stand behind no CR.
func bare(b []byte, after bool) (n int) {
	n = bytes.Count(b, []byte{'\n'}) - bytes.Count(b, []byte("\r\n"))
	if after && b[0] == '\n' {
		n--
	}
	return n
}

// withCR returns the octets with a CR before each LF that has none.
func withCR(b []byte, after bool) []byte {
	out := make([]byte, 0, len(b)+bare(b, after))
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		if i > 0 && b[i-1] != '\r' || i == 0 && !after {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		b, after = b[i+1:], false
	}
	return out
}

// Size returns the octets of the message, with CRLF.
func (c *Content) Size() int64 { return c.size }

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, at int64) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) && at < c.size && at >= 0 {
		i := sort.Search(len(c.marks), func(i int) bool { return c.marks[i].at > at }) - 1
		if err := c.hold(i); err != nil {
			return n, err
		}
		skip := at - c.marks[i].at
		if skip >= int64(len(c.block)) {
			return n, io.ErrUnexpectedEOF // the file became shorter
		}
		k := copy(p[n:], c.block[skip:])
		n, at = n+k, at+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (c *Content) hold(i int) error {
	if c.at == i {
		return nil
	}
	part := make([]byte, blockOctets)
	n, err := c.file.ReadAt(part, int64(i)*blockOctets)
	if err != nil && err != io.EOF {
		return err
	}
	c.at, c.block = i, withCR(part[:n], c.marks[i].after)
	return nil
}

// Close ends the use of the file.
func (c *Content) Close() error { return c.file.Close() }

// Size returns how long a message is, with CRLF. It is known for most; of others the file is
// read.
func (m *Mailbox) Size(ctx context.Context, uid UID) (int64, error) {
	f := m.folder
	f.mu.Lock()
	e := f.book.entry(uid)
	f.mu.Unlock()
	if e == nil {
		return 0, ErrGone
	}
	if e.size >= 0 {
		return e.size, nil
	}
	c, err := m.Content(ctx, uid)
	if err != nil {
		return 0, err
	}
	return c.Size(), c.Close()
}

// learn notes how long a message is. It need not be durable, since the file tells it again.
func (f *folder) learn(uid UID, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.book.find(uid)
	if !ok || f.book.entries[i].size == size || f.ended != nil {
		return
	}
	e := *f.book.entries[i]
	e.size = size
	f.book.entries[i], f.book.keys[e.key] = &e, &e
	_ = f.note(appendSize(nil, uid, size)) // what could not be written is told by the next who writes
}
