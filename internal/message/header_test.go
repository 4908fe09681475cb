package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

func newReader(raw []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(raw)) }

func TestFields(t *testing.T) {
	h := header(t, "Received: one\nSubject:  Hello\n\tthere \nreceived : two\nX-Empty:\nReceived: three\n\tand more\n")
	if h.Len() != 5 || h.Hops() != 3 || h.Subject() != "Hello\tthere" || h.MessageID() != "" || h.Count("x-empty") != 1 {
		t.Errorf("%d fields, %d hops, subject %q", h.Len(), h.Hops(), h.Subject())
	}
	var values, names []string
	for _, f := range h.Fields("RECEIVED") {
		values = append(values, f.Value)
	}
	if !slices.Equal(values, []string{"one", "two", "three\tand more"}) {
		t.Errorf("Received: %q", values)
	}
	h.All(func(f Field) bool {
		names = append(names, f.Name)
		return f.Name != "X-Empty"
	})
	if !slices.Equal(names, []string{"Received", "Subject", "received", "X-Empty"}) {
		t.Errorf("names %q", names)
	}
	if f := h.Fields("subject")[0]; string(f.Raw) != "Subject:  Hello\r\n\tthere \r\n" {
		t.Errorf("raw %q", f.Raw)
	}
	if (Header{}).Len() != 0 || (Header{}).Subject() != "" || (Header{}).Fault() != "" {
		t.Error("the zero Header has fields")
	}
	// U+017F folds to s for Unicode, and is no s.
	if h := header(t, "\u017fubject: x\n"); h.Count("Subject") != 0 || h.Fault() == "" {
		t.Error("a look-alike field name was taken for Subject")
	}
}

func TestHeaderEnds(t *testing.T) {
	for _, c := range []struct {
		what, raw string
		fields    int
		err       error
	}{
		{"an empty line", "A: 1\r\nB: 2\r\n\r\n", 2, nil},
		{"the end of the message", "A: 1\r\nB: 2\r\n", 2, nil},
		{"the end of the message within a line", "A: 1\r\nB: 2", 2, nil},
		{"nothing but an empty line", "\r\n", 0, nil},
		{"nothing", "", 0, nil},
		{"octets behind the empty line", "A: 1\r\n\r\nB: 2\r\n", 0, ErrLineEnding},
		{"a bare LF", "A: 1\nB: 2\r\n\r\n", 0, ErrLineEnding},
		{"a bare LF at the start", "\nB: 2\r\n\r\n", 0, ErrLineEnding},
		{"a bare CR", "A: 1\rB: 2\r\n\r\n", 0, ErrLineEnding},
		{"a CR too many", "A: 1\r\r\n\r\n", 0, ErrLineEnding},
		{"a CR at the end", "A: 1\r", 0, ErrLineEnding},
		{"a NUL", "A: \x00\r\n\r\n", 0, ErrLineEnding},
	} {
		h, err := ParseHeader([]byte(c.raw))
		if !errors.Is(err, c.err) || h.Len() != c.fields {
			t.Errorf("%s: %d fields, %v", c.what, h.Len(), err)
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	l := Limits{HeaderOctets: 100, Fields: 5}
	if _, err := l.Parse([]byte(strings.Repeat("A:\r\n", 5) + "\r\n")); err != nil {
		t.Error(err)
	}
	if _, err := l.Parse([]byte(strings.Repeat("A:\r\n", 6))); !errors.Is(err, ErrTooManyFields) {
		t.Errorf("six of five fields: %v", err)
	}
	if _, err := l.Parse([]byte("A: " + strings.Repeat("x", 93) + "\r\n\r\n")); err != nil {
		t.Errorf("100 of 100 octets: %v", err)
	}
	if _, err := l.Parse([]byte("A: " + strings.Repeat("x", 94) + "\r\n\r\n")); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("101 of 100 octets: %v", err)
	}
	if _, err := (Limits{}).Parse([]byte("A:\r\n")); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("limits that nobody set: %v", err)
	}
	for _, size := range []int{100, 101, 1 << 20, 8 << 20} {
		raw := "A: " + strings.Repeat("x", size-7) + "\r\n\r\nbody"
		_, rest, err := ReadHeader(strings.NewReader(raw), l)
		if size == 100 && (err != nil || string(rest) != "body") || size > 100 && !errors.Is(err, ErrHeaderTooLarge) {
			t.Errorf("%d of 100 octets: rest %q, %v", size, rest, err)
		}
	}
	// A header that never ends is not read to its end.
	endless := &countingReader{}
	if _, _, err := ReadHeader(endless, Limits{HeaderOctets: 1 << 20, Fields: 10}); !errors.Is(err, ErrHeaderTooLarge) || endless.n > 2<<20 {
		t.Errorf("an endless header: %d octets read, %v", endless.n, err)
	}
}

