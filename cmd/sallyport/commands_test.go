package main

import (
	"bytes"
	"testing"
)

// A command line builds the grammar of its own command, and says what it would say if it had
// built all.
func TestACommandLineBuildsItsOwnCommand(t *testing.T) {
	for _, c := range commands() {
		alone := askedFor([]string{c.name, "ls"})
		if len(alone) != 1 || alone[0].name != c.name {
			t.Errorf("%s builds %d commands", c.name, len(alone))
		}
	}
	for _, line := range [][]string{{"qeue", "ls"}, {"--bogus"}, {"-c", "x", "queue"}, {"--help"}, nil} {
		if got := len(askedFor(line)); got != len(commands()) {
			t.Errorf("%q builds %d commands", line, got)
		}
	}
	// Two commands that cannot be had together would be seen here alone.
	if _, err := grammar(commands()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if code := run([]string{"qeue", "ls"}, console{out: &out, err: &out}); code != exitUsage || !bytes.Contains(out.Bytes(), []byte(`did you mean "queue"`)) {
		t.Errorf("%d: %s", code, &out)
	}
}
