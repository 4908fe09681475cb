package message

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A text in UTF-7 is read, in whatever pieces it comes; nobody who decides by an address knows the charset.
func TestUTF7(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"Hi Mom -+Jjo--!":            "Hi Mom -☺-!", // RFC 2152
		"A+ImIDkQ.":                  "A≢Α.",
		"+ZeVnLIqe-":                 "日本語",
		"Item 3 is +AKM-1.":          "Item 3 is £1.",
		"1 +- 1 = 2":                 "1 + 1 = 2",
		"h+AOk-llo+2D3cSQ-":          "héllo\U0001f449",
		"+2D3-x":                     "x",
		"a + b +":                    "a + b +",
		"+AOk":                       "é",
		"+2D0AQQ-":                   "\ufffdA",
		strings.Repeat("+AOk-", 999): strings.Repeat("é", 999),
	} {
		if got := DecodeOctets("UTF-7", text); got != want {
			t.Errorf("%.40q: %.40q, not %.40q", text, got, want)
		}
		e, _ := ReadableCharset("unicode-1-1-utf-7")
		if got, err := io.ReadAll(e.NewDecoder().Reader(iotest.OneByteReader(strings.NewReader(text)))); err != nil || string(got) != want {
			t.Errorf("%.40q in pieces: %.40q, %v", text, got, err)
		}
	}
	if got := DecodeText("=?utf-7?q?Gr+APwA3w-e?="); got != "Grüße" {
		t.Errorf("%q", got)
	}
	if _, known := Charset("utf-7"); known {
		t.Error("whoever decides by an address knows UTF-7")
	}
}
