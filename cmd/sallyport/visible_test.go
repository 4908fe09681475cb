package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// hostile is what a stranger may write wherever he can: an escape sequence, one of a
// single octet, a turn of direction, a line of its own, and octets that are no text.
const hostile = "a\x1b[31mb\u009bc\u202ed\u2028e\r\nsallyport: all is well\x7f\xff\u200b\U000e0041"

func TestVisible(t *testing.T) {
	for _, cut := range []int{1, 2, 3, 7, len(hostile)} {
		var out bytes.Buffer
		v := &visible{w: &out}
		for rest := hostile; rest != ""; rest = rest[min(cut, len(rest)):] {
			piece := rest[:min(cut, len(rest))]
			if n, err := io.WriteString(v, piece); n != len(piece) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		want := `a\u001b[31mb\u009bc\u202ed\u2028e\u000d` + "\nsallyport: all is well" + `\u007f` + "\uFFFD" + `\u200b\udb40\udc41`
		if out.String() != want {
			t.Errorf("by %d: %q, want %q", cut, out.String(), want)
		}
	}
}

// A line of ours stays one line whatever its values are, and a row has its columns.
func TestLinesOfForeignText(t *testing.T) {
	var out bytes.Buffer
	c := console{out: &visible{w: &out}}
	c.printf("name  %s\nnumber %d\n", hostile, 7)
	table := newTable(c, "ONE", "TWO")
	table.row(hostile, "x  y  z")
	table.row("a\tb", "")
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	if lines[0] != "name  "+mail.Shown(hostile) || lines[1] != "number 7" {
		t.Errorf("%q", lines)
	}
	if cells := strings.Split(lines[3], "  "); cells[0] != mail.Word(hostile) && cells[0] != mail.Shown(hostile) || !strings.HasSuffix(lines[3], `"x  y  z"`) {
		t.Errorf("%q", lines[3])
	}
}

// What is JSON stays JSON, and says the same.
func TestJSONOfForeignText(t *testing.T) {
	var out bytes.Buffer
	if err := printJSON(&visible{w: &out}, map[string]string{"subject": hostile}); err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(out.String(), "\n") {
		if !mail.Visible(r) {
			t.Errorf("%q holds %q", out.String(), r)
		}
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["subject"] != strings.ToValidUTF8(hostile, string(utf8.RuneError)) {
		t.Errorf("%v: %q", err, back)
	}
}
