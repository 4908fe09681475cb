package chunks_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"

	"sallyport/internal/store/pebble/chunks"
)

const number = 7

// closed is a log of Pebble with records of many lengths, some of more than a block.
func closed(t testing.TB) (text []byte, records [][]byte) {
	t.Helper()
	var b bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 1))
	w := record.NewLogWriter(&b, number, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return true }})
	for i := range 60 {
		p := make([]byte, rnd.IntN(5000))
		if i%20 == 9 {
			p = make([]byte, 70_000)
		}
		for j := range p {
			p[j] = byte(rnd.Uint32())
		}
		p = append([]byte(fmt.Sprint(i)), p...)
		records = append(records, p)
		if _, err := w.WriteRecord(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), records
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestASoundLog(t *testing.T) {
	text, want := closed(t)
	l := chunks.Read(text, number, chunks.Ended)
	if !same(l.Records, want) || len(l.Breaks) > 0 || !l.Closed || !bytes.Equal(l.Text, text) {
		t.Fatalf("%d records of %d, breaks %v, closed %v", len(l.Records), len(want), l.Breaks, l.Closed)
	}
}

// Any one bit is found and put right, wherever it is.
func TestOneBit(t *testing.T) {
	text, want := closed(t)
	rnd := rand.New(rand.NewPCG(2, 2))
	for i := range 120 {
		bit := rnd.IntN(len(text) * 8)
		if i < 8*8 {
			bit = i // the first header, and some of its payload
		}
		c := bytes.Clone(text)
		c[bit/8] ^= 1 << (bit % 8)
		found := bytes.Clone(c)
		l := chunks.Read(c, number, chunks.Newest)
		if !same(l.Records, want) || !bytes.Equal(l.Text, text) || len(l.Breaks) != 1 || l.Lost() {
			t.Fatalf("bit %d: %d records of %d, breaks %v", bit, len(l.Records), len(want), l.Breaks)
		}
		if !bytes.Equal(c, found) {
			t.Fatalf("bit %d was put right in what was read, which is kept as it was found", bit)
		}
	}
}

// Where a sector is gone, only the records that it had a part of are.
func TestASector(t *testing.T) {
	text, want := closed(t)
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 25 {
		at := rnd.IntN(len(text)-600) / 512 * 512
		c := bytes.Clone(text)
		for i := range 512 {
			c[at+i] = byte(rnd.Uint32())
		}
		l := chunks.Read(c, number, chunks.Ended)
		if !l.Lost() || !l.Closed {
			t.Fatalf("at %d: breaks %v, closed %v", at, l.Breaks, l.Closed)
		}
		found := map[string]bool{}
		for _, r := range l.Records {
			found[string(r)] = true
		}
		missing, hit := 0, 0
		for i, r := range want {
			if !found[string(r)] {
				missing++
				if start, end := extent(want, i); start <= at+512+40*len(want) && end+40*len(want) >= at {
					hit++
				}
			}
		}
		if missing == 0 || missing != hit || missing > 12 {
			t.Fatalf("at %d: %d records missing, of which %d were near", at, missing, hit)
		}
	}
}

// extent is about where a record lies, headers left out.
func extent(all [][]byte, i int) (start, end int) {
	for _, r := range all[:i] {
		start += len(r)
	}
	return start, start + len(all[i])
}

// The end that a crash left is no rot, and what lies behind it is not taken.
func TestACrash(t *testing.T) {
	text, want := closed(t)
	for cut := 1; cut < len(text); cut += 997 {
		c := bytes.Clone(text[:cut])
		l := chunks.Read(c, number, chunks.Newest)
		if len(l.Breaks) > 0 || l.Lost() || l.Closed || !same(l.Records, want[:len(l.Records)]) {
			t.Fatalf("cut at %d: breaks %v, closed %v", cut, l.Breaks, l.Closed)
		}
		// A file that was of another log before.
		l = chunks.Read(append(c, text[cut:]...), number+2, chunks.Newest)
		if len(l.Records) > 0 || len(l.Breaks) > 0 {
			t.Fatalf("%d records of another log, breaks %v", len(l.Records), l.Breaks)
		}
	}
}

// The power goes while a log is closed: its trailer has come to the disk, and a part before it, that nobody was
// promised, has not. Nothing is damaged, and nothing behind the gap is taken.
func TestATrailerIsNoPromise(t *testing.T) {
	text, want := closed(t)
	for from := 0; from < len(text)-4096; from += 4096 {
		c := bytes.Clone(text)
		clear(c[from : from+4096])
		l := chunks.Read(c, number, chunks.Newest)
		if !l.Closed || len(l.Breaks) > 0 || len(l.Records) >= len(want) || !same(l.Records, want[:len(l.Records)]) || l.Sound > from {
			t.Fatalf("a gap at %d: %d records, breaks %v, sound up to %d, closed %v", from, len(l.Records), l.Breaks, l.Sound, l.Closed)
		}
		if l := chunks.Read(c, number, chunks.Ended); !l.Lost() {
			t.Fatalf("a gap at %d of a log that was synced is no damage", from)
		}
	}
}

// Chunks of a manifest, and of a log that was salvaged, bear no number.
func TestWithoutNumbers(t *testing.T) {
	_, want := closed(t)
	var b bytes.Buffer
	w := record.NewWriter(&b)
	for _, r := range want {
		if _, err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []chunks.Kind{chunks.Manifest, chunks.Newest, chunks.Ended} {
		rnd := rand.New(rand.NewPCG(4, uint64(kind)))
		for range 60 {
			c := bytes.Clone(b.Bytes())
			bit := rnd.IntN(len(c) * 8)
			c[bit/8] ^= 1 << (bit % 8)
			l := chunks.Read(c, number, kind)
			if !same(l.Records, want) || len(l.Breaks) != 1 || l.Lost() || !bytes.Equal(l.Text, b.Bytes()) {
				t.Fatalf("kind %d, bit %d: %d records, breaks %v", kind, bit, len(l.Records), l.Breaks)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	text, _ := closed(f)
	f.Add(text[:70_000], uint64(number), byte(1))
	f.Fuzz(func(t *testing.T, text []byte, n uint64, kind byte) {
		l := chunks.Read(text, n, chunks.Kind(kind%3))
		if l.Sound > len(text) || len(l.Text) != len(text) {
			t.Fatal(l.Sound)
		}
	})
}
