package mailbox

import (
	"cmp"
	"maps"
	"slices"

	"sallyport/internal/kit/codec"
)

// book is what the index says of a folder: a value in memory, changed by whoever holds the lock
// of the folder.
type book struct {
	head
	entries []*entry // by UID
	keys    map[string]*entry
	gone    []vanished // by mod-sequence
	inNew   int        // entries whose file is in new
	octets  int64      // of the files whose length is known
	unknown int        // files whose length is not
	pass    int        // comparisons with the files
	ended   bool       // the last record is that of an orderly end
	sound   int        // records that were understood
}

func newBook() *book {
	return &book{head: head{next: 1, recent: 1, modseq: 1}, keys: map[string]*entry{}}
}

// find returns where a UID is in entries, or would be.
func (b *book) find(uid UID) (int, bool) {
	if n := len(b.entries); n == 0 || b.entries[n-1].uid < uid {
		return n, false // as for each that is read from an index
	}
	return slices.BinarySearchFunc(b.entries, uid, func(e *entry, uid UID) int { return cmp.Compare(e.uid, uid) })
}

func (b *book) entry(uid UID) *entry {
	if i, ok := b.find(uid); ok {
		return b.entries[i]
	}
	return nil
}

// deleted returns the messages that the next expunge removes.
func (b *book) deleted() (all []*entry) {
	for _, e := range b.entries {
		if e.flags.Has(Deleted) {
			all = append(all, e)
		}
	}
	return all
}

// put takes what is known of a message. The key is that of its file, unless another message has
// it: then the name tells them apart.
func (b *book) put(e *entry) {
	e.key = identity(e.file)
	if other := b.keys[e.key]; other != nil && other.uid != e.uid {
		e.key = e.file
	}
	i, ok := b.find(e.uid)
	switch {
	case ok:
		b.count(b.entries[i], -1)
		if b.keys[b.entries[i].key] == b.entries[i] {
			delete(b.keys, b.entries[i].key)
		}
		b.entries[i] = e
	case i == len(b.entries):
		b.entries = append(b.entries, e)
	default:
		b.entries = slices.Insert(b.entries, i, e)
	}
	b.keys[e.key] = e
	b.count(e, 1)
	b.next, b.modseq = max(b.next, e.uid+1), max(b.modseq, e.modseq)
}

// replace notes what else is known of a message, whose file is called as before.
func (b *book) replace(e *entry) {
	i, ok := b.find(e.uid)
	if !ok {
		return
	}
	b.count(b.entries[i], -1)
	b.count(e, 1)
	b.entries[i], b.keys[e.key] = e, e
}

// remove forgets messages, which vanished at a mod-sequence, and keeps at most bound UIDs of
// those that are gone.
func (b *book) remove(gone []vanished, bound int) {
	if len(gone) == 0 {
		return
	}
	for _, g := range gone {
		b.modseq = max(b.modseq, g.modseq)
		if e := b.entry(g.uid); e != nil {
			b.count(e, -1)
			if b.keys[e.key] == e {
				delete(b.keys, e.key)
			}
		}
	}
	b.drop(gone)
	b.gone = append(b.gone, gone...)
	if over := len(b.gone) - bound; over > bound/4 {
		b.goneSince = b.gone[over-1].modseq
		b.gone = slices.Clone(b.gone[over:])
	}
}

// count keeps what is known of all entries together.
func (b *book) count(e *entry, n int) {
	if !e.inCur {
		b.inNew += n
	}
	if e.octets < 0 {
		b.unknown += n
	}
	b.octets += int64(n) * max(e.octets, 0)
}

// fewGone is up to how many entries are taken out one by one.
const fewGone = 16

// drop takes entries out: a few one by one, since most of a long folder stays where it is.
func (b *book) drop(gone []vanished) {
	if len(gone) < fewGone {
		for _, g := range gone {
			if i, ok := b.find(g.uid); ok {
				b.entries = slices.Delete(b.entries, i, i+1)
			}
		}
		return
	}
	lost := make(map[UID]bool, len(gone))
	for _, g := range gone {
		lost[g.uid] = true
	}
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool { return lost[e.uid] })
}

// replay takes a record. What is not understood is told.
func (b *book) replay(record []byte, bound int) bool {
	r := codec.NewReader(record[1:])
	b.ended = false
	ok := false
	switch record[0] {
	case kindEntry:
		var e *entry
		if e, ok = readEntry(&r); ok {
			b.put(e)
		}
	case kindGone:
		var gone []vanished
		if gone, ok = readGone(&r); ok {
			b.remove(gone, bound)
		}
	case kindSize:
		e, size := b.entry(UID(r.Number(anyUID))), r.Number(anyModSeq)
		ragged := r.Left() > 0 && r.Octet() == placeRagged
		sum := uint32(0)
		if r.Left() > 0 { // an index of before it was kept has it not
			sum = uint32(r.Number(anyUID))
		}
		if ok = r.Done(); ok && e != nil {
			e.size, e.ragged, e.sum = int64(size), ragged, sum
		}
	case kindClaim:
		n := UID(r.Number(anyUID))
		if ok = r.Done(); ok {
			b.recent = max(b.recent, n)
		}
	case kindEnd:
		next, modseq := UID(r.Number(anyUID)), ModSeq(r.Number(anyModSeq))
		if ok = r.Done(); ok {
			b.next, b.modseq, b.ended = max(b.next, next), max(b.modseq, modseq), true
		}
	}
	if ok {
		b.sound++
	}
	return ok
}

// expect makes room for so many messages more.
func (b *book) expect(n int) {
	if n <= len(b.entries) {
		return
	}
	b.entries = slices.Grow(b.entries, n)
	keys := make(map[string]*entry, len(b.keys)+n)
	maps.Copy(keys, b.keys)
	b.keys = keys
}

// octetsOver is about how long the whole index is.
func (b *book) octetsOver() int {
	n := 1024 + 24*len(b.gone)
	for _, e := range b.entries {
		n += averageRecord/2 + len(e.file) + len(e.flags.words)
	}
	return n
}

// encode writes the whole index.
func (b *book) encode() []byte {
	out := b.head.append(make([]byte, 0, b.octetsOver()))
	for _, e := range b.entries {
		out = e.append(out)
	}
	out = appendGone(out, b.gone)
	return appendEnd(out, b.next, b.modseq)
}

// averageRecord is about how long the record of a message is.
const averageRecord = 80

// readBook reads an index: whole is false when its head or its end is missing, or anything
// within is damaged.
func readBook(text []byte, bound int) (b *book, whole bool) {
	b = newBook()
	b.keys = make(map[string]*entry, len(text)/averageRecord)
	b.entries = make([]*entry, 0, len(text)/averageRecord)
	first, fine := true, true
	damaged, torn := frames(text, func(record []byte) {
		if first {
			r := codec.NewReader(record[1:])
			if h, ok := readHead(&r); ok && record[0] == kindHead {
				b.head, first = h, false
				return
			}
		}
		fine = b.replay(record, bound) && fine
	})
	return b, fine && !first && damaged == 0 && torn == 0 && b.ended
}
