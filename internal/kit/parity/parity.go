// Package parity repairs files that are written once where the disk has damaged them.
//
// Beside the file stands another, the guard: a checksum of each page of the file, and pages that
// are the sums of others. It promises that a file that Mend returns is octet for octet the one that
// was written, or says which pages are not; and that a guard that was cut short, or is damaged, is
// told from a good one.
//
// Pages are summed crosswise: of each stripe of 256 pages (1 MiB), every sixteenth page is in the
// same sum. So any damage of up to 64 KiB in one place of a stripe can be undone, and any of which
// no two pages share a sum.
package parity

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// Page is the unit that is judged and put right.
	Page = 4 << 10
	sums = 16 // of a stripe
	// stripe is how many pages are summed up together.
	stripe = 16 * sums
)

const magic = "sallyport guard 1"

// tailOctets is what ends a guard: the file's size, the checksum of that and of all checksums, and
// the magic.
const tailOctets = 8 + 4 + len(magic)

// ErrGuard means that a guard is cut short or damaged.
var ErrGuard = errors.New("parity: this is no whole guard")

// Writer makes the guard of a file while that is written from its beginning to its end.
type Writer struct {
	to  io.Writer
	err error

	page  []byte
	size  int64
	pages int      // of this stripe
	sums  []byte   // of this stripe
	of    []uint32 // checksums of the pages of the file, and of the sums
	added []uint32
}

// NewWriter returns a Writer that writes the guard to w. An error of w sticks, and is told by Close.
func NewWriter(w io.Writer) *Writer {
	return &Writer{to: w, page: make([]byte, 0, Page), sums: make([]byte, sums*Page)}
}

// Write takes a part of the file. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	w.size += int64(n)
	for len(p) > 0 {
		k := min(Page-len(w.page), len(p))
		w.page, p = append(w.page, p[:k]...), p[k:]
		if len(w.page) == Page {
			w.endPage()
		}
	}
	return n, nil
}

func (w *Writer) endPage() {
	w.of = append(w.of, sumOf(w.page))
	at := w.sums[w.pages%sums*Page:]
	subtle.XORBytes(at[:len(w.page)], at, w.page)
	w.page = w.page[:0]
	if w.pages++; w.pages == stripe {
		w.endStripe()
	}
}

func (w *Writer) endStripe() {
	for i := range min(w.pages, sums) {
		w.added = append(w.added, sumOf(w.sums[i*Page:(i+1)*Page]))
	}
	w.put(w.sums[:min(w.pages, sums)*Page])
	clear(w.sums)
	w.pages = 0
}

func (w *Writer) put(b []byte) {
	if w.err != nil {
		return
	}
	_, w.err = w.to.Write(b)
}

// Close ends the guard.
func (w *Writer) Close() error {
	if len(w.page) > 0 {
		w.endPage()
	}
	if w.pages > 0 {
		w.endStripe()
	}
	list := make([]byte, 0, 4*(len(w.of)+len(w.added)))
	for _, s := range append(w.of, w.added...) {
		list = binary.LittleEndian.AppendUint32(list, s)
	}
	list = binary.LittleEndian.AppendUint64(list, uint64(w.size))
	w.put(append(binary.LittleEndian.AppendUint32(list, sumOf(list)), magic...))
	return w.err
}

// Guard is a guard that was read.
type Guard struct {
	size  int64
	sums  []byte
	of    []byte // checksums of the pages of the file
	added []byte // of the sums
}

// Parse reads a guard. Its sums may be damaged, which their checksums tell; else it is whole.
func Parse(text []byte) (*Guard, error) {
	if len(text) < tailOctets || string(text[len(text)-len(magic):]) != magic {
		return nil, ErrGuard
	}
	tail := text[len(text)-tailOctets:]
	g := &Guard{size: int64(binary.LittleEndian.Uint64(tail))}
	whole := binary.LittleEndian.Uint32(tail[8:])
	pages := int((g.size + Page - 1) / Page)
	added := pages / stripe * sums
	added += min(pages%stripe, sums)
	if g.size < 0 || len(text) != added*Page+4*(pages+added)+tailOctets || sumOf(text[added*Page:len(text)-tailOctets+8]) != whole {
		return nil, ErrGuard
	}
	g.sums = text[:added*Page]
	g.of = text[added*Page:][:4*pages]
	g.added = text[added*Page+4*pages:][:4*added]
	return g, nil
}

// Whole reports whether nothing of the guard is damaged.
func (g *Guard) Whole() bool {
	for i := range len(g.added) / 4 {
		if sumOf(g.sums[i*Page:(i+1)*Page]) != binary.LittleEndian.Uint32(g.added[4*i:]) {
			return false
		}
	}
	return true
}

// Size is that of the file.
func (g *Guard) Size() int64 { return g.size }

// Bad returns the pages of a file that are not as they were written, by their numbers. at is the number
// of the first page in text, which ends at the end of a page or of the file.
func (g *Guard) Bad(at int, text []byte) (bad []int) {
	for ; len(text) > 0; at++ {
		n := min(Page, len(text))
		if 4*at+4 > len(g.of) || sumOf(text[:n]) != binary.LittleEndian.Uint32(g.of[4*at:]) {
			bad = append(bad, at)
		}
		text = text[n:]
	}
	return bad
}

// Mend puts a whole file right, in its place, and returns the pages that were bad, and those of them that
// still are. A file of another length than was written is first made as long as it was.
func (g *Guard) Mend(text []byte) (mended []byte, bad, left []int) {
	file := make([]byte, (g.size+Page-1)/Page*Page)
	copy(file[:g.size], text)
	bad = g.Bad(0, file[:g.size])
	isBad := map[int]bool{}
	for _, p := range bad {
		isBad[p] = true
	}
	for _, p := range bad {
		if !g.mendPage(file, p, isBad) {
			left = append(left, p)
		}
	}
	return file[:g.size], bad, left
}

// mendPage makes a page anew of the others that are in the same sum.
func (g *Guard) mendPage(file []byte, p int, isBad map[int]bool) bool {
	start := p / stripe * stripe
	sum := p/stripe*sums + p%stripe%sums
	page := append([]byte(nil), g.sums[sum*Page:(sum+1)*Page]...)
	for o := start + p%stripe%sums; o < min(start+stripe, len(g.of)/4); o += sums {
		if o == p {
			continue
		}
		if isBad[o] {
			return false
		}
		subtle.XORBytes(page, page, file[o*Page:(o+1)*Page])
	}
	length := min(int64(Page), g.size-int64(p)*Page)
	if sumOf(page[:length]) != binary.LittleEndian.Uint32(g.of[4*p:]) {
		return false
	}
	copy(file[p*Page:], page[:length])
	return true
}

func table() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func sumOf(b []byte) uint32 { return crc32.Checksum(b, table()) }
