package relayaudit

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrCases wraps every fault of the table; its text names the line.
var ErrCases = errors.New("relayaudit: bad table of cases")

//go:embed cases.txt
var table string

// maxRows and maxRowOctets bound the table.
const (
	maxRows      = 20_000
	maxRowOctets = 16 << 10
)

// State says where a conversation stands when a script begins. The zero State is
// none.
type State uint8

const (
	StateUnknown       State = iota
	StateFresh               // S0: connected to port 25
	StateFresh587            // S0/587
	StateFresh465            // S0/465: the handshake is done, the greeting not read
	StateMX                  // S25
	StateMXTLS               // S25T
	StateSubmission          // S587
	StateSubmissionTLS       // S587T
	StateSubmissions         // S465
	StateSignedIn            // A
)

// stateNames are the words of the table, in the order of the constants.
var stateNames = []string{"?", "S0", "S0/587", "S0/465", "S25", "S25T", "S587", "S587T", "S465", "A"}

// String returns the word of the table.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[0]
}

// Case is one row of the table.
type Case struct {
	ID       string
	State    State
	Script   string // as written
	Expect   Expectation
	Expected string // as written
	Source   string

	Alone    bool // not in a session shared with other rows
	Clear    bool // not also inside TLS
	Lockstep bool // the row itself says how its bytes are cut

	steps []step
}

// Cases returns the rows of the table that this package carries. Each call parses
// anew, so that a caller may change what it got.
func Cases() ([]Case, error) { return ParseCases(strings.NewReader(table)) }

// ParseCases reads a table in the form of the package comment. Every fault it
// finds is in the one error, each with its line.
func ParseCases(r io.Reader) ([]Case, error) {
	p := parser{ids: map[string]bool{}}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxRowOctets)
	for sc.Scan() && len(p.cases) < maxRows {
		p.line++
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.row(line); err != nil {
			p.faults = append(p.faults, fmt.Errorf("%w: line %d: %w", ErrCases, p.line, err))
		}
	}
	if err := sc.Err(); err != nil {
		p.faults = append(p.faults, fmt.Errorf("%w: line %d: %w", ErrCases, p.line+1, err))
	}
	if len(p.cases) >= maxRows {
		p.faults = append(p.faults, fmt.Errorf("%w: %d rows or more", ErrCases, maxRows))
	}
	return p.cases, errors.Join(p.faults...)
}

type parser struct {
	line   int
	cases  []Case
	ids    map[string]bool
	faults []error
}

func (p *parser) row(line string) error {
	cols := strings.Split(line, " | ")
	if len(cols) != 5 {
		return fmt.Errorf("%d columns instead of 5", len(cols))
	}
	for i := range cols {
		cols[i] = strings.TrimSpace(cols[i])
	}
	c := Case{ID: cols[0], Script: cols[2], Expected: cols[3], Source: cols[4]}
	if err := c.setState(cols[1]); err != nil {
		return err
	}
	var err error
	if c.Expect, err = parseExpectation(cols[3]); err != nil {
		return err
	}
	if prefix, bdat, ok := reference(c.Script); ok {
		return p.again(c, prefix, bdat)
	}
	if c.steps, err = parseScript(c.Script); err != nil {
		return err
	}
	return p.append(c)
}

func (p *parser) append(c Case) error {
	if p.ids[c.ID] {
		return fmt.Errorf("id %s stands twice", c.ID)
	}
	for _, w := range c.Expect.wants {
		if !hasReply(c.steps, w.name) {
			return fmt.Errorf("id %s expects a reply to %q, but no step has that name", c.ID, w.name)
		}
	}
	p.ids[c.ID] = true
	p.cases = append(p.cases, c)
	return nil
}

func hasReply(steps []step, name string) bool {
	return slices.ContainsFunc(steps, func(s step) bool { return s.replies(name) })
}

// reference recognises "@E" and "bdat@E".
func reference(script string) (prefix string, bdat, ok bool) {
	how, prefix, ok := strings.Cut(script, "@")
	if !ok || how != "" && how != "bdat" || strings.ContainsAny(prefix, " <{") {
		return "", false, false
	}
	return prefix, how == "bdat", true
}

// again adds the rows whose id begins with prefix once more, in the state and
// with the expectation of c, as far as their steps have the replies that it names.
// A row that needs another state than a plain one
// (signed in, before the greeting) is not repeated.
func (p *parser) again(c Case, prefix string, bdat bool) error {
	found := 0
	for _, x := range p.cases {
		if !strings.HasPrefix(x.ID, prefix) || x.State != StateMX || strings.Contains(x.ID, "/") {
			continue
		}
		found++
		n := c
		n.ID, n.Script = c.ID+"/"+x.ID, x.Script
		n.Alone, n.Lockstep = n.Alone || x.Alone, n.Lockstep || x.Lockstep
		n.steps = x.steps
		if bdat {
			n.steps = byBDAT(x.steps)
		}
		n.Expect.wants = slices.DeleteFunc(slices.Clone(n.Expect.wants), func(w want) bool { return !hasReply(n.steps, w.name) })
		if err := p.append(n); err != nil {
			return err
		}
	}
	if found == 0 {
		return fmt.Errorf("no row before this one begins with %q", prefix)
	}
	return nil
}

// setState reads the second column.
func (c *Case) setState(s string) error {
	words := strings.Fields(s)
	if len(words) == 0 {
		return errors.New("no state")
	}
	for i, name := range stateNames[1:] {
		if words[0] == name {
			c.State = State(i + 1)
		}
	}
	if c.State == StateUnknown {
		return fmt.Errorf("unknown state %q", words[0])
	}
	for _, w := range words[1:] {
		switch w {
		case "alone":
			c.Alone = true
		case "clear":
			c.Clear = true
		case "lockstep":
			c.Lockstep = true
		default:
			return fmt.Errorf("unknown flag %q", w)
		}
	}
	return nil
}
