package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"sallyport/internal/kit/codec"
	"sallyport/internal/kit/fsys"
	"sallyport/internal/message/structure"
)

// cacheFile keeps what was parsed of messages, so that it is read once. All of it can be read
// from the messages again: it is not synced, and what is damaged of it is parsed anew.
const cacheFile = "cache"

// kindParsed is the record of a parsed message.
const kindParsed = 'P'

// cache is the parsed messages of a folder.
type cache struct {
	fs fsys.FS

	mu    sync.Mutex
	dir   string // the index folder
	ready bool
	slept bool // the files were closed, and nothing else was forgotten
	at    map[UID]extent
	end   int64  // of the file and tail
	tail  []byte // what is not written yet, which ends at end
	write fsys.File
	read  fsys.Source

	ahead []byte // of the file, read at once, since messages are mostly asked for in their order
	from  int64  // where it begins
	used  bool   // since the last rest
}

// Bounds of what is held of the file in memory while messages are asked for.
const (
	tailOctets  = 64 << 10
	aheadOctets = 64 << 10
)

type extent struct {
	at   int64
	size int
}

// Structure returns what is told of a message: its envelope and its parts, with places that are
// those of Content. It is parsed once.
func (m *Mailbox) Structure(ctx context.Context, uid UID) (structure.Structure, error) {
	if s, ok, err := m.Parsed(uid); ok || err != nil {
		return s, err
	}
	c, err := m.Content(ctx, uid)
	if err != nil {
		return structure.Structure{}, err
	}
	defer c.Close()
	return c.Structure()
}

// Parsed returns what Structure does, if it is kept: no message is read.
func (m *Mailbox) Parsed(uid UID) (s structure.Structure, ok bool, err error) {
	return kept(m, uid, structure.Decode)
}

// Envelope returns the envelope of what Parsed does, for less.
func (m *Mailbox) Envelope(uid UID) (e structure.Envelope, ok bool, err error) {
	return kept(m, uid, structure.DecodeEnvelope)
}

// Subject returns the subject of what Parsed does, for less.
func (m *Mailbox) Subject(uid UID) (subject structure.Text, ok bool, err error) {
	return kept(m, uid, structure.DecodeSubject)
}

// kept returns what is kept of a message, as far as decode reads it.
func kept[T any](m *Mailbox, uid UID, decode func([]byte) (T, error)) (v T, ok bool, err error) {
	f := m.folder
	f.mu.Lock()
	there := f.book.entry(uid) != nil
	validity, count := f.book.validity, len(f.book.entries)
	f.mu.Unlock()
	if !there {
		return v, false, ErrGone
	}
	f.cache.get(validity, count, uid, func(record []byte) {
		v, err = decode(record)
		ok = err == nil
	})
	return v, ok, nil // what is damaged is not kept
}

// get has read what is kept of a message of a folder with so many; nothing, where nothing is.
func (c *cache) get(validity uint32, count int, uid UID, read func(record []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		c.open(validity, count)
	} else if c.slept {
		c.awake(validity, count)
	}
	e, ok := c.at[uid]
	if !ok || c.read == nil {
		return
	}
	b, ok := c.record(e)
	if !ok {
		return
	}
	n, whole := frame(b)
	if !whole {
		return
	}
	r := codec.NewReader(b[frameOver+1 : n])
	if UID(r.Number(anyUID)) == uid && !r.Failed() {
		read(r.Rest())
	}
}

// record returns the octets of a record, which are good until the lock is given away.
func (c *cache) record(e extent) ([]byte, bool) {
	c.used = true
	if at := e.at - (c.end - int64(len(c.tail))); at >= 0 {
		return c.tail[at : at+int64(e.size)], true
	}
	if at := e.at - c.from; at < 0 || at+int64(e.size) > int64(len(c.ahead)) {
		if want := max(e.size, aheadOctets); cap(c.ahead) < want {
			c.ahead = make([]byte, 0, want)
		}
		n, err := c.read.ReadAt(c.ahead[:cap(c.ahead)], e.at)
		if c.ahead, c.from = c.ahead[:n], e.at; err != nil && err != io.EOF || n < e.size {
			c.ahead = c.ahead[:0]
			return nil, false
		}
	}
	at := e.at - c.from
	return c.ahead[at : at+int64(e.size)], true
}

// rest lets go what nobody has used since the last time.
func (c *cache) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used {
		c.flush()
		c.ahead, c.tail = nil, nil
	}
	c.used = false
}

