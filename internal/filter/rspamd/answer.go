package rspamd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Action is what Rspamd advises. The zero Action is none that is known.
type Action uint8

const (
	ActionUnknown Action = iota
	NoAction
	Greylist
	AddHeader
	RewriteSubject
	SoftReject
	Reject
	Quarantine
	Discard
	// Custom is an action of the administrator's own, whose meaning he alone knows.
	Custom
)

// actions are the words of the protocol.
func actions() map[string]Action {
	return map[string]Action{
		"no action": NoAction, "greylist": Greylist, "add header": AddHeader, "rewrite subject": RewriteSubject,
		"soft reject": SoftReject, "reject": Reject, "quarantine": Quarantine, "discard": Discard,
	}
}

// String returns the word of the protocol.
func (a Action) String() string {
	for word, of := range actions() {
		if of == a {
			return word
		}
	}
	if a == Custom {
		return "custom"
	}
	return "unknown"
}

// actionOf reads an action's word, which Rspamd itself takes with "_" as well.
func actionOf(word string) Action {
	if word == "" {
		return ActionUnknown
	}
	if a, ok := actions()[strings.ReplaceAll(strings.ToLower(word), "_", " ")]; ok {
		return a
	}
	return Custom
}

// Symbol is one rule that spoke.
type Symbol struct {
	Name  string
	Score float64
}

// Field is a header field that Rspamd wants added.
type Field struct{ Name, Value string }

// Answer is what Rspamd says. Its texts may hold what a sender wrote.
type Answer struct {
	Action          Action
	Word            string // the action as it was written
	Instead         Action // the action of that word, where a script of Rspamd's asks for Action in its place; zero: none does
	Score, Required float64
	Symbols         []Symbol // those that weigh most first
	Message         string   // what to tell the client; may be empty
	Fields          []Field  // in order of their names
	// Skipped: Rspamd was told not to look at such mail.
	Skipped bool
}

// answer is the form of the protocol. What is not listed is not read.
type answer struct {
	Action   text            `json:"action"`
	Score    json.RawMessage `json:"score"` // a number; nil: it is not there
	Required number          `json:"required_score"`
	Skipped  flag            `json:"is_skipped"`
	Error    text            `json:"error"`
	Symbols  object          `json:"symbols"`
	Messages object          `json:"messages"`
	Milter   object          `json:"milter"`
}

// object is a place for an object. Lua has one kind of table, so that an empty object
// comes as an empty list, and older releases have lists of texts for logs where later
// ones have an object: neither says anything here, nor keeps the rest from being read.
type object map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(raw []byte) error {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		m = nil
	}
	*o = m
	return nil
}

