package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBegin(t *testing.T) {
	long := strings.Repeat("x", maxFirstName)
	for in, want := range map[string]string{
		"":                              "",
		"Subject: x\r\n\r\nbody":        "Subject: x\r\n\r\nbody",
		"Subject : x\r\n":               "Subject : x\r\n",
		"Subject \t :x\r\n":             "Subject \t :x\r\n",
		"X:":                            "X:",
		"\r\nbody":                      "\r\nbody",
		"\r\n":                          "\r\n",
		" ; dmarc=pass\r\n\r\nbody":     "\r\n ; dmarc=pass\r\n\r\nbody",
		"\t; dmarc=pass\r\n":            "\r\n\t; dmarc=pass\r\n",
		" ":                             "\r\n ",
		" \r\nFrom: a@b\r\n\r\n":        "\r\n \r\nFrom: a@b\r\n\r\n",
		"hello":                         "\r\nhello",
		"hello world\r\nFrom: a@b\r\n":  "\r\nhello world\r\nFrom: a@b\r\n",
		"hello\r\n":                     "\r\nhello\r\n",
		": x\r\n":                       "\r\n: x\r\n",
		"Gr\xc3\xbc\xc3\x9fe: x\r\n":    "\r\nGr\xc3\xbc\xc3\x9fe: x\r\n",
		"From: a@b\r\n":                 "From: a@b\r\n",
		"From : a@b\r\n":                "From : a@b\r\n",
		"From a@b Mon\r\nSubject: x":    "Mailbox-Line: From a@b Mon\r\nSubject: x",
		">From a@b\r\nSubject: x":       "Mailbox-Line: >From a@b\r\nSubject: x",
		"From \r\n":                     "Mailbox-Line: From \r\n",
		"Fromage is good\r\n":           "\r\nFromage is good\r\n",
		"From\r\n":                      "\r\nFrom\r\n",
		"From":                          "\r\nFrom",
		"http://x.test/ is the place":   "http://x.test/ is the place",
		long[:900] + ": x":              long[:900] + ": x",
		long + ": x":                    "\r\n" + long + ": x",
		strings.Repeat("x", 1<<16):      "\r\n" + strings.Repeat("x", 1<<16),
		"a" + strings.Repeat(" ", 2000): "\r\na" + strings.Repeat(" ", 2000),
	} {
		for how, r := range map[string]io.Reader{
			"at once": strings.NewReader(in), "in octets": iotest.OneByteReader(strings.NewReader(in)), "with its end": iotest.DataErrReader(strings.NewReader(in)),
		} {
			if got, err := io.ReadAll(Begin(r)); err != nil || string(got) != want {
				t.Errorf("%.60q %s: %.60q, %v; want %.60q", in, how, got, err, want)
			}
		}
		for cut := range 3 { // as a whole, and what follows octets that were read
			r := Begin(strings.NewReader(in))
			first := make([]byte, cut)
			n, _ := io.ReadFull(r, first)
			var rest strings.Builder
			written, err := io.Copy(&rest, r)
			if got := string(first[:n]) + rest.String(); err != nil || got != want || int(written) != rest.Len() {
				t.Errorf("%.60q copied behind %d octets: %.60q, %d, %v; want %.60q", in, cut, got, written, err, want)
			}
		}
	}
	fault := errors.New("lost")
	for _, in := range []string{"", " ", "hello", "Subject: x\r\n"} {
		if _, err := io.ReadAll(Begin(io.MultiReader(strings.NewReader(in), iotest.ErrReader(fault)))); !errors.Is(err, fault) {
			t.Errorf("%q: the error of the reader became %v", in, err)
		}
		if _, err := io.Copy(io.Discard, Begin(io.MultiReader(strings.NewReader(in), iotest.ErrReader(fault)))); !errors.Is(err, fault) {
			t.Errorf("%q copied: the error of the reader became %v", in, err)
		}
	}
}

// Whatever comes, a field before it stays what it was: it ends where it ended, and the
// next thing behind it is a field or the empty line.
func FuzzBegin(f *testing.F) {
	for _, s := range []string{"", " x", "x", "From x", "a:b\r\n c", "\r\n", "\tx:y\r\n", "a :b", ":"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := io.ReadAll(Begin(iotest.OneByteReader(strings.NewReader(string(in)))))
		if err != nil || !strings.HasSuffix(string(out), string(in)) {
			t.Fatalf("%q became %q, %v", in, out, err)
		}
		h, _, err := ReadHeader(strings.NewReader("Ours: here\r\n"+string(out)), DefaultLimits())
		if err != nil {
			return
		}
		if ours := h.Fields("Ours"); len(ours) < 1 || string(ours[0].Raw) != "Ours: here\r\n" {
			t.Fatalf("%q writes into the field before it: %q", in, h.Raw())
		}
		n := 0
		h.All(func(f Field) bool {
			n++
			if n == 2 && (f.Name == "" || strings.ContainsFunc(f.Name, notFieldName)) {
				t.Fatalf("%q stands among our fields: %q", in, f.Raw)
			}
			return true
		})
	})
}
