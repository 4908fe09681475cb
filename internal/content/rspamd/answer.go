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
	"strings"
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
	return "unknown"
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
	Score, Required float64
	Symbols         []Symbol // those that weigh most first
	Message         string   // what to tell the client; may be empty
	Fields          []Field  // in order of their names
	// Skipped: Rspamd was told not to look at such mail.
	Skipped bool
}

// answer is the form of the protocol. What is not listed is not read.
type answer struct {
	Action   string   `json:"action"`
	Score    *float64 `json:"score"`
	Required float64  `json:"required_score"`
	Skipped  bool     `json:"is_skipped"`
	Error    string   `json:"error"`
	Symbols  object   `json:"symbols"`
	Messages object   `json:"messages"`
	Milter   object   `json:"milter"`
}

// object is a place for an object. Lua has one kind of table, so that an empty object
// comes as an empty list, and older releases have lists of texts for logs where later
// ones have an object: neither says anything here, nor keeps the rest from being read.
type object map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(text []byte) error {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		m = nil
	}
	*o = m
	return nil
}

type symbol struct {
	Score float64 `json:"score"`
}

// Parse reads an answer. An action that is not known makes it an error: nobody can
// tell what was meant by it.
func (l Limits) Parse(text []byte) (Answer, error) {
	var raw answer
	if err := json.Unmarshal(text, &raw); err != nil {
		return Answer{}, fmt.Errorf("rspamd: the answer is not understood: %w", err)
	}
	switch {
	case raw.Error != "":
		return Answer{}, fmt.Errorf("rspamd: it reports an error: %.200q", raw.Error)
	case actions()[raw.Action] == ActionUnknown:
		return Answer{}, fmt.Errorf("rspamd: the action %.40q is not known", raw.Action)
	case raw.Score == nil && !raw.Skipped:
		return Answer{}, errors.New("rspamd: the answer has no score")
	}
	a := Answer{Action: actions()[raw.Action], Required: raw.Required, Skipped: raw.Skipped}
	if raw.Score != nil {
		a.Score = *raw.Score
	}
	for name, one := range raw.Symbols {
		var s symbol
		_ = json.Unmarshal(one, &s) // a symbol that says nothing of itself has spoken all the same
		a.Symbols = append(a.Symbols, Symbol{name, s.Score})
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
	var text string
	if json.Unmarshal(raw, &text) == nil && !bytes.Equal(raw, []byte("null")) {
		return text, true
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil && number != "" {
		return number.String(), true
	}
	return "", false
}
