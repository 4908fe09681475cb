package format

import "testing"

// Known answers: an older release must be able to read that a folder is newer than it,
// and this one what an older wrote.
func TestKnownRecord(t *testing.T) {
	const stored = "sallyport data format 7, written by v1.2.3?\n"
	if got := (Record{Version: 7, Program: "v1.2.3ß"}).text(); got != stored {
		t.Errorf("written as %q", got)
	}
	if r, err := parse(stored); err != nil || r != (Record{7, "v1.2.3?"}) {
		t.Errorf("read as %+v, %v", r, err)
	}
	if File != "format" {
		t.Errorf("the record lies in %s", File)
	}
}
