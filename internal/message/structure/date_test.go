package structure

import (
	"testing"
	"time"
)

// Dates are read in every form that RFC 5322 §4.3 knows and in those that programs write against it: whoever searches by
// date or has his mail in order looks for such messages too.
func TestDates(t *testing.T) {
	for text, want := range map[string]string{
		"Tue, 1 Dec 2026 02:00:00 +0100":                "2026-12-01T01:00:00Z",
		"Tue, 1 Dec 2026 02:00:00 EST":                  "2026-12-01T07:00:00Z",
		"Tue, 1 Dec 2026 02:00:60 +0000":                "2026-12-01T02:00:59Z",
		"Tue, 1 Dec 2026 02:00:00":                      "2026-12-01T02:00:00Z",
		"Tue, 1 December 2026 02:00 -0130":              "2026-12-01T03:30:00Z",
		"1 Dec 2026 02:00:00 Z":                         "2026-12-01T02:00:00Z",
		"1 Dec 2026 02:00:00 a":                         "2026-12-01T02:00:00Z",
		"Tue, 1 Dec 2026 02.03.04 +0000":                "2026-12-01T02:03:04Z",
		"Tue, (a (b\\)) c) 1 Dec(x)2026 02:00:00 +0000": "2026-12-01T02:00:00Z",
		"Tue Dec  1 02:00:00 2026":                      "2026-12-01T02:00:00Z",
		"Tue, 1 Dec 102 02:00:00 pst":                   "2002-12-01T10:00:00Z",
		"Thu, 1 Jul 49 02:00:60 +0000":                  "2049-07-01T02:00:59Z",
		"Thu, 1 Jul 50 02:00:60 +0000":                  "1950-07-01T02:00:59Z",
		"Mon, 31 Feb 2026 00:00:00 +0000":               "",
		"Tue, 1 Dec 2026":                               "",
		"Tue, 1 Dec 2026 24:00:00 +0000":                "",
		"Tue, 1 Dec 2026 02:00:61 +0000":                "",
		"Tue, 1 Dec 20261 02:00:00 +0000":               "",
		"Tue, 1 Dec 2026 02:00:00 02:00":                "",
		"Tue, 1 Dec 2026 02:00:00 17":                   "",
		"Tue, 0 Dec 2026 02:00:00 Z":                    "",
		"2026-12-01T02:00:00Z":                          "",
		"tomorrow":                                      "",
		"(":                                             "",
	} {
		got, ok := Envelope{Date: Text{Value: text}}.Time()
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; it is %q", text, got, ok, want)
		}
	}
}
