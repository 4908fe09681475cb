package structure

import (
	"strings"
	"testing"
)

// The boundary of an inner multipart is part of what an outer one ends, also where the two follow on each other.
func TestABoundaryThatFollowsOnAnother(t *testing.T) {
	text := crlf("Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--i--\n--o--\n")
	s, err := Parse(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	inner := s.Part.Parts[0]
	if have, want := text[inner.Body.Start:inner.Body.End], crlf("--i\n\nx\n--i--"); have != want || inner.Body.Size != int64(len(want)) || inner.Body.Lines != 3 {
		t.Errorf("%q, %d octets, %d lines", have, inner.Body.Size, inner.Body.Lines)
	}
}

func TestZonesWithNames(t *testing.T) {
	for date, want := range map[string]int64{"Sat, 7 Nov 2026 10:00:00 EST": 1794063600, "Sat, 7 Nov 2026 10:00:00 GMT": 1794045600, "Sat, 7 Nov 2026 10:00:00 +0100": 1794042000} {
		if at, ok := (Envelope{Date: Text{Value: date, Given: true}}).Time(); !ok || at.Unix() != want {
			t.Errorf("%s is %d: %v", date, at.Unix(), ok)
		}
	}
}
