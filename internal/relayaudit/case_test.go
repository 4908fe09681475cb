package relayaudit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestTheTableParses(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]int{}
	for _, c := range cases {
		sections[strings.TrimRight(c.ID[:2], "0123456789")]++
		if len(Modes(c)) == 0 {
			t.Errorf("%s is never run", c.ID)
		}
	}
	for _, want := range []string{"A", "B", "C", "D", "E", "F", "G", "J", "XA", "XB", "XC", "XD", "XE", "XF", "XJ"} {
		if sections[want] < 3 {
			t.Errorf("section %s has %d rows", want, sections[want])
		}
	}
}

// The rows are text; what goes over the wire is octets.
func TestPlaceholdersAndEscapes(t *testing.T) {
	vars := map[string]string{"LD": "local.test", "USER": "alice@local.test", "PASS": "pw"}
	for in, want := range map[string]string{
		`plain`:                        "plain",
		`a\r\n\t\s\\\{\}\x00\xff`:      "a\r\n\t \\{}\x00\xff",
		`<bob@{LD}>`:                   "<bob@local.test>",
		`{REP 3 ab}`:                   "ababab",
		`{REP 2 {REP 2 x}-}`:           "xx-xx-",
		`{B64 \x00{USER}\x00{PASS}}`:   "AGFsaWNlQGxvY2FsLnRlc3QAcHc=",
		`ab{FILL 6}|`:                  "abffff|",
		`{FILL 0}`:                     "",
		`$\{run\{/bin/id\}\}@{LD}`:     "${run{/bin/id}}@local.test",
		`{REP 1 {CUT}}`:                "error",
		`{REP 2097152 {REP 2 x}}`:      "error",
		`{NOPE}`:                       "error",
		`{LD x}`:                       "error",
		`{LD`:                          "error",
		`}`:                            "error",
		`\q`:                           "error",
		`\x0`:                          "error",
		`{REP x y}`:                    "error",
		`{B64 {B64 {B64 {B64 {LD}}}}}`: "error",
	} {
		got := "error"
		if tmpl, err := parseTemplate(in, 0); err == nil {
			if b, err := tmpl.expand(vars); err == nil {
				got = string(bytes.Join(b, nil))
			} else if !errors.Is(err, errTemplate) {
				t.Errorf("%s: %v", in, err)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestFillReachesItsOctet(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 129, 4095, 32767} {
		tmpl := template{parts: []part{{lit: "head\r\n"}, {name: "FILL", n: n}}}
		b, err := tmpl.expand(nil)
		if err != nil || len(b[0]) != max(n, len("head\r\n")) {
			t.Errorf("%d: %d octets, %v", n, len(b[0]), err)
		}
		for _, line := range strings.Split(string(b[0]), "\r\n") {
			if len(line) > 2*fillLine || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%d: line %q", n, line)
			}
		}
	}
}

func TestCutsMakePieces(t *testing.T) {
	tmpl, err := parseTemplate(`a\r{CUT}\n{CUT}{CUT}.`, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := tmpl.expand(nil)
	if got := string(bytes.Join(b, []byte("|"))); got != "a\r|\n||." {
		t.Errorf("%q", got)
	}
}

// A row that is wrong is refused with its line, not run as something else.
func TestBrokenRowsAreNamed(t *testing.T) {
	for row, word := range map[string]string{
		`A | S25 | NOOP | noop=250`:                                "columns",
		`A | S26 | NOOP | noop=250 | s`:                            "unknown state",
		`A | S25 quick | NOOP | noop=250 | s`:                      "unknown flag",
		`A | S25 | NOOP | noop=ok! | s`:                            "neither",
		`A | S25 | NOOP | noop=6 | s`:                              "neither",
		`A | S25 | NOOP | noop | s`:                                "bad expectation",
		`A | S25 | NOOP | noop=250 noop=5 | s`:                     "twice",
		`A | S25 | NOOP | rset=250 | s`:                            "no step",
		`A | S25 | NOOP | msgs=1..0 noop=250 | s`:                  "no count",
		`A | S25 | NOOP ⏎ ⏎ RSET | noop=250 | s`:                   "empty",
		`A | S25 | {TIMES}NOOP | noop=250 | s`:                     "one number",
		`A | S25 | {TIMES 0}NOOP | noop=250 | s`:                   "number from 1",
		`A | S25 | {TLS 3} | tls=ok | s`:                           "no number",
		`A | S25 | {GRETING} | greet=220 | s`:                      "unknown placeholder",
		`A | S25 | @Z | noop=250 | s`:                              "no row before",
		` | S25 | NOOP | noop=250 | s`:                             "columns",
		"A | S25 | NOOP | noop=2 | s\nA | S25 | NOOP | noop=2 | s": "stands twice",
	} {
		_, err := ParseCases(strings.NewReader("# comment\n\n" + row))
		if !errors.Is(err, ErrCases) || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", row, err)
		}
	}
}

func TestEveryFaultOfATableIsReported(t *testing.T) {
	_, err := ParseCases(strings.NewReader("A | S1 | x | cmd=5 | s\nok | S25 | NOOP | noop=250 | s\nB | S25 | {X} | x=5 | s"))
	if err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
}

func TestReferencesRepeatRows(t *testing.T) {
	cases := parse(t,
		`E1 | S25 | {TX} ⏎ DATA ⏎ {BODY}x\r\n.\r\n | end=5 | s`,
		`E2 | S25 lockstep | {TX} ⏎ {LOAD}x | data=354 end=5 | s`,
		`E3 | A | {TX} | rcpt=250 | s`,
		`F | A | bdat@E | data=354 end=2 sink=1 | s`)
	if len(cases) != 5 {
		t.Fatalf("%d rows", len(cases))
	}
	one, two := cases[3], cases[4]
	if one.ID != "F/E1" || one.State != StateSignedIn || len(one.steps) != 3 || !one.steps[2].bdat || one.Expect.Sink.Max != 1 {
		t.Errorf("%+v", one)
	}
	if !two.Lockstep || len(two.Expect.wants) != 1 {
		t.Errorf("%+v", two)
	}
	if cases[0].steps[2].bdat {
		t.Error("the row itself was changed")
	}
}

func FuzzParseCases(f *testing.F) {
	for _, line := range strings.Split(table, "\n") {
		if strings.Contains(line, " | ") {
			f.Add(line)
		}
	}
	f.Add(`A | S25 | {REP 9 {REP 9 {REP 9 x}}} | rep=5 | s`)
	vars := map[string]string{"LD": "local.test", "RD": "remote.test"}
	f.Fuzz(func(t *testing.T, row string) {
		cases, err := ParseCases(strings.NewReader(row))
		if err != nil && !errors.Is(err, ErrCases) {
			t.Fatalf("%v", err)
		}
		for _, c := range cases {
			if c.ID == "" || c.State == StateUnknown || len(c.steps) == 0 {
				t.Fatalf("accepted %+v", c)
			}
			for _, st := range c.steps {
				b, err := st.text.expand(vars)
				if err == nil && len(b) == 0 {
					t.Fatal("an expansion without a piece")
				}
			}
		}
	})
}

func TestReplyLines(t *testing.T) {
	for line, want := range map[string]string{
		"250 ok": "250 last ok", "250-more": "250 more more", "354": "354 last ", "250": "250 last ",
		"25 x": "", "2500 x": "", "250x": "", "abc d": "", "": "", "199 x": "", "600 x": "",
	} {
		code, last, text, err := cutReplyLine(line)
		got := ""
		if err == nil {
			got = map[bool]string{true: "last ", false: "more "}[last] + text
			got = string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)}) + " " + got
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