// text, number and flag are places for one value, which Lua may write in another form: "1.5"
// for a number, 1 for true. What has no such value leaves the zero value, and the rest of
// the answer is read all the same.
type (
	text   string
	number float64
	flag   bool
)

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(raw []byte) error {
	s, _ := scalar(raw)
	*t = text(s)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	s, _ := scalar(raw)
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	*n = number(f)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(raw []byte) error {
	s, ok := scalar(raw)
	*f = flag(bytes.Equal(raw, []byte("true")) || ok && (s == "true" || s == "1"))
	return nil
}

type symbol struct {
	Score number `json:"score"`
}

// Parse reads an answer. One that names no action is an error; one with an action that the
// protocol does not have is the answer of an Rspamd that was given actions of its own.
func (l Limits) Parse(octets []byte) (Answer, error) {
	var raw answer
	err := json.Unmarshal(octets, &raw)
	if err != nil {
		raw = answer{}
		err = json.Unmarshal(asJSON(octets), &raw)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("rspamd: the answer is not understood: %w", err)
	}
	switch {
	case raw.Error != "":
		return Answer{}, fmt.Errorf("rspamd: it reports an error: %.200q", raw.Error)
	case raw.Action == "":
		return Answer{}, errors.New("rspamd: the answer names no action")
	case raw.Score == nil && !bool(raw.Skipped):
		return Answer{}, errors.New("rspamd: the answer has no score")
	}
	a := Answer{
		Action: actionOf(string(raw.Action)), Word: string(raw.Action),
		Required: float64(raw.Required), Skipped: bool(raw.Skipped),
	}
	if other := scripted(a.Action, raw.Milter); other != a.Action {
		a.Action, a.Instead = other, a.Action
	}
	var score number
	_ = score.UnmarshalJSON(raw.Score) // it never fails
	a.Score = float64(score)
	for name, one := range raw.Symbols {
		var s symbol
		_ = json.Unmarshal(one, &s) // a symbol that says nothing of itself has spoken all the same
		a.Symbols = append(a.Symbols, Symbol{name, float64(s.Score)})
	}
	slices.SortFunc(a.Symbols, func(x, y Symbol) int {
		return cmp.Or(cmp.Compare(math.Abs(y.Score), math.Abs(x.Score)), cmp.Compare(x.Name, y.Name))
	})
	a.Symbols = a.Symbols[:min(len(a.Symbols), l.Symbols)]
	a.Message, _ = scalar(raw.Messages["smtp_message"])
	var add object
	_ = json.Unmarshal(raw.Milter["add_headers"], &add) // nothing there: nothing to add
	a.Fields = l.fields(add)
	return a, nil
}

// scripted returns what a script of Rspamd's asks for in the place of an action: that nothing is done
// whatever the score, or that what would be refused is kept apart or dropped.
func scripted(a Action, milter object) Action {
	var nothing flag
	var rejected text
	_ = nothing.UnmarshalJSON(milter["no_action"]) // they never fail
	_ = rejected.UnmarshalJSON(milter["reject"])
	switch {
	case bool(nothing):
		return NoAction
	case a != Reject:
	case rejected == "quarantine":
		return Quarantine
	case rejected == "discard":
		return Discard
	}
	return a
}

// asJSON makes JSON of what Rspamd writes though it is none: null of "nan" and "inf" and of nothing
// at all behind a colon, where it has no number, and U+FFFD of escapes in texts that stand for no
// character: for a control character older releases write one with a digit too few.
func asJSON(octets []byte) []byte {
	const null = "null"
	out := make([]byte, 0, len(octets)+len(octets)/8)
	owed := false // nothing came behind a colon yet
	for len(octets) > 0 {
		c, n := octets[0], 1
		switch {
		case c == '"':
			n = textEnd(octets)
			out, octets, owed = appendText(out, octets[:n]), octets[n:], false
			continue
		case owed && (c == ',' || c == '}'):
			out = append(out, null...)
		default:
			word, none := noNumber(octets)
			if none {
				out, octets, owed = append(out, null...), octets[word:], false
				continue
			}
			n = max(word, 1)
		}
		out = append(out, octets[:n]...)
		octets = octets[n:]
		owed = c == ':' || owed && strings.IndexByte(" \t\r\n", c) >= 0
	}
	return out
}

// textEnd returns how long the text is that begins octets with its quotation mark.
func textEnd(octets []byte) int {
	for i := 1; i < len(octets); i++ {
		switch octets[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(octets)
}

// appendText appends a text with its quotation marks, so that each escape in it stands for something.
func appendText(dst, text []byte) []byte {
	for len(text) > 0 {
		n := 1
		switch c := text[0]; {
		case c == '\\':
			var known bool
			if n, known = escape(text); !known {
				dst, text = utf8.AppendRune(dst, utf8.RuneError), text[n:]
				continue
			}
		case c < ' ':
			dst, text = append(dst, ' '), text[1:]
			continue
		}
		dst, text = append(dst, text[:n]...), text[n:]
	}
	return dst
}

// escapeDigits is how many digits the number of a character has: "\uFFFD".
const escapeDigits = 4

// escape returns how long the escape is that begins text, and whether it stands for a character.
func escape(text []byte) (n int, known bool) {
	switch {
	case len(text) < 2:
		return len(text), false
	case text[1] != 'u':
		return 2, strings.IndexByte(`"\/bfnrt`, text[1]) >= 0
	}
	for n = 2; n < len(text) && n < 2+escapeDigits && strings.IndexByte("0123456789abcdefABCDEF", text[n]) >= 0; {
		n++
	}
	return n, n == 2+escapeDigits
}

// noNumber returns how long the word is that begins octets, and whether it says that there is
// no number.
func noNumber(octets []byte) (n int, none bool) {
	for n < len(octets) && (octets[n] == '-' || octets[n] == '+' || octets[n]|0x20 >= 'a' && octets[n]|0x20 <= 'z') {
		n++
	}
	switch strings.ToLower(strings.TrimLeft(string(octets[:min(n, len("-infinity"))]), "+-")) {
	case "nan", "inf", "infinity":
		return n, true
	}
	return n, false
}

// fields reads a value, an object with a value, or a list of either for each name.
func (l Limits) fields(add object) []Field {
	var out []Field
	for _, name := range slices.Sorted(maps.Keys(add)) {
		var several []json.RawMessage
		if json.Unmarshal(add[name], &several) != nil {
			several = []json.RawMessage{add[name]}
		}
		for _, one := range several {
			if v, ok := fieldValue(one); ok && len(out) < l.Fields {
				out = append(out, Field{name, v})
			}
		}
	}
	return out
}

func fieldValue(raw json.RawMessage) (string, bool) {
	if v, ok := scalar(raw); ok {
		return strings.TrimSpace(v), true
	}
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return "", false
	}
	v, ok := scalar(o["value"])
	return strings.TrimSpace(v), ok
}

// scalar returns a text, or a number as Lua writes it.
func scalar(raw json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(raw, &s) == nil && !bytes.Equal(raw, []byte("null")) {
		return s, true
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil && n != "" {
		return n.String(), true
	}
	return "", false
}
