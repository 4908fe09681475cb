package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const testLine = 200

// cut is a source that returns its octets in the pieces given, then err.
type cut struct {
	data  []byte
	sizes []int
	err   error
}

func (c *cut) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, c.err
	}
	n := min(len(p), len(c.data))
	if len(c.sizes) > 0 {
		n = min(n, max(c.sizes[0], 1))
		c.sizes = c.sizes[1:]
	}
	copy(p, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}

// oracle reads the message from the whole of the octets at once, by the words of
// RFC 5321 §4.5.2: lines end with CRLF; "." alone ends; another "." in front goes.
func oracle(all []byte, lineLimit int) (message, rest []byte, err error) {
	for {
		line, after, fault := oracleLine(all, lineLimit)
		if fault != nil {
			stuffed := bytes.HasPrefix(line, []byte("."))
			if stuffed {
				line = line[1:]
			}
			return append(message, line...), nil, fault
		}
		if string(line) == ".\r\n" {
			return message, after, io.EOF
		}
		message = append(message, bytes.TrimPrefix(line, []byte("."))...)
		all = after
	}
}

// oracleLine walks octet by octet.
func oracleLine(all []byte, limit int) (line, rest []byte, err error) {
	for i, c := range all {
		switch {
		case i > 0 && all[i-1] == '\r' && c != '\n':
			return all[:i-1], nil, ErrBareCR
		case c == '\n' && (i == 0 || all[i-1] != '\r'):
			return all[:i], nil, ErrBareLF
		case c == '\n' && i+1 > limit:
			return all[:i-1], nil, ErrLineTooLong
		case c == '\n':
			return all[:i+1], all[i+1:], nil
		case c == 0:
			return all[:i], nil, ErrNUL
		case c != '\r' && i+1 > limit:
			return all[:i], nil, ErrLineTooLong
		}
	}
	return bytes.TrimSuffix(all, []byte("\r")), nil, io.ErrUnexpectedEOF
}

func readData(src io.Reader, read func(*DataReader) ([]byte, error)) (message, rest []byte, err error) {
	var buffers Buffers
	lr := NewLineReader(src, &buffers)
	message, err = read(NewDataReader(lr, testLine))
	if err == io.EOF {
		rest = append(rest, lr.Peek()...)
		more, _ := io.ReadAll(src)
		rest = append(rest, more...)
	}
	return message, rest, err
}

func byNext(d *DataReader) (message []byte, err error) {
	for {
		p, err := d.Next()
		if err != nil {
			return message, err
		}
		message = append(message, p...)
	}
}

func byRead(size int) func(d *DataReader) ([]byte, error) {
	return func(d *DataReader) (message []byte, err error) {
		p := make([]byte, size)
		for {
			n, err := d.Read(p)
			message = append(message, p[:n]...)
			if err != nil {
				return message, err
			}
		}
	}
}

func TestDataReader(t *testing.T) {
	for _, tt := range []struct {
		in, message, rest string
		err               error
	}{
		{".\r\n", "", "", io.EOF},
		{"\r\n.\r\n", "\r\n", "", io.EOF},
		{"a\r\n.\r\nNOOP\r\n", "a\r\n", "NOOP\r\n", io.EOF},
		{"..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", "", io.EOF},
		{".a\r\n.\r\n", "a\r\n", "", io.EOF}, // the dot goes whatever follows
		{"a.\r\n.\r\n", "a.\r\n", "", io.EOF},
		{"a\r\n.\n", "a\r\n", "", ErrBareLF},
		{"a\n.\r\nMAIL\r\n.\r\n", "a", "", ErrBareLF},
		{"a\n.\r", "a", "", ErrBareLF},
		{"a\r.\n", "a", "", ErrBareCR},
		{"a\r.\r", "a", "", ErrBareCR},
		{"a\r\r\n.\r\r\n", "a", "", ErrBareCR},
		{"a\r\n.\r\r\n", "a\r\n", "", ErrBareCR},
		{"a\r\n.\x00\r\n", "a\r\n", "", ErrNUL},
		{"a\r\n.\t\r\n.\r\n", "a\r\n\t\r\n", "", io.EOF},
		{"a\x0b.\x0b\x0c.\x0c\u0085.\u2028\r\n.\r\n", "a\x0b.\x0b\x0c.\x0c\u0085.\u2028\r\n", "", io.EOF},
		{"a", "a", "", io.ErrUnexpectedEOF},
		{"a\r\n.", "a\r\n", "", io.ErrUnexpectedEOF},
		{"a\r\n.\r", "a\r\n", "", io.ErrUnexpectedEOF},
		{"", "", "", io.ErrUnexpectedEOF},
		{strings.Repeat("a", testLine-2) + "\r\n.\r\n", strings.Repeat("a", testLine-2) + "\r\n", "", io.EOF},
		{strings.Repeat("a", testLine+1) + "\r\n.\r\n", strings.Repeat("a", testLine), "", ErrLineTooLong},
	} {
		message, rest, err := readData(strings.NewReader(tt.in), byNext)
		if string(message) != tt.message || string(rest) != tt.rest || !errors.Is(err, tt.err) {
			t.Errorf("%q: %q, %q, %v; want %q, %q, %v", tt.in, message, rest, err, tt.message, tt.rest, tt.err)
		}
	}
}

