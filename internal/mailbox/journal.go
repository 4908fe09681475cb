package mailbox

import (
	"errors"
	"io"
	"path/filepath"
	"sync"

	"sallyport/internal/kit/codec"
	"sallyport/internal/kit/fsys"
	"sallyport/internal/nexthop/maildir"
)

// indexFolder is within each folder of a mailbox and holds its index. Its name begins with no
// dot, so that no program takes it for a folder of mail.
const indexFolder = maildir.IndexFolder

// The files of an index.
const (
	indexFile   = "index"   // everything, as it was when it was written
	journalFile = "journal" // what changed since
	promiseFile = "promise" // up to where UIDs and mod-sequences may have been given
	listFile    = "uids"    // a second copy of which file has which UID
)

// mode of every folder: mail is for its owner alone.
const mode = 0o700

// journal writes the index of a folder. Its methods but sync are called under the folder's
// lock.
type journal struct {
	fs      fsys.FS
	dir     string // the index folder
	reserve UID
	promise promise
	octets  int64 // of the journal
	basis   int64 // octets of the index
	ended   bool  // the last record is that of an orderly end
	made    bool  // the folder is there
	broken  bool  // something was not written: only a new index is true

	group *fsys.Group
	mu    sync.RWMutex // held while file is replaced, shared by those who sync it
	file  fsys.File
}

func newJournal(fs fsys.FS, dir string, reserve UID) *journal {
	j := &journal{fs: fs, dir: dir, reserve: reserve}
	j.group = fsys.NewGroup(func(string) error {
		j.mu.RLock()
		defer j.mu.RUnlock()
		if j.file == nil {
			return nil // it became part of a new index, which is synced
		}
		return j.file.Sync()
	})
	return j
}

// read returns a file of the index; nil if there is none.
func (j *journal) read(name string) ([]byte, error) {
	return readFile(j.fs, filepath.Join(j.dir, name))
}

func readFile(fs fsys.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// replaceFile writes a file durably in place of another.
func replaceFile(fs fsys.FS, name string, content []byte) error {
	tmp := name + ".tmp"
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(tmp, name); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}

// ensure promises that the UIDs and mod-sequences up to these may be given.
func (j *journal) ensure(validity uint32, next UID, modseq ModSeq) error {
	if j.promise.validity == validity && next <= j.promise.next && modseq <= j.promise.modseq {
		return nil
	}
	if err := j.make(); err != nil {
		return err
	}
	p := promise{validity, next + j.reserve, modseq + 10*ModSeq(j.reserve)}
	if err := replaceFile(j.fs, filepath.Join(j.dir, promiseFile), p.append(nil)); err != nil {
		return err
	}
	j.promise = p
	return nil
}

// write appends records. They are durable after sync.
func (j *journal) write(records []byte) error {
	if j.broken {
		return errBroken
	}
	err := j.open()
	if err == nil {
		_, err = j.file.Write(records)
	}
	j.broken = err != nil
	j.octets += int64(len(records))
	j.ended = false
	return err
}

// make makes the folder of the index.
func (j *journal) make() error {
	if j.made {
		return nil
	}
	if err := j.fs.MkdirAll(j.dir, mode); err != nil {
		return err
	}
	if err := j.fs.SyncDir(filepath.Dir(j.dir)); err != nil {
		return err
	}
	j.made = true
	return nil
}

var errBroken = errors.New("the index could not be written")

func (j *journal) open() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		j.file, err = j.fs.Extend(filepath.Join(j.dir, journalFile))
	}
	return err
}

// sync returns when all that was written is durable. After a failure a later one may succeed
// without having written anything, so that the caller must write a new index then.
func (j *journal) sync() error { return j.group.Do("") }

// full reports whether it is time to write a new index.
func (j *journal) full(least int64) bool { return j.broken || j.octets > max(least, j.basis) }

// renew writes a new index and begins a journal of its own. What is written is durable when it
// returns. The order matters: until the new index has its name, the old one and its journal
// are what counts; from then on the old journal is of another generation and is not read.
func (j *journal) renew(b *book) error {
	j.broken = true
	if err := j.make(); err != nil {
		return err
	}
	if err := j.ensure(b.validity, b.next, b.modseq); err != nil {
		return err
	}
	b.generation++
	text := b.encode()
	if err := replaceFile(j.fs, filepath.Join(j.dir, indexFile), text); err != nil {
		return err
	}
	octets := int64(len(text))
	if err := replaceFile(j.fs, filepath.Join(j.dir, listFile), b.list(text[:0])); err != nil {
		return err
	}
	begin := b.head.append(nil)
	if err := j.close(); err != nil {
		return err
	}
	if err := replaceFile(j.fs, filepath.Join(j.dir, journalFile), begin); err != nil {
		return err
	}
	j.octets, j.basis, j.broken, j.ended = int64(len(begin)), octets, false, false
	return nil
}