// sleep closes the files of a folder that rests.
func (c *cache) sleep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write != nil && c.read != nil {
		c.flush()
		c.slept = c.write != nil
		c.shut()
	}
}

// awake opens the files again. A file that is not as long as it was is another one.
func (c *cache) awake(validity uint32, count int) {
	c.slept = false
	name := filepath.Join(c.dir, cacheFile)
	var err error
	if c.write, err = c.fs.Extend(name); err == nil {
		c.read, err = c.fs.Open(name)
	}
	var size int64
	if err == nil {
		size, err = c.read.Size()
	}
	if err != nil || size != c.end {
		c.shut()
		c.open(validity, count)
	}
}

// flush writes the tail. What could not be written is parsed again.
func (c *cache) flush() {
	if len(c.tail) == 0 || c.write == nil {
		return
	}
	_, err := c.write.Write(c.tail)
	if c.tail = c.tail[:0]; err != nil {
		c.shut()
		c.at = nil
	}
}

// leastSpare is how many entries of messages that are gone a cache may keep, however few there are,
// before it is begun anew.
const leastSpare = 100

// open finds what is kept. A file of another UIDValidity, or mostly of messages that are gone,
// is begun anew.
func (c *cache) open(validity uint32, count int) {
	c.ready, c.at, c.end = true, map[UID]extent{}, 0
	name := filepath.Join(c.dir, cacheFile)
	if c.scan(name, validity) != nil || len(c.at) > 2*count+leastSpare {
		c.at, c.end = map[UID]extent{}, 0
		c.shut()
	}
	var err error
	if c.end == 0 {
		if c.write, err = c.fs.Create(name); err == nil {
			head := head{validity: validity}.append(nil)
			_, err = c.write.Write(head)
			c.end = int64(len(head))
		}
	} else {
		c.write, err = c.fs.Extend(name)
	}
	if err == nil && c.read == nil {
		c.read, err = c.fs.Open(name)
	}
	if err != nil {
		c.shut()
	}
}

var errStale = errors.New("what is kept is of another folder")

// scan reads a file in pieces and notes where each record lies.
func (c *cache) scan(name string, validity uint32) (err error) {
	if c.read, err = c.fs.Open(name); err != nil {
		return err
	}
	size, err := c.read.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, 0, 2*maxRecord)
	for at, first := int64(0), true; ; {
		n, err := c.read.ReadAt(buf[len(buf):cap(buf)], at+int64(len(buf)))
		if err != nil && err != io.EOF {
			return err
		}
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			n, ok := frame(rest)
			if !ok {
				break
			}
			if first {
				r := codec.NewReader(rest[frameOver+1 : n])
				if h, ok := readHead(&r); !ok || h.validity != validity {
					return errStale
				}
				first = false
			} else if r := codec.NewReader(rest[frameOver+1 : n]); rest[frameOver] == kindParsed {
				c.at[UID(r.Number(anyUID))] = extent{at, n}
			}
			rest, at = rest[n:], at+int64(n)
		}
		if len(rest) == len(buf) { // nothing whole is left
			if at != size {
				return errStale // a torn end: written again behind it, it could be read wrongly
			}
			c.end = at
			return nil
		}
		buf = append(buf[:0], rest...)
	}
}

// put keeps what was parsed of a message.
func (c *cache) put(uid UID, s structure.Structure) {
	record := appendFrame(nil, func(b []byte) []byte {
		return s.Append(binary.AppendUvarint(append(b, kindParsed), uint64(uid)))
	})
	if len(record) > maxRecord {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write == nil {
		return
	}
	c.at[uid] = extent{c.end, len(record)}
	c.end += int64(len(record))
	if c.tail = append(c.tail, record...); len(c.tail) >= tailOctets {
		c.flush()
	}
	c.used = true
}

// move follows a folder that is renamed.
func (c *cache) move(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dir = dir
}

// shut ends the use of the files.
func (c *cache) shut() {
	c.ahead, c.tail = nil, nil
	if c.write != nil {
		_ = c.write.Close() // what is lost of it is parsed again
	}
	if c.read != nil {
		_ = c.read.Close()
	}
	c.write, c.read = nil, nil
}

// close ends the use of the cache.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
	c.shut()
	c.at, c.ready = nil, true
}

// forget drops all that is kept.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
	c.at, c.ready = nil, false
	if err := c.fs.Remove(filepath.Join(c.dir, cacheFile)); err != nil {
		c.ready = missing(err) // one that can't be removed is not read either
	}
}
