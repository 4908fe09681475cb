package mbox

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func readAll(t testing.TB, text string, form Form) (all []Message) {
	t.Helper()
	r := NewReader(strings.NewReader(text), int64(len(text)), form, 1<<20, time.UTC)
	for {
		m, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func TestMessagesAreRead(t *testing.T) {
	const date = "From x@y.test Sun Nov 29 15:04:05 2026\n"
	for name, c := range map[string]struct {
		form Form
		text string
		want []string
	}{
		"empty":            {Any, "", nil},
		"two":              {Any, date + "Subject: a\n\nb\n\n" + date + "Subject: c\n\nd\n", []string{"Subject: a\n\nb\n", "Subject: c\n\nd\n"}},
		"CRLF":             {Any, strings.ReplaceAll(date+"Subject: a\n\nb\n\n"+date+"Subject: c\n\nd\n\n", "\n", "\r\n"), []string{"Subject: a\r\n\r\nb\r\n", "Subject: c\r\n\r\nd\r\n"}},
		"no body":          {Any, date + "Subject: a\n" + date + "Subject: c\n\n" + date + "Subject: e\n\n\n", []string{"Subject: a\n", "Subject: c\n", "Subject: e\n\n"}},
		"no end":           {Any, date + "Subject: a\n\nb", []string{"Subject: a\n\nb"}},
		"not a separator":  {Any, date + "Subject: a\n\nb\n\nFrom here on\nFrom x Sun Nov 29 15:04:05 2026\n\nc\n", []string{"Subject: a\n\nb\n\nFrom here on\nFrom x Sun Nov 29 15:04:05 2026\n\nc\n"}},
		"mboxrd":           {RD, date + "\n>From a\n>>From b\n>Fro\n", []string{"\nFrom a\n>From b\n>Fro\n"}},
		"mboxo":            {O, date + "\n>From a\n>>From b\n", []string{"\nFrom a\n>>From b\n"}},
		"mboxcl":           {CL, date + "Content-Length: 14\n\n>From a\nb\n\ncd\n\n" + date + "\nx\n", []string{"\nFrom a\nb\n\ncd\n", "\nx\n"}},
		"length":           {Any, date + "Content-Length: 50\n\na\n\n" + date + ">From b\n\n" + date + "\nx\n", []string{"\na\n\n" + date + ">From b\n", "\nx\n"}},
		"length, no LF":    {Any, date + "Content-Length: 3\n\nabc\n" + date + "\nx\n", []string{"\nabc", "\nx\n"}},
		"length that lies": {Any, date + "Content-Length: 5\n\na\n\n" + date + "\nx\n", []string{"\na\n", "\nx\n"}},
		"long":             {Any, date + "Subject: a\n\n" + strings.Repeat("x", 200000) + "\n\n" + date + "\nb\n", []string{"Subject: a\n\n" + strings.Repeat("x", 200000) + "\n", "\nb\n"}},
		"notes":            {Any, date + "Status: RO\nSubject: a\nX-Keywords: k\n l\nX-UID: 7\nTo: b\n\nStatus: O\n", []string{"Subject: a\nTo: b\n\nStatus: O\n"}},
	} {
		var got []string
		for _, m := range readAll(t, c.text, c.form) {
			got = append(got, string(m.Octets))
			if m.Date.Unix() != 1795964645 && name != "notes" {
				t.Errorf("%s: date %v", name, m.Date)
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
	}
	if r := NewReader(strings.NewReader("Subject: x\n"), 11, Any, 1<<20, time.UTC); true {
		if _, err := r.Next(); err != ErrNone {
			t.Errorf("what is no mbox: %v", err)
		}
	}
}

func TestWhatProgramsNoteIsRead(t *testing.T) {
	const date = "From x@y.test Sun Nov 29 15:04:05 2026\n"
	for text, want := range map[string]Notes{
		"Status: RO\nX-Status: AFTD\nX-Keywords: a $b\n": {Seen: true, Answered: true, Flagged: true, Draft: true, Deleted: true, Keywords: []string{"a", "$b"}},
		"Status: O\n": {},
		"X-Mozilla-Status: 1007\nX-Mozilla-Keys: $label1   \n":         {Seen: true, Answered: true, Flagged: true, Forwarded: true, Keywords: []string{"$label1"}},
		"X-Mozilla-Status: 0009\n":                                     {Seen: true, Expunged: true},
		"X-Keywords: a\n b\nX-Mozilla-Status: no\nX-Status: unknown\n": {Keywords: []string{"a", "b"}},
	} {
		all := readAll(t, date+text+"\nx\n", Any)
		if len(all) != 1 || !reflect.DeepEqual(all[0].Notes, want) && fmt.Sprint(all[0].Notes) != fmt.Sprint(want) {
			t.Errorf("%q: %+v", text, all)
		}
	}
	all := readAll(t, date+"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n"+date+"\ny\n", Any)
	if len(all) != 2 || !all[0].Internal || all[1].Internal {
		t.Errorf("%+v", all)
	}
}

func TestDatesAreRead(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for line, want := range map[string]string{
		"From a@b Sun Nov 29 15:04:05 2026":           "2026-11-29T15:04:05+01:00",
		"From a@b Sun Nov  1 15:04 2026":              "2026-11-01T15:04:00+01:00",
		"From a@b Sun Nov 29 15:04:05 2026 +0000":     "2026-11-29T15:04:05Z",
		"From a@b Sun Nov 29 15:04:05 -0500 2026":     "2026-11-29T15:04:05-05:00",
		"From a@b Sun Nov 29 15:04:05 GMT 2026":       "2026-11-29T15:04:05Z",
		"From - Sun Nov 29 15:04:05 2026":             "2026-11-29T15:04:05+01:00",
		"From Sun Nov 1 x y Sun Nov 29 15:04:05 2026": "2026-11-29T15:04:05+01:00",
		"From a@b":                          "",
		"From me to you, with a word":       "",
		"From a@b Sun Nov 40 15:04:05 2026": "",
	} {
		got, ok := lineDate([]byte(line), zone)
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %q", line, got, ok, want)
		}
	}
}

// What is written is read again, to the octet, with all that was noted.
func TestWhatIsWrittenIsRead(t *testing.T) {
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	messages := []string{
		"Subject: a\n\nbody\n", "Subject: a\n\n", "Subject: a\n", "\nno header\n", "Subject: b\n\nFrom me\n>From you\n>>From us\n\nFrom x Sun Nov 29 15:04:05 2026\n\n",
		"Subject: c\n\n\n\n\n", "Subject: d\n\nFrom x Sun Nov 29 15:04:05 2026\nContent-Length: 5\n",
	}
	notes := []Notes{{}, {Seen: true}, {Answered: true, Keywords: []string{"$Junk", "x"}}, {Flagged: true, Draft: true, Deleted: true}}
	for _, form := range []Form{RD, CL2} {
		var out bytes.Buffer
		w := NewWriter(&out, form)
		for i, m := range messages {
			if err := w.Write([]byte(m), at, notes[i%len(notes)]); err != nil {
				t.Fatal(err)
			}
		}
		read := form
		if form == CL2 {
			read = Any
		}
		all := readAll(t, out.String(), read)
		if len(all) != len(messages) {
			t.Fatalf("form %d: %d messages of %d\n%s", form, len(all), len(messages), out.String())
		}
		for i, m := range all {
			if string(m.Octets) != messages[i] || !m.Date.Equal(at) || fmt.Sprint(m.Notes) != fmt.Sprint(notes[i%len(notes)]) {
				t.Errorf("form %d: %q %v %+v\nwas %q", form, m.Octets, m.Date, m.Notes, messages[i])
			}
		}
	}
}

// A message is one, whatever its sender wrote: where the next begins, that it was removed, or a line
// in its header that looks like the beginning of another. Whoever reads what was written must not find
// a message that never came.
func TestNobodyWritesAnothersMessage(t *testing.T) {
	const forged = "From bank@x.test Sun Nov 29 15:04:05 2026\nFrom: bank@x.test\n\npay\n"
	const before = "Subject: a\nContent-Length: %d\n\nx\n\n"
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	messages := []string{
		"Subject: a\n" + forged,
		"Subject: a\n>" + forged,
		"Subject: a\nStatus: RO\nX-Status: D\n folded\nX-Mozilla-Status: 0009\nX-Keywords: k\n\nx\n",
		"X-Mozilla-Status: 0009\nSubject: a\n\nx\n",
	}
	for n := range 8 {
		messages = append(messages, fmt.Sprintf(before, n)+forged)
	}
	for _, form := range []Form{RD, CL2} {
		for _, m := range messages {
			var out bytes.Buffer
			for range 2 {
				if err := NewWriter(&out, form).Write([]byte(m), at, Notes{}); err != nil {
					t.Fatal(err)
				}
			}
			for _, read := range []Form{Any, form} {
				all := readAll(t, out.String(), read)
				if len(all) != 2 || fmt.Sprint(all[0].Notes) != fmt.Sprint(Notes{}) {
					t.Errorf("form %d read as %d: %q became %d messages: %+v", form, read, m, len(all), all)
				}
			}
			if all := readAll(t, out.String(), form); len(all) == 2 && !strings.Contains(m, "Status") && !strings.Contains(m, "Length") && string(all[1].Octets) != m {
				t.Errorf("form %d: %q became %q", form, m, all[1].Octets)
			}
		}
	}
	// The same of files that others wrote, as far as they quote.
	const date = "From x@y.test Sun Nov 29 15:04:05 2026\n"
	for n := range 40 {
		text := date + fmt.Sprintf(before, n) + ">" + forged
		if all := readAll(t, text, Any); len(all) != 1 {
			t.Errorf("Content-Length %d: %d messages", n, len(all))
		}
	}
	if all := readAll(t, date+"Subject: a\nX-Mozilla-Status: 0009\n\nx\n", Any); len(all) != 1 || all[0].Notes.Expunged {
		t.Errorf("a message hides itself: %+v", all)
	}
}

// Whatever date a message has, the next one begins where it does.
func TestADateIsOfFourDigits(t *testing.T) {
	for _, at := range []time.Time{time.Unix(-1<<40, 0), time.Unix(1<<40, 0), {}, time.Unix(-1<<33, 0), time.Unix(1<<33, 0)} {
		var out bytes.Buffer
		for range 2 {
			if err := NewWriter(&out, RD).Write([]byte("Subject: a\n\nb\n"), at, Notes{}); err != nil {
				t.Fatal(err)
			}
		}
		if all := readAll(t, out.String(), RD); len(all) != 2 {
			t.Errorf("%v: %d messages", at, len(all))
		}
	}
}

func TestWhatIsTooLongIsSteppedOver(t *testing.T) {
	const date = "From x@y.test Sun Nov 29 15:04:05 2026\n"
	text := date + "\n" + strings.Repeat("x\n", 100) + "\n" + date + "\nshort\n"
	r := NewReader(strings.NewReader(text), int64(len(text)), Any, 50, time.UTC)
	if m, err := r.Next(); err != nil || !m.TooLong || m.Octets != nil {
		t.Errorf("%+v %v", m, err)
	}
	if m, err := r.Next(); err != nil || string(m.Octets) != "\nshort\n" || m.At != 241 {
		t.Errorf("%+v %v", m, err)
	}
}

// counting counts the octets that are read.
type counting struct {
	*strings.Reader
	n int
}

func (c *counting) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(p, at)
	c.n += n
	return n, err
}

// Whatever lengths a file claims, it is read once, and a few octets of each message again.
func TestReadingIsLinear(t *testing.T) {
	const date = "From x Sun Nov 29 15:04:05 2026\n"
	for name, one := range map[string]string{
		"lies":      date + "Content-Length: 4000000\n\nx\n\n",
		"in a line": date + "Content-Length: 1\n\nx\n\n",
		"true":      date + "Content-Length: 2\n\nx\n\n",
		"froms":     date + "\n" + strings.Repeat("From \n\n", 20),
	} {
		text := strings.Repeat(one, 20000)
		c := &counting{Reader: strings.NewReader(text)}
		r := NewReader(c, int64(len(text)), Any, 1<<20, time.UTC)
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(name, err)
			}
		}
		if c.n > 2*len(text)+600*20000 {
			t.Errorf("%s: %d octets were read of %d", name, c.n, len(text))
		}
	}
}

func FuzzRead(f *testing.F) {
	const date = "From x Sun Nov 29 15:04:05 2026\n"
	f.Add(date+"Content-Length: 3\nStatus: RO\n\nx\n\n"+date+"\n>From y\n", uint8(0))
	f.Add(date+"\r\n\r\nFrom ", uint8(3))
	f.Fuzz(func(t *testing.T, text string, form uint8) {
		r := NewReader(strings.NewReader(text), int64(len(text)), Form(form%5), 1<<16, time.UTC)
		total, last := 0, int64(-1)
		for {
			m, err := r.Next()
			if err != nil {
				break
			}
			if m.At <= last {
				t.Fatal("a message begins where another did")
			}
			last = m.At
			total += len(m.Octets)
		}
		if total > len(text) {
			t.Errorf("%d octets out of %d", total, len(text))
		}
	})
}
