package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Position is a place in a configuration file. Line and Column count from 1, the
// column in characters; both are 0 for the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns "file:line:column" as editors and compilers read it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Fault is one thing wrong with a configuration.
type Fault struct {
	Position Position `json:"position"`
	Text     string   `json:"text"`           // what is wrong: a key, or a value as it stands
	Message  string   `json:"message"`        // why, in words
	Hint     string   `json:"hint,omitempty"` // what to do
	Source   string   `json:"source,omitempty"`
	Width    int      `json:"width,omitempty"` // characters of Source from the column on that are meant
}

// Error returns one line: where, what, why and what to do.
func (f Fault) Error() string {
	s := f.Position.String() + ": "
	if f.Text != "" {
		s += f.Text + ": "
	}
	s += f.Message
	if f.Hint != "" {
		s += "; " + f.Hint
	}
	return s
}

// Fault returns a fault of the value of a key, found by whoever uses it.
func (c Config) Fault(key, message, hint string) Fault {
	return Fault{Position: c.At(key), Text: key, Message: message, Hint: hint}
}

// Excerpt returns the source line with a caret under the fault, each line
// indented, or "" where there is none to show.
func (f Fault) Excerpt() string {
	if f.Position.Line == 0 || f.Source == "" {
		return ""
	}
	number := strconv.Itoa(f.Position.Line)
	margin := strings.Repeat(" ", len(number))
	// Tabs are kept, so that the caret stands under the text in any tab width.
	pad := strings.Map(keepTab, runesBefore(f.Source, f.Position.Column-1))
	return fmt.Sprintf("  %s | %s\n  %s | %s%s\n",
		number, f.Source, margin, pad, strings.Repeat("^", max(f.Width, 1)))
}

// Faults is everything wrong with a configuration, in the order of the file. It
// is the error that Load returns.
type Faults []Fault

// Error returns every fault with its source line.
func (fs Faults) Error() string {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
		if x := f.Excerpt(); x != "" {
			b.WriteByte('\n')
			b.WriteString(strings.TrimSuffix(x, "\n"))
		}
	}
	return b.String()
}

func keepTab(r rune) rune {
	if r == '\t' {
		return r
	}
	return ' '
}

// runesBefore returns the first n characters of s.
func runesBefore(s string, n int) string {
	end := 0
	for range n {
		if end >= len(s) {
			break
		}
		_, size := utf8.DecodeRuneInString(s[end:])
		end += size
	}
	return s[:end]
}
