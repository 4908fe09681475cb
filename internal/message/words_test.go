package message

import (
	"strings"
	"testing"
)

func TestEncodedWordsAreFoundWhereTheyEnd(t *testing.T) {
	for text, want := range map[string]string{
		"=?utf-8?q?a=40b?=":                 "a@b",
		"x =?utf-8?q?a?= y":                 "x a y",
		"=?utf-8?q?a?= \t =?utf-8?b?Yg==?=": "ab",
		"=?utf-8?q?a?= , =?utf-8?q?b?=":     "a , b",
		"=?utf-8?q?a?==?utf-8?q?b?= ":       "ab ",
		"=?a?q?=41?= =?a?q?=42":             "A =?a?q?=42", // the last does not end
		"=?a?q?x=?a?q?y?=":                  "x=?a?q?y",    // the first goes on to the only end
		"=?a?x?y?= =?a?q?z?=":               "=?a?x?y?= z", // no such encoding
		"=??q?y?= =?a b?q?y?= =?c?q?z?=":    "=??q?y?= =?a b?q?y?= z",
		"=?=?q?y?=":                         "y", // a charset may have any name
		"=?a?q?":                            "=?a?q?",
		"=?a?q":                             "=?a?q",
		"=?a?":                              "=?a?",
		"=?":                                "=?",
		"=?a?b?YUBi?=":                      "a@b",
		"=?a?b?YUB?=":                       "a@",
		"=?a?b?YUB=x?=":                     "a",
		"=?iso-2022-jp?q?a\x1b$@x\x1b(Bb?=": "ab",
		"=?a?q?" + strings.Repeat("x", maxEncodedWord):                    "=?a?q?" + strings.Repeat("x", maxEncodedWord),
		"=?a?q?" + strings.Repeat("x", maxEncodedWord-8) + "?=":           strings.Repeat("x", maxEncodedWord-8),
		"=?a?q?" + strings.Repeat("x", maxEncodedWord-7) + "?= =?a?q?y?=": "=?a?q?" + strings.Repeat("x", maxEncodedWord-7) + "?= y",
		"=?a?q?x " + strings.Repeat("=?a?q?x ", 400) + "=?a?q?y?=":        "",
	} {
		got, _ := decodeWords(text)
		if want == "" { // what is too far from the end stays, what is near it is one word
			if !strings.HasPrefix(got, "=?a?q?x =?a?q?x") || !strings.HasSuffix(got, "=?a?q?y") || strings.HasSuffix(got, "?=") {
				t.Errorf("%.30q… is read as %.30q…%q", text, got, got[len(got)-20:])
			}
		} else if got != want {
			t.Errorf("%.60q is read as %.60q, want %.60q", text, got, want)
		}
	}
}
