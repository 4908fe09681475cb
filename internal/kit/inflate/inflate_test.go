package inflate_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/flate"

	"sallyport/internal/kit/inflate"
)

func reader(r io.Reader) *inflate.Reader { return inflate.NewReader(bufio.NewReaderSize(r, 512)) }

// compressed writes texts, each flushed, at a level.
func compressed(t testing.TB, level int, texts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		_, err := w.Write(text)
		if err = errors.Join(err, w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts are such as repeat themselves near and far, and such as do not.
func texts() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var words bytes.Buffer
	for words.Len() < 200_000 {
		words.WriteString([]string{"FETCH ", "(FLAGS", " \\Seen", ")\r\n", "BODY", "[]", "<", "1.2.3", "\x00\xff"}[r.IntN(9)])
	}
	return [][]byte{nil, []byte("a"), []byte("3 NAMESPACE\r\n"), bytes.Repeat([]byte("x"), 70_000), noise, words.Bytes()}
}

// What a compressor of others makes comes out the same, however it arrives and is asked for.
func TestWhatOthersCompress(t *testing.T) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		all := texts()
		b, want := compressed(t, level, all...), bytes.Join(all, nil)
		for name, from := range map[string]io.Reader{"at once": bytes.NewReader(b), "by octets": iotest.OneByteReader(bytes.NewReader(b)), "by halves": iotest.HalfReader(bytes.NewReader(b))} {
			for by, r := range map[string]io.Reader{"much": reader(from)} {
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("level %d, %s, %s: %d octets of %d, %v", level, name, by, len(got), len(want), err)
				}
			}
		}
		if got, err := io.ReadAll(iotest.OneByteReader(reader(bytes.NewReader(b)))); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("level %d, asked by octets: %v", level, err)
		}
	}
}

// A command is said as soon as it has arrived, although the compressor flushed it partly: behind it
// there are bits of a block that is not whole. What zlib 1.2 makes at Z_PARTIAL_FLUSH.
func TestPartlyFlushed(t *testing.T) {
	for name, pieces := range map[string][]string{
		"tables or none": {"3256f073f4750d0e707476e5e50208", "2013640e40", "009922730002"},
		"fixed codes":    {"3256f073f4750d0e707476e5e50208", "2013640e40", "009922730002"},
		"stored":         {"000d00f2ff33204e414d4553504143450d0a02", "000d00f2ff34204e414d4553504143450d0a02", "000d00f2ff35204e414d4553504143450d0a02"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			r := reader(far)
			for i, piece := range pieces {
				b, err := hex.DecodeString(piece)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = near.Write(b) }()
				want := string(rune('3'+i)) + " NAMESPACE\r\n"
				got := make([]byte, len(want))
				if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
			}
		})
	}
}

// What is no stream is a fault, and so is one that is cut.
func TestWhatIsNoStream(t *testing.T) {
	for name, text := range map[string]string{
		"a kind of block that is none":   "\x07",
		"a length that is not its twin":  "\x01\x01\x00\x00\x00",
		"a reference before the stream":  "\x03\x02\x00",
		"more codes than are allowed":    "\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"lengths that begin with a copy": "\x05\x00\x02\x00\x00\x00\x00\x00\x00",
	} {
		if _, err := io.ReadAll(reader(strings.NewReader(text + strings.Repeat("\x00", 100)))); !errors.Is(err, inflate.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := compressed(t, 9, []byte("a text that is cut, a text that is cut"))
	for i := range len(whole) - 1 {
		if _, err := io.ReadAll(reader(bytes.NewReader(whole[:i]))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if r := reader(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(readErr(r), io.ErrClosedPipe) || !errors.Is(readErr(r), io.ErrClosedPipe) {
		t.Error("a fault of the connection is not told, or not again")
	}
}

func readErr(r io.Reader) error {
	_, err := r.Read(make([]byte, 1))
	return err
}

// Whatever comes, it is read as a library reads it, or both call it damaged.
func FuzzRead(f *testing.F) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		f.Add(compressed(f, level, []byte("a NOOP\r\n"), []byte(strings.Repeat("b FETCH 1:* (FLAGS)\r\n", 50))))
	}
	f.Add([]byte("\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 20
		got, err := io.ReadAll(io.LimitReader(reader(bytes.NewReader(b)), most))
		want, other := io.ReadAll(io.LimitReader(flate.NewReader(bufio.NewReader(bytes.NewReader(b))), most))
		if other == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%v, %d octets; the library reads %d", err, len(got), len(want))
		}
		if err == nil && other != nil && len(got) < most {
			t.Errorf("%d octets are read of what the library calls %v", len(got), other)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := texts()[5]
	c := compressed(b, 6, text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, reader(bytes.NewReader(c))); err != nil {
			b.Fatal(err)
		}
	}
}
