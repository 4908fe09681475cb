package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// A search may be in another charset than UTF-8: programs send their user's letters as they have them, in literals and,
// against the rule, in quotes.
func TestSearchInOtherCharsets(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.append("INBOX", "", "Subject: =?utf-8?q?=C3=9Cbung?=\nFrom: a@example.org\n\nnothing\n")
	c.append("INBOX", "", "Subject: plain\nFrom: b@example.org\nContent-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\xc9\xd7\xc5\xd4\n")
	c.ok("SELECT INBOX")
	literal := func(text string) string { return fmt.Sprintf("{%d+}\r\n%s", len(text), text) }
	for command, want := range map[string]string{
		"SEARCH CHARSET ISO-8859-1 SUBJECT " + literal("\xfcbung"):              "* SEARCH 1",
		"SEARCH CHARSET iso-8859-15 SUBJECT \"\xdcBUNG\"":                       "* SEARCH 1",
		"SEARCH CHARSET \"windows-1252\" NOT (SUBJECT " + literal("\xfc") + ")": "* SEARCH 2",
		"SEARCH CHARSET KOI8-R OR FROM nobody BODY " + literal("\xd0\xd2\xc9"):  "* SEARCH 2",
		"SEARCH CHARSET UTF-8 SUBJECT " + literal("\xc3\xbcbung"):               "* SEARCH 1",
		"SORT (ARRIVAL) ISO-8859-1 TEXT " + literal("\xfcb"):                    "* SORT 1",
		"THREAD ORDEREDSUBJECT ISO-8859-1 SUBJECT " + literal("\xfcb"):          "* THREAD (1)",
		"SEARCH SUBJECT " + literal("\xfcbung"):                                 "* SEARCH",
	} {
		lines := c.do(command)
		if answer := lines[len(lines)-1]; !strings.HasPrefix(answer, "t OK") || lines[0] != want {
			t.Errorf("%q: %q", command, lines)
		}
	}
}
