package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func limit(n int) LineLimit { return func([]byte) int { return n } }

func readLines(src io.Reader, l LineLimit) (lines []string, err error) {
	var buffers Buffers
	lr := NewLineReader(src, &buffers)
	for {
		line, err := lr.ReadLine(l)
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}

func TestLineReader(t *testing.T) {
	for _, tt := range []struct {
		in, lines string
		err       error
	}{
		{"", "", io.EOF},
		{"a\r\nb\r\n", "a|b", io.EOF},
		{"\r\n\r\n", "|", io.EOF},
		{"a\r\nb", "a", io.ErrUnexpectedEOF},
		{"a\r\nb\r", "a", io.ErrUnexpectedEOF},
		{"a\nb\r\n", "", ErrBareLF},
		{"a\rb\r\n", "", ErrBareCR},
		{"a\r\r\n", "", ErrBareCR},
		{"ok\r\na\x00b\r\n", "ok", ErrNUL},
		{"a\x00\n", "", ErrNUL},
		{"12345678\r\n", "12345678", io.EOF},
		{"123456789\r\n", "", ErrLineTooLong},
		{"123456789", "", ErrLineTooLong},
		{"123456789\n", "", ErrLineTooLong},
	} {
		lines, err := readLines(strings.NewReader(tt.in), limit(10))
		if strings.Join(lines, "|") != tt.lines || !errors.Is(err, tt.err) {
			t.Errorf("%q: %q, %v; want %q, %v", tt.in, lines, err, tt.lines, tt.err)
		}
	}
}

// The limit may depend on how the line begins, and a limit beyond the large buffer
// does not make it grow.
func TestLineLimits(t *testing.T) {
	byVerb := func(start []byte) int {
		if bytes.HasPrefix(start, []byte("AUTH")) {
			return 12288
		}
		return 512
	}
	long := strings.Repeat("x", 12281)
	if lines, err := readLines(strings.NewReader("AUTH "+long+"\r\nNOOP\r\n"), byVerb); err != io.EOF || len(lines) != 2 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	for _, in := range []string{"AUTH " + long + "x\r\n", "NOOP " + strings.Repeat("x", 506) + "\r\n"} {
		if lines, err := readLines(strings.NewReader(in), byVerb); err != ErrLineTooLong || len(lines) != 0 {
			t.Errorf("%d octets: %d lines, %v", len(in), len(lines), err)
		}
	}
	if _, err := readLines(endless{}, limit(1<<30)); err != ErrLineTooLong {
		t.Errorf("an endless line: %v", err)
	}
}

// Between lines a reader holds its small buffer and nothing else.
func TestLineReaderReleases(t *testing.T) {
	var buffers Buffers
	lr := NewLineReader(strings.NewReader(strings.Repeat("x", 3000)+"\r\nNOOP\r\n"), &buffers)
	if _, err := lr.ReadLine(limit(4000)); err != nil || lr.large == nil {
		t.Fatalf("%v, large: %v", err, lr.large != nil)
	}
	lr.Release()
	if lr.Buffered() == 0 || lr.large == nil {
		t.Fatal("released with octets in it")
	}
	if line, err := lr.ReadLine(limit(10)); err != nil || string(line) != "NOOP" {
		t.Fatal(line, err)
	}
	lr.Release()
	if lr.large != nil || len(lr.buf) != SmallBufferOctets {
		t.Error("an idle reader keeps the large buffer")
	}
	if _, err := lr.ReadLine(limit(10)); err != io.EOF || len(lr.buf) != SmallBufferOctets {
		t.Errorf("%v, %d octets", err, len(lr.buf))
	}
	if lr.Close(); cap(lr.buf)+cap(lr.small) > 0 {
		t.Error("a reader that is closed keeps a buffer")
	}
}

// A failed read loses nothing that came before it: the caller may go on.
func TestLineReaderGoesOnAfterTimeout(t *testing.T) {
	timeout := errors.New("timeout")
	src := &cut{data: []byte("NO"), err: timeout}
	var buffers Buffers
	lr := NewLineReader(src, &buffers)
	if _, err := lr.ReadLine(limit(10)); err != timeout {
		t.Fatal(err)
	}
	src.data = []byte("OP\r\n")
	if line, err := lr.ReadLine(limit(10)); err != nil || string(line) != "NOOP" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestLineReaderResetForgets(t *testing.T) {
	var buffers Buffers
	lr := NewLineReader(strings.NewReader("STARTTLS\r\nRSET\r\n"), &buffers)
	if _, err := lr.ReadLine(limit(100)); err != nil {
		t.Fatal(err)
	}
	lr.Reset(strings.NewReader("EHLO x\r\n"))
	if line, err := lr.ReadLine(limit(100)); err != nil || string(line) != "EHLO x" {
		t.Errorf("%q, %v", line, err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestLineReaderGivesUpOnASourceThatReadsNothing(t *testing.T) {
	if _, err := readLines(stuck{}, limit(10)); err != io.ErrNoProgress {
		t.Error(err)
	}
}

// Lines and the first fault do not depend on how the octets were cut.
func TestLineReaderAtRandomCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := octets().Draw(t, "octets")
		sizes := rapid.SliceOf(rapid.IntRange(1, 9)).Draw(t, "sizes")
		whole, wantErr := readLines(bytes.NewReader(all), limit(50))
		lines, err := readLines(&cut{data: bytes.Clone(all), sizes: sizes, err: io.EOF}, limit(50))
		if err != wantErr || strings.Join(lines, "\r\n") != strings.Join(whole, "\r\n") {
			t.Fatalf("%q: %q, %v; in one piece %q, %v", all, lines, err, whole, wantErr)
		}
	})
}

// Text agrees with a naive look at the whole, at any cut.
func TestTextAtRandomCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := octets().Draw(t, "octets")
		var text Text
		var err error
		checked := 0
		for left := all; len(left) > 0 && err == nil; {
			n := rapid.IntRange(1, len(left)).Draw(t, "n")
			var good int
			good, err = text.Check(left[:n])
			checked += good
			left = left[n:]
		}
		if err == nil {
			err = text.End()
		}
		if (err == nil) != fits(all) {
			t.Fatalf("%q: %v", all, err)
		}
		if err == nil && text.AtLineStart() != (len(all) == 0 || bytes.HasSuffix(all, []byte("\r\n"))) {
			t.Fatalf("%q: AtLineStart is %v", all, text.AtLineStart())
		}
		if !fits(bytes.TrimSuffix(all[:checked], []byte("\r"))) {
			t.Fatalf("%q: %q was found fit", all, all[:checked])
		}
	})
}
