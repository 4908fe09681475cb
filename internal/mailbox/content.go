package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sort"
	"sync"

	"sallyport/internal/kit/fsys"
	"sallyport/internal/message/structure"
)

// Content is a message as IMAP and POP3 tell it: every line ends in CRLF, whatever it ends in on
// the disk. It is safe for concurrent use.
type Content struct {
	file   fsys.Source
	length int64 // of the file
	size   int64
	ragged bool   // the last line has no end
	sum    uint32 // of the file
	// altered: the file is not what it was when it was written or read first.
	altered bool
	marks   []mark64 // where each block of the file begins
	pieces  *pieces
	folder  *folder // nil: none knows of it
	uid     UID

	mu    sync.Mutex
	at    int // the block that is held, -1: none
	block []byte
}

// pieces lends out memory for blocks.
type pieces struct{ pool sync.Pool }

func (p *pieces) take() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, blockOctets+blockOctets/16)
}

// give takes memory back. Nobody may use it any more.
func (p *pieces) give(b []byte) {
	if cap(b) >= blockOctets {
		p.pool.Put(&b)
	}
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
		return nil, m.folder.unread(uid, err)
	}
	if c := m.again(uid, file); c != nil {
		return c, nil
	}
	c, err := newContent(ctx, file, &m.folder.root.pieces)
	if err != nil {
		_ = file.Close()
		return nil, m.folder.unread(uid, err)
	}
	c.folder, c.uid = m.folder, uid
	c.altered = m.folder.learn(uid, c)
	m.keep(c)
	return c, nil
}

// again opens the message that this session opened last, if its file is as long as it was: programs fetch a long message piece
// by piece, and to find each place it would be read from its begin. nil: it is another one.
func (m *Mailbox) again(uid UID, file fsys.Source) *Content {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.last
	if k == nil || k.uid != uid {
		return nil
	}
	if length, err := file.Size(); err != nil || length != k.length {
		return nil
	}
	return &Content{
		file: file, length: k.length, size: k.size, ragged: k.ragged, sum: k.sum, altered: k.altered, marks: k.marks, pieces: k.pieces,
		folder: k.folder, uid: uid, at: -1,
	}
}

// keep remembers where the blocks of a message begin that has several, and nothing else of it.
func (m *Mailbox) keep(c *Content) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = nil
	if len(c.marks) > 1 {
		m.last = &Content{length: c.length, size: c.size, ragged: c.ragged, sum: c.sum, altered: c.altered, marks: c.marks, pieces: c.pieces, folder: c.folder, uid: c.uid}
	}
}

// Structure parses the message, and keeps what it finds for Mailbox.Parsed.
func (c *Content) Structure() (structure.Structure, error) {
	s, err := structure.Parse(c, c.size)
	if err != nil {
		return s, told(unreadable(err))
	}
	if c.folder != nil {
		c.folder.cache.put(c.uid, s)
	}
	return s, nil
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
			return file, unreadable(err)
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
func newContent(ctx context.Context, file fsys.Source, p *pieces) (*Content, error) {
	c := &Content{file: file, at: -1, pieces: p}
	length, err := file.Size()
	if err != nil {
		return nil, unreadable(err)
	}
	c.length = length
	buf := p.take()
	defer func() { p.give(buf) }()
	buf = buf[:min(length, blockOctets)]
	after, all := false, sum{}
	for at := int64(0); at < length; at += blockOctets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := buf[:min(length-at, blockOctets)]
		if _, err := file.ReadAt(part, at); err != nil && err != io.EOF {
			return nil, unreadable(err)
		}
		all.add(part)
		c.marks = append(c.marks, mark64{c.size, after})
		c.ragged = part[len(part)-1] != '\n'
		if length <= blockOctets {
			c.at, c.block = 0, withCR(p.take(), part, false)
			c.size = int64(len(c.block))
			break
		}
		c.size += int64(len(part) + bare(part, after))
		after = part[len(part)-1] == '\r'
	}
	c.sum = all.value()
	return c, nil
}

// bare counts the LF that stand behind no CR.
func bare(b []byte, after bool) (n int) {
	n = bytes.Count(b, []byte{'\n'})
	if bytes.IndexByte(b, '\r') >= 0 {
		n -= bytes.Count(b, []byte("\r\n"))
	}
	if after && b[0] == '\n' {
		n--
	}
	return n
}

