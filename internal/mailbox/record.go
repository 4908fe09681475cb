package mailbox

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"sallyport/internal/kit/codec"
)

// The index is written in frames: a mark, the length, a checksum, and the record. A frame that
// is damaged is stepped over, and what it held is all that is lost.
const (
	mark       = 0xA5
	frameOver  = 9
	maxRecord  = 1 << 20 // octets of one record of an index; what claims more is damaged
	maxName    = 1 << 12 // octets of the name of a file in one, with one more
	formatNow  = 1
	goneAtOnce = 50_000 // UIDs in one record
)

// The kinds of records.
const (
	kindHead  = 'H' // begins a file
	kindEntry = 'M' // a message as it is now
	kindGone  = 'G' // UIDs that vanished
	kindSize  = 'S' // how long a message is
	kindClaim = 'R' // up to which UID messages have been shown as recent
	kindEnd   = 'E' // the folder was closed in order; nothing follows
)

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendFrame writes the record that fill appends.
func appendFrame(b []byte, fill func([]byte) []byte) []byte {
	at := len(b)
	b = append(b, mark, 0, 0, 0, 0, 0, 0, 0, 0)
	b = fill(b)
	payload := b[at+frameOver:]
	binary.LittleEndian.PutUint32(b[at+1:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[at+5:], castagnoli(payload))
	return b
}

// frames calls do with each whole record of a file. It returns how many octets were not
// understood before the last record that was, and how many stand behind it: the latter is what
// a power cut leaves. A record of which one bit flipped is put right, and counts as an octet that
// was not understood.
func frames(b []byte, do func(record []byte)) (damaged, torn int) {
	for len(b) > 0 {
		n, ok := frame(b)
		if !ok && torn == 0 {
			if fixed, is := flipped(b); is {
				do(fixed[frameOver:])
				b, damaged = b[len(fixed):], damaged+1
				continue
			}
		}
		if ok {
			do(b[frameOver:n])
			b, damaged, torn = b[n:], damaged+torn, 0
			continue
		}
		b, torn = b[1:], torn+1
	}
	return damaged, torn
}

// mostFlipped bounds the record in which a bit is looked for that flipped.
const mostFlipped = 4 << 10

// flipped returns the frame that b begins with once one bit of it is put right; what a power cut
// leaves is no such.
func flipped(b []byte) (fixed []byte, ok bool) {
	try := func(bit, n int) bool {
		c := append([]byte(nil), b[:n]...)
		c[bit/8] ^= 1 << (bit % 8)
		m, is := frame(c)
		if ok = is && m == n; ok {
			fixed = c
		}
		return ok
	}
	if len(b) <= frameOver {
		return nil, false
	}
	size := binary.LittleEndian.Uint32(b[1:])
	for bit := range 32 {
		if n := uint64(size^1<<bit) + frameOver; n <= uint64(min(len(b), maxRecord)) && n > frameOver && try(8+bit, int(n)) {
			return fixed, true
		}
	}
	n := uint64(size) + frameOver
	if n > uint64(min(len(b), mostFlipped)) || n == frameOver {
		return nil, false
	}
	for bit := range int(n) * 8 {
		if (bit < 8 || bit >= 40) && try(bit, int(n)) {
			return fixed, true
		}
	}
	return nil, false
}

// frame returns the length of the frame that b begins with.
func frame(b []byte) (n int, ok bool) {
	if len(b) < frameOver+1 || b[0] != mark {
		return 0, false
	}
	size := binary.LittleEndian.Uint32(b[1:])
	if size == 0 || size > maxRecord || int(size) > len(b)-frameOver {
		return 0, false
	}
	n = frameOver + int(size)
	return n, castagnoli(b[frameOver:n]) == binary.LittleEndian.Uint32(b[5:])
}

// head begins the index and its journal. Those of one generation belong together.
type head struct {
	generation uint64
	validity   uint32
	next       UID
	modseq     ModSeq
	goneSince  ModSeq // what vanished up to it is forgotten
	recent     UID
}

func (h head) append(b []byte) []byte {
	return appendFrame(b, func(b []byte) []byte {
		b = append(b, kindHead, formatNow)
		for _, n := range []uint64{h.generation, uint64(h.validity), uint64(h.next), uint64(h.modseq), uint64(h.goneSince), uint64(h.recent)} {
			b = binary.AppendUvarint(b, n)
		}
		return b
	})
}

const (
	anyUID    = 1<<32 - 1
	anyModSeq = 1<<63 - 1 // RFC 7162 §3.1: 63 bits
)

func readHead(r *codec.Reader) (h head, ok bool) {
	r.Require(r.Octet() == formatNow)
	h.generation = r.Number(anyModSeq)
	h.validity = uint32(r.Number(anyUID))
	h.next = UID(r.Number(anyUID))
	h.modseq = ModSeq(r.Number(anyModSeq))
	h.goneSince = ModSeq(r.Number(anyModSeq))
	h.recent = UID(r.Number(anyUID))
	return h, r.Done() && h.validity > 0
}

// entry is what is known of a message.
type entry struct {
	uid    UID
	modseq ModSeq
	flags  Flags
	date   time.Time // zero until somebody asked
	size   int64     // with CRLF; -1 until somebody asked
	ragged bool      // its last line has no end; false as long as the size is not known
	octets int64     // of the file; -1 until somebody asked
	sum    uint32    // of the file; 0 until it was read
	origin EmailID   // where it was copied from first; zero: it came here
	file   string    // its name in the folder, within cur or new
	inCur  bool
	key    string // by which its file is known whatever others call it
	pass   int    // the comparison that met its file last
}

func (e *entry) append(b []byte) []byte {
	return appendFrame(b, func(b []byte) []byte {
		b = append(b, kindEntry)
		b = binary.AppendUvarint(b, uint64(e.uid))
		b = binary.AppendUvarint(b, uint64(e.modseq))
		b = codec.AppendTime(b, e.date)
		b = binary.AppendUvarint(b, uint64(e.size+1))
		place := byte(0)
		if e.inCur {
			place |= placeCur
		}
		if e.ragged {
			place |= placeRagged
		}
		b = append(b, place, byte(e.flags.System))
		b = codec.AppendText(b, e.flags.words)
		b = codec.AppendText(b, e.file)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.octets+1)), uint64(e.sum))
		if e.origin == (EmailID{}) {
			return b
		}
		return binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.origin.Validity)), uint64(e.origin.UID))
	})
}