func (j *journal) close() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		err = j.file.Close()
		j.file = nil
	}
	return err
}

// end notes that nothing follows, so that the next who opens the folder knows that nothing is
// missing.
func (j *journal) end(b *book) error {
	if !j.ended && !j.broken {
		if err := j.write(appendEnd(nil, b.next, b.modseq)); err != nil {
			return errors.Join(err, j.close())
		}
		j.ended = true
	}
	return j.close()
}

// list appends the second copy of the UIDs: only what tells which file has which.
func (b *book) list(out []byte) []byte {
	out = b.head.append(out)
	for _, e := range b.entries {
		out = (&entry{
			uid: e.uid, modseq: e.modseq, date: e.date, size: e.size, ragged: e.ragged, octets: e.octets,
			sum: e.sum, origin: e.origin, file: e.file, inCur: e.inCur,
		}).append(out)
	}
	return appendEnd(out, b.next, b.modseq)
}

// loaded is an index as it was found.
type loaded struct {
	book *book
	// damage names what was lost of it, for people; empty when nothing was.
	damage []string
	// fresh: there was none at all.
	fresh bool
	// exact: the folder was closed in order, and nothing is missing.
	exact bool
}

// load reads the index of a folder and changes nothing. What remains of a damaged one counts
// as far as it is certain; validity is asked for what a folder gets whose UIDs are not.
func (j *journal) load(validity func() (uint32, error), bound int) (l loaded, err error) {
	text := map[string][]byte{}
	for _, name := range []string{indexFile, journalFile, promiseFile, listFile} {
		if text[name], err = j.read(name); err != nil {
			return loaded{}, err
		}
	}
	l.fresh = text[indexFile] == nil && text[journalFile] == nil && text[promiseFile] == nil && text[listFile] == nil
	if l.fresh {
		l.book = newBook()
		l.book.validity, err = validity()
		return l, err
	}
	promise, promised := readPromise(text[promiseFile])
	b, whole := readBook(text[indexFile], bound)
	if !whole {
		l.damage = append(l.damage, lost(indexFile, text[indexFile]))
		if second, _ := readBook(text[listFile], bound); second.validity != 0 && (b.validity == 0 || b.validity == second.validity) {
			b.adopt(second)
		}
	}
	followed := l.follow(b, text[journalFile], bound)
	inOrder := whole && followed
	l.book, l.exact = b, inOrder && promised
	j.promise, j.octets, j.basis, j.ended = promise, int64(len(text[journalFile])), int64(len(text[indexFile])), inOrder
	err = l.certain(promise, promised, inOrder, validity)
	if !promised {
		l.damage = append(l.damage, lost(promiseFile, text[promiseFile]))
	}
	return l, err
}

func lost(name string, text []byte) string {
	if text == nil {
		return indexFolder + "/" + name + " is missing"
	}
	return indexFolder + "/" + name + " is damaged"
}

// follow replays the journal, and reports whether it ended in order.
func (l *loaded) follow(b *book, text []byte, bound int) bool {
	if text == nil {
		l.damage = append(l.damage, lost(journalFile, nil))
		return false
	}
	first, belongs, fine := true, false, true
	damaged, torn := frames(text, func(record []byte) {
		if first {
			first = false
			r := codec.NewReader(record[1:])
			h, ok := readHead(&r)
			if b.validity == 0 && ok { // of the index nothing is left
				b.head = h
			}
			belongs = ok && record[0] == kindHead && h.generation == b.generation && h.validity == b.validity
			if belongs {
				b.ended = false
				return
			}
		}
		fine = !belongs || b.replay(record, bound) && fine
	})
	if damaged > 0 || !fine || first {
		l.damage = append(l.damage, lost(journalFile, text))
	}
	return belongs && fine && damaged == 0 && torn == 0 && b.ended
}

// certain settles what may be given next. After a crash or damage it is what was promised that
// counts, since what was given may be forgotten; where that is lost too, all UIDs are new.
func (l *loaded) certain(p promise, promised, inOrder bool, validity func() (uint32, error)) (err error) {
	b := l.book
	if len(l.damage) > 0 {
		b.gone, b.goneSince = nil, b.modseq
	}
	if inOrder {
		return nil
	}
	if !promised || b.validity != 0 && b.validity != p.validity {
		b.gone, b.goneSince = nil, b.modseq
		b.validity, err = validity()
		return err
	}
	b.validity = p.validity
	b.next, b.modseq = max(b.next, p.next), max(b.modseq, p.modseq)
	if len(l.damage) > 0 {
		b.goneSince = b.modseq
	}
	return nil
}

// adopt takes the UIDs of a second copy for files that are not known here.
func (b *book) adopt(second *book) {
	if b.validity == 0 {
		b.head = second.head
	}
	for _, e := range second.entries {
		if b.entry(e.uid) == nil && b.keys[identity(e.file)] == nil {
			b.put(e)
		}
	}
}