// The end of data is found at every cut of the packets, and at every place in the
// buffer.
func TestDataReaderAtEveryCut(t *testing.T) {
	const end = "x\r\n..\r\n.\r\nRSET\r\n"
	for before := LargeBufferOctets - 20; before < LargeBufferOctets+20; before++ {
		body := strings.Repeat("y", 150) + "\r\n"
		body = strings.Repeat(body, before/len(body)+1)[len(body)-before%len(body):]
		for _, size := range []int{1, 7, 4096, LargeBufferOctets} {
			src := &cut{data: []byte(body + end), sizes: []int{before, size, size, size, size}, err: io.EOF}
			message, rest, err := readData(src, byNext)
			want, wantRest, wantErr := oracle([]byte(body+end), testLine)
			if err != wantErr || !bytes.Equal(message, want) || string(rest) != string(wantRest) {
				t.Fatalf("at %d by %d: %d octets, rest %q, %v", before, size, len(message), rest, err)
			}
		}
	}
}

// Nothing is returned behind an error, and a source's error is not hidden.
func TestDataReaderErrorsAreFinal(t *testing.T) {
	var buffers Buffers
	boom := errors.New("boom")
	for _, src := range []io.Reader{
		strings.NewReader("a\nb\r\n.\r\n"), strings.NewReader("a\r\n.\r\nb\r\n"), strings.NewReader("a"),
		io.MultiReader(strings.NewReader("a\r\n"), iotest.ErrReader(boom)), iotest.DataErrReader(strings.NewReader("a\x00")),
	} {
		d := NewDataReader(NewLineReader(src, &buffers), testLine)
		_, err := byNext(d)
		if err == nil {
			t.Fatal("no error")
		}
		for range 3 {
			if n, again := d.Read(make([]byte, 10)); n != 0 || again != err {
				t.Errorf("%v, then %d octets and %v", err, n, again)
			}
		}
	}
}

// octets draws text from what matters to framing.
func octets() *rapid.Generator[[]byte] {
	piece := rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", ".", ".", "\r\n.\r\n", "\r", "\n", "\x00", "a", "bc", "\x0b", "\u2028", strings.Repeat("z", 90)})
	return rapid.Map(rapid.SliceOfN(piece, 0, 40), func(s []string) []byte { return []byte(strings.Join(s, "")) })
}

// However the octets are cut, the message, its end and the first fault are those
// that an octet-by-octet reading of the whole gives.
func TestDataReaderIsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := octets().Draw(t, "octets")
		sizes := rapid.SliceOf(rapid.IntRange(1, 9)).Draw(t, "sizes")
		read := rapid.SampledFrom([]func(*DataReader) ([]byte, error){byNext, byRead(1), byRead(3), byRead(4096)}).Draw(t, "read")
		compareWithOracle(t, all, sizes, read)
	})
}

func compareWithOracle(t interface{ Fatalf(string, ...any) }, all []byte, sizes []int, read func(*DataReader) ([]byte, error)) {
	message, rest, err := readData(&cut{data: bytes.Clone(all), sizes: sizes, err: io.EOF}, read)
	want, wantRest, wantErr := oracle(all, testLine)
	if err != wantErr {
		t.Fatalf("%q: %v; want %v", all, err, wantErr)
	}
	if err == io.EOF && (!bytes.Equal(message, want) || !bytes.Equal(rest, wantRest)) {
		t.Fatalf("%q: %q and %q; want %q and %q", all, message, rest, want, wantRest)
	}
	if !bytes.HasPrefix(want, message) {
		t.Fatalf("%q: %q; want no more than %q", all, message, want)
	}
}

func FuzzDataReader(f *testing.F) {
	for _, s := range []string{
		".\r\n", "a\r\n.\r\nNOOP\r\n", "a\n.\r\n", "a\r.\r\n", "a\r\n.\r\r\n", "..\r\n.\r\n", ".\r", "a\x00\r\n.\r\n", "a\r\n.\nb\r\n.\r\n", "\r\n\r\n.\r\n.\r\n",
	} {
		f.Add([]byte(s), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, all, cuts []byte) {
		var sizes []int
		for _, c := range cuts {
			sizes = append(sizes, int(c))
		}
		compareWithOracle(t, all, sizes, byNext)
		compareWithOracle(t, all, sizes, byRead(2))
	})
}

