package message

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A text of an unknown charset is read as UTF-8 where it is, else as Windows-1252, in whatever pieces it comes.
func TestUnlabelledText(t *testing.T) {
	for text, want := range map[string]string{
		"plain":              "plain",
		"für":                "für",
		"f\xfcr":             "für",
		"für f\xfcr 👉\x80":   "für für 👉€",
		"\xe2\x82":           "â‚",
		"\xef\xbf\xbd\xff€ü": "\ufffdÿ€ü",
	} {
		if got := DecodeOctets("unknown-8bit", text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
		e, _ := ReadableCharset("X-Unknown")
		if got, err := io.ReadAll(e.NewDecoder().Reader(iotest.OneByteReader(strings.NewReader(text)))); err != nil || string(got) != want {
			t.Errorf("%q in pieces: %q, %v", text, got, err)
		}
	}
}
