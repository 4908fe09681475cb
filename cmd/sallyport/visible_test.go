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

// Heads with nothing below them tell less than a sentence.
func TestATableWithoutRowsIsASentence(t *testing.T) {
	var out bytes.Buffer
	c := console{out: &visible{w: &out}}
	if err := newTable(c, "ONE").flushOr("there is none"); err != nil || out.String() != "there is none\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	table := newTable(c, "ONE")
	for range tableRows { // it flushes itself
		table.row("a")
	}
	if err := table.flushOr("there is none"); err != nil || strings.Count(out.String(), "\n") != tableRows+1 {
		t.Errorf("%d lines, %v", strings.Count(out.String(), "\n"), err)
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

// On a terminal what is wrong has a colour, and what stands within a line never has: a
// stranger's word is none of ours.
func TestColours(t *testing.T) {
	for text, want := range map[string]string{
		"sallyport: no\n":          colourWrong + "sallyport" + colourEnd + ": no\n",
		"a\nWRONG: x\n":            "a\n" + colourWrong + "WRONG" + colourEnd + ": x\n",
		"  warning  dns: y\n":      "  " + colourWarning + "warning" + colourEnd + "  dns: y\n",
		"  12:03:04 ALARM wrong\n": "  12:03:04 " + colourWrong + "ALARM" + colourEnd + " wrong\n",
		"fine WRONG\n":             "fine WRONG\n",
		"\x1b[31mred\n":            `\u001b[31mred` + "\n",
	} {
		for _, colour := range []bool{false, true} {
			var out bytes.Buffer
			v := &visible{w: &out, colour: colour}
			if _, err := io.WriteString(v, text); err != nil {
				t.Fatal(err)
			}
			plain := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(want, colourWrong, ""), colourWarning, ""), colourEnd, "")
			if got := out.String(); colour && got != want || !colour && got != plain {
				t.Errorf("%q in colour %v: %q", text, colour, got)
			}
		}
	}
	var out bytes.Buffer
	v := &visible{w: &out, colour: true}
	for _, piece := range []string{"from ", "WRONG\n"} {
		if _, err := io.WriteString(v, piece); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "from WRONG\n" {
		t.Errorf("%q", out.String())
	}
}
