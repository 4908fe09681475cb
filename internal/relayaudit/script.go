package relayaudit

import (
	"fmt"
	"strconv"
	"strings"
)

// action says what a step does.
type action uint8

const (
	actNone action = iota
	actCommand
	actGreeting
	actTLS
	actLoad
	actChunk
	actBody
	actBodyMute
	actResponse
	actMute
	actPlain
	actCloseNotify
	actTimes
	actPause
	actOver
	actClose
	actReset
)

// step is one step of a script.
type step struct {
	act  action
	name string // what the expectation calls its reply
	text template
	n    int  // count, milliseconds or port
	open bool // no CR LF follows
	bdat bool // actLoad: send by BDAT
	last bool // actChunk: the last one
}

// replies reports whether an expectation can speak of the step as name.
func (s step) replies(name string) bool {
	if s.act == actLoad && !s.bdat && name == "data" {
		return true
	}
	if s.name != name {
		return false
	}
	switch s.act {
	case actNone, actMute, actBodyMute, actPause, actClose, actReset:
		return false
	}
	return true
}

// stepSeparator parts the steps of a script.
const stepSeparator = "⏎"

// maxSteps bounds a script.
const maxSteps = 200

// directive describes a word in braces at the start of a step.
type directive struct {
	act    action
	name   string // name of the reply; "" for the verb of the text
	number bool   // takes a number
	last   bool   // ends a message sent in chunks
}

// directives is the table of the package comment.
func directives() map[string]directive {
	return map[string]directive{
		"GREETING":    {act: actGreeting, name: "greet"},
		"TLS":         {act: actTLS, name: "tls"},
		"LOAD":        {act: actLoad, name: "end"},
		"MSG":         {act: actLoad, name: "end"},
		"BDAT":        {act: actChunk, name: "bdat"},
		"BDATLAST":    {act: actChunk, name: "bdat", last: true},
		"BODY":        {act: actBody, name: "end"},
		"BODY!":       {act: actBodyMute, name: "end"},
		"RESP":        {act: actResponse, name: "resp"},
		"NR":          {act: actMute},
		"PLAIN":       {act: actPlain},
		"CLOSENOTIFY": {act: actCloseNotify, name: "closenotify"},
		"TIMES":       {act: actTimes, number: true},
		"PAUSE":       {act: actPause, number: true},
		"OVER":        {act: actOver, number: true, name: "greet"},
		"CLOSE":       {act: actClose},
		"RESET":       {act: actReset},
	}
}

// parseScript reads the third column of a row.
func parseScript(s string) ([]step, error) {
	var steps []step
	for _, field := range strings.Split(s, stepSeparator) {
		field = strings.TrimSpace(field)
		if field == "{TX}" {
			field = "F:<{FROM}>"
			st, err := parseStep(field)
			if err != nil {
				return nil, err
			}
			steps = append(steps, st)
			field = "T:<{TO}>"
		}
		st, err := parseStep(field)
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	if len(steps) > maxSteps {
		return nil, fmt.Errorf("%w: more than %d steps", errTemplate, maxSteps)
	}
	return steps, nil
}

func parseStep(s string) (step, error) {
	st := step{act: actCommand}
	if word, rest, ok := cutDirective(s); ok {
		d := directives()[word[0]]
		st.act, st.name, st.last = d.act, d.name, d.last
		n, err := directiveNumber(d, word)
		if err != nil {
			return step{}, err
		}
		st.n = n
		s = rest
		if word[0] == "MSG" {
			s = "{HDR}probe {MARK}\\r\\n" + rest
		}
	} else if s == "" {
		return step{}, fmt.Errorf("%w: a step is empty", errTemplate)
	}
	if cut, ok := strings.CutSuffix(s, `\c`); ok {
		s, st.open = cut, true
	}
	s = abbreviations(s)
	if st.name == "" {
		st.name = verbOf(s)
	}
	var err error
	st.text, err = parseTemplate(s, 0)
	return st, err
}

// cutDirective splits "{WORD n}rest" when WORD is a directive.
func cutDirective(s string) (word []string, rest string, ok bool) {
	if !strings.HasPrefix(s, "{") {
		return nil, s, false
	}
	end := closing(s)
	if end < 0 {
		return nil, s, false
	}
	word = strings.Fields(s[1:end])
	if len(word) == 0 {
		return nil, s, false
	}
	if _, ok := directives()[word[0]]; !ok {
		return nil, s, false
	}
	return word, s[end+1:], true
}

// mostNumber is the highest number that a directive takes: octets of a filling, or recipients.
const mostNumber = 100_000

func directiveNumber(d directive, word []string) (int, error) {
	if !d.number {
		if len(word) != 1 {
			return 0, fmt.Errorf("%w: {%s} takes no number", errTemplate, word[0])
		}
		return 0, nil
	}
	if len(word) != 2 {
		return 0, fmt.Errorf("%w: {%s} takes one number", errTemplate, word[0])
	}
	n, err := strconv.Atoi(word[1])
	if err != nil || n < 1 || n > mostNumber {
		return 0, fmt.Errorf("%w: {%s} takes a number from 1 to %d", errTemplate, word[0], mostNumber)
	}
	return n, nil
}

// abbreviations writes out "F:" and "T:".
func abbreviations(s string) string {
	if rest, ok := strings.CutPrefix(s, "F:"); ok {
		return "MAIL FROM:" + rest
	}
	if rest, ok := strings.CutPrefix(s, "T:"); ok {
		return "RCPT TO:" + rest
	}
	return s
}

// verbOf returns the leading letters and digits of a command in lower case, or "cmd".
func verbOf(s string) string {
	n := 0
	for n < len(s) && (s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n == 0 {
		return "cmd"
	}
	return strings.ToLower(s[:n])
}

// byBDAT returns the script with every message sent by BDAT instead of DATA.
func byBDAT(steps []step) []step {
	var out []step
	for i := 0; i < len(steps); i++ {
		st := steps[i]
		if st.name == "data" && i+1 < len(steps) && steps[i+1].act == actBody {
			i++
			st = steps[i]
			st.act = actLoad
		}
		if st.act == actLoad {
			st.bdat = true
		}
		out = append(out, st)
	}
	return out
}
