package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The stored form, octet by octet: it must never change.
func TestKnownAnswers(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 5, time.UTC)
	b := []byte{7}
	b = AppendText(b, "")
	b = AppendText(b, "Grüße")
	b = AppendText(b, strings.Repeat("x", 128))
	b = binary.AppendUvarint(b, 300)
	b = AppendTime(b, time.Time{})
	b = AppendTime(b, at)
	want := "0700" + "074772c3bcc39f65" + "8001" + strings.Repeat("78", 128) + "ac02" + "00" + "8a80b4fc82ed99ec31"
	if got := hex.EncodeToString(b); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	r := NewReader(b)
	if r.Octet() != 7 || r.Text() != "" || r.Text() != "Grüße" || len(r.Octets()) != 128 || r.Number(300) != 300 || !r.Time().IsZero() || !r.Time().Equal(at) || !r.Done() {
		t.Errorf("read otherwise, or not to the end: %+v", r)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, n := rapid.String().Draw(t, "text"), rapid.Uint64().Draw(t, "n")
		at := time.Unix(0, rapid.Int64().Draw(t, "at")).UTC()
		b := AppendTime(binary.AppendUvarint(AppendText(nil, text), n), at)
		r := NewReader(b)
		if got := string(r.Octets()); got != text {
			t.Fatalf("%q", got)
		}
		if got := r.Number(math.MaxUint64); got != n {
			t.Fatalf("%d", got)
		}
		if got := r.Time(); !got.Equal(at) && at.UnixNano() != 0 {
			t.Fatalf("%v, want %v", got, at)
		}
		if !r.Done() {
			t.Fatal("not done")
		}
		cut := NewReader(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")])
		cut.Text()
		cut.Number(math.MaxUint64)
		cut.Time()
		if !cut.Failed() || cut.Done() {
			t.Fatal("a record that was cut is whole")
		}
	})
}

func TestFaultsStick(t *testing.T) {
	for name, fault := range map[string]func(*Reader){
		"beyond the end":    func(r *Reader) { r.Take(6) },
		"less than nothing": func(r *Reader) { r.Take(-1) },
		"above the limit":   func(r *Reader) { r.Number(0) },
		"required":          func(r *Reader) { r.Require(false) },
	} {
		r := NewReader([]byte{1, 1, 1, 1, 1})
		fault(&r)
		r.Require(true)
		if !r.Failed() || r.Octet() != 0 || r.Take(0) != nil || r.Number(9) != 0 || r.Text() != "" || r.Octets() != nil || !r.Time().IsZero() || r.Rest() != nil || r.Done() {
			t.Errorf("%s: read on", name)
		}
	}
	for name, b := range map[string][]byte{
		"a number in two octets that takes one": {0x81, 0x00},
		"a number without end":                  {0x80},
		"a number beyond 64 bits":               {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
		"nothing":                               {},
	} {
		r := NewReader(b)
		if n := r.Number(math.MaxUint64); !r.Failed() || n != 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
	r := NewReader([]byte{5, 'a', 'b'})
	if s := r.Text(); s != "" || !r.Failed() {
		t.Errorf("a text longer than the record: %q", s)
	}
	r = NewReader([]byte("ab"))
	if r.Left() != 2 || r.Octet() != 'a' || r.Done() || string(r.Rest()) != "b" || !r.Done() {
		t.Error("what is left")
	}
}

func TestOctetsAreACopy(t *testing.T) {
	b := []byte{1, 'a'}
	r := NewReader(b)
	got := r.Octets()
	b[1] = 'b'
	if !bytes.Equal(got, []byte("a")) {
		t.Errorf("%q", got)
	}
}

func TestJSON(t *testing.T) {
	type stored struct {
		Version int    `json:"v"`
		Name    string `json:"name"`
	}
	var s stored
	if err := Decode([]byte(`{"v":1,"name":"x"}`), &s); err != nil || s != (stored{1, "x"}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, text := range []string{``, `{"v":1,"later":2}`, `{"v":1} {}`, `{"v":1}x`, `[]`, `{"v":`} {
		if err := Decode([]byte(text), &stored{}); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if Version(1, 1) != nil || Version(2, 1) == nil || Version(0, 1) == nil {
		t.Error("versions")
	}
	for _, n := range []uint64{0, 1, math.MaxUint64} {
		if got, err := DecodeRevision(EncodeRevision(n)); got != n || err != nil {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
	if string(EncodeRevision(42)) != "42" {
		t.Error("a revision is stored in decimal")
	}
	for _, text := range []string{"", "-1", "x", "18446744073709551616"} {
		if n, err := DecodeRevision([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}