type countingReader struct{ n int }

func (r *countingReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	r.n += len(p)
	return len(p), nil
}

// A message is parted into header and body at the same octet however it arrives.
func TestReadHeaderPartsAtTheEmptyLine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		line := rapid.SampledFrom([]string{"A: 1\r\n", "B:\r\n", " folded\r\n", "Long: " + strings.Repeat("x", 5000) + "\r\n"})
		head := strings.Join(rapid.SliceOfN(line, 0, 6).Draw(r, "head"), "")
		body := rapid.SampledFrom([]string{"", "x", "\r\n", "\r\n\r\n", "text\r\n\r\nFrom: x\r\n", strings.Repeat("y", 20000)}).Draw(r, "body")
		var source io.Reader = strings.NewReader(head + "\r\n" + body)
		switch rapid.IntRange(0, 3).Draw(r, "arrival") {
		case 1:
			source = iotest.OneByteReader(source)
		case 2:
			source = iotest.HalfReader(source)
		case 3:
			source = iotest.DataErrReader(source)
		}
		h, rest, err := ReadHeader(source, DefaultLimits())
		if err != nil {
			r.Fatal(err)
		}
		after, err := io.ReadAll(source)
		if err != nil {
			r.Fatal(err)
		}
		if string(h.Raw()) != head+"\r\n" || string(rest)+string(after) != body {
			r.Fatalf("head %q, body %q and %q", h.Raw(), rest, after)
		}
	})
}

func TestReadHeaderPassesFaultsOn(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", "A: 1\r\n", "A: 1\r\n\r\nbody"} {
		r := iotest.DataErrReader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)))
		h, rest, err := ReadHeader(r, DefaultLimits())
		if err == nil {
			// The header was whole before the fault came: the body must not be.
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %q: %v, header %q, rest %q", before, err, h.Raw(), rest)
		}
	}
	if _, _, err := ReadHeader(strings.NewReader("A: 1\nB: 2\r\n\r\n"), DefaultLimits()); !errors.Is(err, ErrLineEnding) {
		t.Errorf("a bare LF: %v", err)
	}
}

// Whatever parses is kept to the octet, and read by net/mail with the same number
// of fields of a name, unless we said that it cannot be trusted.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"From: a@b.test\r\n\r\n", "A: 1\r\n b\r\n\tc\r\nB:2\r\n\r\n", " From: x\r\n\r\n", "From : x\r\n\r\n", "From\r\n : x\r\n\r\n",
		"A:1\r\n \r\nB:2\r\n", "\r\n", "", "A", "A:\r\n\r\n", "Return-Path: <>\r\nreturn-path\t: x\r\n\r\n",
		"Authentication-Results: (x) mx.local.test; dkim=pass\r\nAuthentication-Results\r\n : y\r\n\r\n"} {
		f.Add([]byte(s))
	}
	ours, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		f.Fatal(err)
	}
	rules := StripRules{Names: []string{"Return-Path"}, AuthServIDs: []mail.Domain{ours}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := ParseHeader(raw)
		if err != nil {
			return
		}
		var kept []byte
		h.All(func(f Field) bool {
			kept = append(kept, f.Raw...)
			return true
		})
		if tail, ok := bytes.CutPrefix(raw, kept); !ok || len(tail) != 0 && string(tail) != "\r\n" {
			t.Fatalf("%q became %q", raw, kept)
		}
		if !bytes.Equal(h.Without(nil, nil), raw) {
			t.Fatal("a header without changes changed")
		}
		spans := Strip(h, rules)
		again, err := ParseHeader(h.Without(nil, spans))
		if err != nil || again.Len() != h.Len()-len(spans) && h.Fault() == "" {
			t.Fatalf("%q stripped to %q: %v", raw, h.Without(nil, spans), err)
		}
		if h.Fault() != "" {
			return
		}
		if again.Count("Return-Path") != 0 || len(Strip(again, rules)) != 0 {
			t.Fatalf("%q was not stripped whole: %q", raw, again.Raw())
		}
		m, err := netmail.ReadMessage(bytes.NewReader(append(bytes.Clone(raw), "\r\n\r\n"...)))
		if err == nil && len(m.Header["From"]) != h.Count("From") {
			t.Fatalf("%q has %d From for net/mail, %d for us", raw, len(m.Header["From"]), h.Count("From"))
		}
	})
}