// withCR appends the octets with a CR before each LF that has none.
func withCR(out, b []byte, after bool) []byte {
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

// Altered reports whether the file is not what it was when it was written or read first: a disk that loses
// bits, or a program that writes into files that are there.
func (c *Content) Altered() bool { return c.altered }

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
	part := c.pieces.take()
	defer func() { c.pieces.give(part) }()
	part = part[:blockOctets]
	n, err := c.file.ReadAt(part, int64(i)*blockOctets)
	if err != nil && err != io.EOF {
		return unreadable(err)
	}
	if c.block == nil {
		c.block = c.pieces.take()
	}
	c.at, c.block = i, withCR(c.block[:0], part[:n], c.marks[i].after)
	return nil
}

// Close ends the use of the file. Nothing of the message can be read any more.
func (c *Content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces.give(c.block)
	c.at, c.block, c.size = -1, nil, 0
	return c.file.Close()
}

// Size returns how long a message is, with CRLF. It is known for most; of others the file is
// read.
func (m *Mailbox) Size(ctx context.Context, uid UID) (int64, error) {
	size, _, err := m.measure(ctx, uid)
	return size, err
}

func (m *Mailbox) measure(ctx context.Context, uid UID) (size int64, ragged bool, err error) {
	f := m.folder
	f.mu.Lock()
	e := f.book.entry(uid)
	f.mu.Unlock()
	if e == nil {
		return 0, false, ErrGone
	}
	if e.size >= 0 {
		return e.size, e.ragged, nil
	}
	c, err := m.Content(ctx, uid)
	if err != nil {
		return 0, false, err
	}
	size, ragged = c.size, c.ragged
	return size, ragged, c.Close()
}

// FileOf returns how the file of a message is called; "" if it is gone.
func (m *Mailbox) FileOf(uid UID) string {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.book.entry(uid); e != nil {
		return e.file
	}
	return ""
}

// Lines returns how long a message is when its last line is ended too, as protocols tell it that have
// no other form.
func (m *Mailbox) Lines(ctx context.Context, uid UID) (int64, error) {
	size, ragged, err := m.measure(ctx, uid)
	if ragged {
		size += int64(len("\r\n"))
	}
	return size, err
}

// unread is what a reader is told of a message that could not be opened. The log names one whose file cannot be
// read, once.
func (f *folder) unread(uid UID, err error) error {
	if !errors.Is(err, ErrUnreadable) {
		return told(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.book.entry(uid); e != nil && !f.altered[uid] {
		f.alter(uid)
		f.root.log.Warn("a message cannot be read", "file", f.path(e.place()), "err", err)
	}
	return told(err)
}

// alter notes that the log has named a message. The folder's lock is held.
func (f *folder) alter(uid UID) {
	if f.altered == nil {
		f.altered = map[UID]bool{}
	}
	f.altered[uid] = true
}

// lazyOctets is how much is gathered of what need not be durable before it is written.
const lazyOctets = 16 << 10

// learn notes how long a message is, and its checksum. It need not be durable, since the file tells
// it again: it is written when there is much of it, or with the next that must be. What the file
// was at first stays known, and altered says that it is something else; the log says so once.
func (f *folder) learn(uid UID, c *Content) (altered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.book.entry(uid)
	if known == nil || f.ended != nil {
		return false
	}
	e := *known
	altered = e.sum != 0 && e.sum != c.sum || e.size >= 0 && e.size != c.size
	if e.size, e.ragged = c.size, c.ragged; e.sum == 0 && !altered {
		e.sum = c.sum
	}
	if altered && !f.altered[uid] {
		f.alter(uid)
		f.root.log.Warn("a message is not what it was: its file has changed", "file", f.path(e.place()))
	}
	if e == *known {
		return altered
	}
	f.book.replace(&e)
	if f.lazy = appendSize(f.lazy, uid, e.size, e.ragged, e.sum); len(f.lazy) >= lazyOctets {
		_ = f.note(nil) // what could not be written is told by the next who writes
	}
	return altered
}
