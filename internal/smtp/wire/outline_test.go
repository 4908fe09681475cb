package wire

import (
	"strings"
	"testing"
)

func TestOutline(t *testing.T) {
	for line, want := range map[string]string{
		"":                                "",
		"hunter2":                         "(no command, 7 octets)",
		"PASS hunter2":                    "(no command, 12 octets)",
		"AGFsaWNlAGh1bnRlcjI=":            "(no command, 20 octets)",
		"AUTHPLAIN hunter2":               "(no command, 17 octets)",
		"auth plain AGFsaWNlAGh1bnRlcjI=": "AUTH PLAIN (20 octets)",
		"AUTH LOGIN":                      "AUTH LOGIN",
		"AUTH hunter2":                    "AUTH (7 octets)",
		"AUTH  hunter2 PLAIN":             "AUTH (14 octets)",
		"AUTH":                            "AUTH",
		"NOOP hunter2":                    "NOOP (7 octets)",
		"EHLO hunter2":                    "EHLO (7 octets)",
		"QUIT hunter2":                    "QUIT (7 octets)",
		"DATA":                            "DATA",
		"MAIL FROM:<a..@b> AUTH=hunter2":  "MAIL FROM:<a..@b> (13 octets)",
		"MAIL FROM:a@b hunter2":           "MAIL FROM:<a@b> (8 octets)",
		"mail from:<a b>hunter2":          "MAIL FROM:<a b> (7 octets)",
		"RCPT TO:hunter2":                 "RCPT (10 octets)",
		"RCPT TO:hunter2 <a@b>":           "RCPT (16 octets)",
		"RCPT hunter2:<a@b>":              "RCPT (13 octets)",
		"RCPT TO:<a@b>\nhunter2":          "RCPT TO:<a@b>",
		"MAIL FROM:<" + strings.Repeat("a", 300) + ">": "MAIL FROM:<" + strings.Repeat("a", maxOutline-1) + " (102 octets)",
	} {
		if got := Outline([]byte(line)); got != want {
			t.Errorf("%q: %q; want %q", line, got, want)
		}
	}
}
