package parity_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"sallyport/internal/kit/parity"
)

func made(t testing.TB, size int, seed uint64) (file, guard []byte) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	file = make([]byte, size)
	for i := range file {
		file[i] = byte(rnd.Uint32())
	}
	var b bytes.Buffer
	w := parity.NewWriter(&b)
	for rest := file; len(rest) > 0; {
		n := min(1+rnd.IntN(9000), len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file, b.Bytes()
}

func sizes() []int {
	return []int{0, 1, 4095, 4096, 4097, 60_000, 65_536, 65_537, 1 << 20, 1<<20 + 1, 2_500_000}
}

// One bit anywhere, a burst of 60 KB, and a file that was cut: all of it comes back.
func TestMend(t *testing.T) {
	for _, size := range sizes() {
		file, guard := made(t, size, uint64(size))
		g, err := parity.Parse(guard)
		if err != nil || g.Size() != int64(size) {
			t.Fatalf("%d: %v", size, err)
		}
		rnd := rand.New(rand.NewPCG(9, uint64(size)))
		mended, bad, left := g.Mend(file)
		if !bytes.Equal(mended, file) || len(bad)+len(left) > 0 {
			t.Fatalf("%d: a sound file: %v %v", size, bad, left)
		}
		for i := range 9 {
			if size == 0 {
				break
			}
			c := bytes.Clone(file)
			at := rnd.IntN(size)
			switch i % 3 {
			case 0:
				c[at] ^= 1 << rnd.IntN(8)
			case 1:
				for j := range min(60_000, size-at) {
					c[at+j] ^= byte(1 + rnd.IntN(255))
				}
			case 2:
				c = c[:max(size-min(at+1, 60_000), 0)]
			}
			mended, bad, left := g.Mend(c)
			if !bytes.Equal(mended, file) || len(bad) == 0 || len(left) > 0 {
				t.Fatalf("size %d, way %d, at %d: bad %v, left %v", size, i%3, at, bad, left)
			}
		}
	}
}

// What cannot be mended is named, and nothing else is changed.
func TestTooMuch(t *testing.T) {
	file, guard := made(t, 2_500_000, 5)
	g, err := parity.Parse(guard)
	if err != nil {
		t.Fatal(err)
	}
	c := bytes.Clone(file)
	c[3*parity.Page] ^= 1
	c[19*parity.Page] ^= 1 // in the same sum
	c[300*parity.Page] ^= 1
	mended, bad, left := g.Mend(c)
	if len(bad) != 3 || len(left) != 2 || left[0] != 3 || left[1] != 19 {
		t.Fatalf("bad %v, left %v", bad, left)
	}
	mended[3*parity.Page] ^= 1
	mended[19*parity.Page] ^= 1
	if !bytes.Equal(mended, file) {
		t.Fatal("something else was changed")
	}
}

// A guard of which a bit flipped, or that was cut short, is known as such, and makes nothing worse.
func TestABadGuard(t *testing.T) {
	file, guard := made(t, 60_000, 6)
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		c := bytes.Clone(guard)
		if at := rnd.IntN(len(c)); at%2 == 0 {
			c[at] ^= 1 << rnd.IntN(8)
		} else {
			c = c[:at]
		}
		g, err := parity.Parse(c)
		if err != nil {
			continue
		}
		if g.Whole() {
			t.Fatal("a bad guard was taken for a good one")
		}
		if mended, bad, _ := g.Mend(file); len(bad) > 0 || !bytes.Equal(mended, file) {
			t.Fatal("a sound file was changed")
		}
	}
}

func FuzzParse(f *testing.F) {
	_, guard := made(f, 9000, 8)
	f.Add(guard, []byte("text"))
	f.Fuzz(func(t *testing.T, guard, text []byte) {
		g, err := parity.Parse(guard)
		if err != nil || g.Size() > 1<<24 {
			return
		}
		mended, _, _ := g.Mend(text)
		if int64(len(mended)) != g.Size() {
			t.Fatal(len(mended))
		}
	})
}