// What a DataWriter wrote, a DataReader reads back, and behind it nothing is left;
// what can't be written so is refused and not ended.
func TestDataWriterReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := octets().Draw(t, "octets")
		sizes := rapid.SliceOf(rapid.IntRange(1, 9)).Draw(t, "sizes")
		writeAndReadBack(t, all, sizes)
	})
}

func writeAndReadBack(t interface{ Fatalf(string, ...any) }, all []byte, sizes []int) {
	var wire bytes.Buffer
	w := NewDataWriter(&wire)
	var err error
	for left := all; len(left) > 0 && err == nil; {
		n := len(left)
		if len(sizes) > 0 {
			n, sizes = min(n, max(sizes[0], 1)), sizes[1:]
		}
		_, err = w.Write(left[:n])
		left = left[n:]
	}
	closed := w.Close()
	if err != nil && closed == nil {
		t.Fatalf("%q was refused (%v) and ended", all, err)
	}
	if naive := fits(all); (closed == nil) != naive {
		t.Fatalf("%q: written: %v; fit to be: %v", all, closed, naive)
	}
	if closed != nil {
		if bytes.HasSuffix(wire.Bytes(), []byte("\r\n.\r\n")) && !bytes.HasSuffix(all, []byte("\r\n..\r\n")) && !bytes.Contains(all, []byte("\r\n.\r\n")) {
			t.Fatalf("%q was refused, but the wire holds a whole message: %q", all, wire.Bytes())
		}
		return
	}
	var buffers Buffers
	lr := NewLineReader(bytes.NewReader(wire.Bytes()), &buffers)
	message, end := byNext(NewDataReader(lr, 1<<20))
	want := all
	if len(want) > 0 && !bytes.HasSuffix(want, []byte("\r\n")) {
		want = append(bytes.Clone(want), "\r\n"...)
	}
	if end != io.EOF || !bytes.Equal(message, want) || lr.Buffered() != 0 {
		t.Fatalf("%q became %q (%v), %d left", all, message, end, lr.Buffered())
	}
}

// fits says naively whether a text holds no bare CR, bare LF or NUL.
func fits(all []byte) bool {
	rest := strings.ReplaceAll(string(all), "\r\n", "")
	return !strings.ContainsAny(rest, "\r\n\x00")
}

func FuzzDataWriter(f *testing.F) {
	for _, s := range []string{"", ".", "a", "\r\n.\r\n", "..", "a\r", "\n.", "a\x00", ".\r\n.", "a\r\n"} {
		f.Add([]byte(s), []byte{1, 5})
	}
	f.Fuzz(func(t *testing.T, all, cuts []byte) {
		var sizes []int
		for _, c := range cuts {
			sizes = append(sizes, int(c))
		}
		writeAndReadBack(t, all, sizes)
	})
}

func TestDataWriterIsOverAfterClose(t *testing.T) {
	var wire bytes.Buffer
	w := NewDataWriter(&wire)
	if err := w.Close(); err != nil || wire.String() != ".\r\n" {
		t.Fatalf("%q, %v", wire.String(), err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("written behind the end")
	}
	if err := w.Close(); err == nil {
		t.Error("ended twice")
	}
}

// A run of one message must not need memory in proportion to it.
func TestDataReaderHoldsOneBuffer(t *testing.T) {
	var buffers Buffers
	src := io.MultiReader(io.LimitReader(endless{}, 64<<20), strings.NewReader("\r\n.\r\n"))
	lr := NewLineReader(src, &buffers)
	d := NewDataReader(lr, 1<<40)
	var n int64
	for {
		p, err := d.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p) > LargeBufferOctets {
			t.Fatalf("a piece of %d octets", len(p))
		}
		n += int64(len(p))
	}
	if n != 64<<20+2 || len(lr.buf) != LargeBufferOctets {
		t.Errorf("%d octets through a buffer of %d", n, len(lr.buf))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func BenchmarkDataReader(b *testing.B) {
	line := strings.Repeat("x", 76) + "\r\n"
	message := []byte(strings.Repeat(line, 10<<10/len(line)) + ".\r\n")
	var buffers Buffers
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		lr := NewLineReader(bytes.NewReader(message), &buffers)
		d := NewDataReader(lr, 1000)
		for {
			if _, err := d.Next(); err != nil {
				break
			}
		}
		lr.Release()
	}
}
