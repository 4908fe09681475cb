package relayaudit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

var errExpect = errors.New("relayaudit: bad expectation")

// Span is a range of counts, both ends included.
type Span struct{ Min, Max int }

// Holds reports whether n lies in the span.
func (s Span) Holds(n int) bool { return n >= s.Min && n <= s.Max }

// String returns "1" or "0..1".
func (s Span) String() string {
	if s.Min == s.Max {
		return strconv.Itoa(s.Min)
	}
	return fmt.Sprintf("%d..%d", s.Min, s.Max)
}

// want is what the replies to the steps of one name must be.
type want struct {
	name string
	nth  [][]string // alternatives of the first, second, ... occurrence
}

// Expectation is what a row demands. The zero Expectation demands that nothing is
// delivered and that the connection stays open.
type Expectation struct {
	wants    []want
	Messages Span   // local mailboxes that hold the message
	Mailbox  string // the only mailbox that may, if not empty
	Sink     Span   // copies at the foreign domain
	Closed   bool   // the server must close
	MayClose bool   // the server may close
	Lacks    []string
	Has      []string
}

// parseExpectation reads the fourth column of a row.
func parseExpectation(s string) (Expectation, error) {
	var e Expectation
	for _, word := range strings.Fields(s) {
		if err := e.add(word); err != nil {
			return Expectation{}, err
		}
	}
	return e, nil
}

func (e *Expectation) add(word string) error {
	key, value, valued := strings.Cut(word, "=")
	switch {
	case key == "closed" && !valued:
		e.Closed, e.MayClose = true, true
	case key == "mayclose" && !valued:
		e.MayClose = true
	case !valued || value == "":
		return fmt.Errorf("%w: %q", errExpect, word)
	case key == "msgs":
		return parseSpan(value, &e.Messages)
	case key == "sink":
		return parseSpan(value, &e.Sink)
	case key == "at":
		e.Mailbox = value
	case key == "lacks":
		e.Lacks = append(e.Lacks, value)
	case key == "has":
		e.Has = append(e.Has, value)
	default:
		return e.addWant(key, value)
	}
	return nil
}

func (e *Expectation) addWant(name, value string) error {
	w := want{name: name}
	for _, nth := range strings.Split(value, ",") {
		alternatives := strings.Split(nth, "/")
		for _, a := range alternatives {
			if !isPattern(a) {
				return fmt.Errorf("%w: %q in %s=%s is neither a digit, a code nor an outcome", errExpect, a, name, value)
			}
		}
		w.nth = append(w.nth, alternatives)
	}
	for _, x := range e.wants {
		if x.name == name {
			return fmt.Errorf("%w: %s stands twice", errExpect, name)
		}
	}
	e.wants = append(e.wants, w)
	return nil
}

func parseSpan(s string, to *Span) error {
	low, high, ranged := strings.Cut(s, "..")
	if !ranged {
		high = low
	}
	a, err1 := strconv.Atoi(low)
	b, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || a < 0 || b < a {
		return fmt.Errorf("%w: %q is no count", errExpect, s)
	}
	*to = Span{a, b}
	return nil
}

func isPattern(s string) bool {
	switch s {
	case OutcomeClose, OutcomeAlert, OutcomeSkip, OutcomeOK, OutcomeFail, "any":
		return true
	}
	if e, rest, ok := mail.ParseEnhanced(s); ok && rest == "" && e.String() == s {
		return true
	}
	if len(s) != 1 && len(s) != 3 {
		return false
	}
	n, err := strconv.Atoi(s)
	return err == nil && (n >= 2 && n <= 5 || n >= 200 && n <= 599)
}

// judge compares the replies with the wants and returns what is wrong, in words.
func (e Expectation) judge(replies []Exchange) []string {
	var faults []string
	seen := map[string]int{}
	for _, x := range replies {
		i := seen[x.Name]
		seen[x.Name]++
		if x.Outcome == OutcomeTimeout || x.Outcome == OutcomeGarbage {
			faults = append(faults, fmt.Sprintf("%s: %s", x.Name, x.Outcome))
			continue
		}
		if fault := e.judgeOne(x, i); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// judgeOne judges the i-th reply of its name.
func (e Expectation) judgeOne(x Exchange, i int) string {
	if x.Outcome == OutcomeClose && e.MayClose {
		return ""
	}
	for _, w := range e.wants {
		if w.name != x.Name {
			continue
		}
		alternatives := w.nth[min(i, len(w.nth)-1)]
		for _, a := range alternatives {
			if matches(a, x) {
				return ""
			}
		}
		return fmt.Sprintf("%s: wanted %s, got %s", x.Name, strings.Join(alternatives, "/"), x.words())
	}
	return ""
}

func matches(pattern string, x Exchange) bool {
	switch {
	case pattern == "any", pattern == x.Outcome:
		return true
	case x.Reply.Code == 0:
		return false
	case len(pattern) == 1:
		return x.Outcome[:1] == pattern
	}
	return pattern == x.Reply.Enhanced.String()
}