// What the octet before the flags says.
const (
	placeCur = 1 << iota
	placeRagged
)

func readEntry(r *codec.Reader) (*entry, bool) {
	e := &entry{}
	e.uid = UID(r.Number(anyUID))
	e.modseq = ModSeq(r.Number(anyModSeq))
	e.date = r.Time()
	e.size = int64(r.Number(anyModSeq)) - 1
	place := r.Octet()
	e.inCur, e.ragged = place&placeCur != 0, place&placeRagged != 0
	e.flags.System = System(r.Octet())
	e.flags.words = r.Text()
	e.file, e.octets = r.Text(), -1
	if r.Left() > 0 { // an index of before it was kept has it not
		e.octets = int64(r.Number(anyModSeq)) - 1
	}
	if r.Left() > 0 { // the same
		e.sum = uint32(r.Number(anyUID))
	}
	if r.Left() > 0 { // of what was copied
		e.origin = EmailID{Validity: uint32(r.Number(anyUID)), UID: UID(r.Number(anyUID))}
	}
	return e, r.Done() && e.uid > 0 && e.file != "" && len(e.file) < maxName
}

// vanished is a UID whose message is gone.
type vanished struct {
	uid    UID
	modseq ModSeq
}

func appendGone(b []byte, gone []vanished) []byte {
	for len(gone) > 0 {
		n := min(len(gone), goneAtOnce)
		part := gone[:n]
		gone = gone[n:]
		b = appendFrame(b, func(b []byte) []byte {
			b = append(b, kindGone)
			b = binary.AppendUvarint(b, uint64(len(part)))
			for _, g := range part {
				b = binary.AppendUvarint(b, uint64(g.uid))
				b = binary.AppendUvarint(b, uint64(g.modseq))
			}
			return b
		})
	}
	return b
}

func readGone(r *codec.Reader) (gone []vanished, ok bool) {
	n := r.Number(uint64(r.Left()))
	for range n {
		gone = append(gone, vanished{UID(r.Number(anyUID)), ModSeq(r.Number(anyModSeq))})
	}
	return gone, r.Done()
}

func appendSize(b []byte, uid UID, size int64, ragged bool, sum uint32) []byte {
	return appendFrame(b, func(b []byte) []byte {
		b = binary.AppendUvarint(binary.AppendUvarint(append(b, kindSize), uint64(uid)), uint64(size))
		place := byte(0)
		if ragged {
			place = placeRagged
		}
		return binary.AppendUvarint(append(b, place), uint64(sum))
	})
}

func appendClaim(b []byte, uid UID) []byte {
	return appendFrame(b, func(b []byte) []byte { return binary.AppendUvarint(append(b, kindClaim), uint64(uid)) })
}

func appendEnd(b []byte, next UID, modseq ModSeq) []byte {
	return appendFrame(b, func(b []byte) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(append(b, kindEnd), uint64(next)), uint64(modseq))
	})
}

// promise stands in a file of its own: no UID and no mod-sequence from these on has been given.
type promise struct {
	validity uint32
	next     UID
	modseq   ModSeq
}

func (p promise) append(b []byte) []byte {
	return head{validity: p.validity, next: p.next, modseq: p.modseq}.append(b)
}

func readPromise(b []byte) (p promise, ok bool) {
	damaged, _ := frames(b, func(record []byte) {
		r := codec.NewReader(record[1:])
		if h, whole := readHead(&r); whole && record[0] == kindHead {
			p, ok = promise{h.validity, h.next, h.modseq}, true
		}
	})
	if damaged > 0 {
		return promise{}, false // it is written anew
	}
	return p, ok
}
