package directory

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConfig is wrapped by every Faults.
var ErrConfig = errors.New("directory: bad configuration")

// Kind says what a Subject is. The zero Kind is the server as a whole.
type Kind uint8

const (
	KindServer Kind = iota
	KindDomain
	KindAlias
	KindForward
	KindDelegate
	KindRoute
	KindAccount
	KindContact
	KindNetwork
)

// String returns the word for the kind, as the command line has it.
func (k Kind) String() string {
	switch k {
	case KindServer:
		return "server"
	case KindDomain:
		return "domain"
	case KindAlias:
		return "alias"
	case KindForward:
		return "forward"
	case KindDelegate:
		return "delegate"
	case KindRoute:
		return "route"
	case KindAccount:
		return "account"
	case KindContact:
		return "contact"
	case KindNetwork:
		return "network"
	}
	return "unknown"
}

// Subject names one entry of the directory as an operator would: a domain, an
// address, "@" and the domain of a catch-all; a delegate by its account and the
// address, with a space between.
type Subject struct {
	Kind Kind
	Name string
}

// Fault is one thing that cannot stand.
type Fault struct {
	// About are the entries that it is about; where they are at odds with one
	// another, changing any of them heals it.
	About []Subject
	Text  string
}

// Error returns the text.
func (f Fault) Error() string { return f.Text }

// Faults is everything that is wrong with a directory. It wraps ErrConfig.
type Faults []Fault

// Error returns every fault in a line of its own.
func (fs Faults) Error() string {
	lines := []string{ErrConfig.Error()}
	for _, f := range fs {
		lines = append(lines, f.Text)
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes errors.Is find ErrConfig.
func (fs Faults) Unwrap() error { return ErrConfig }

// faults collects what is wrong with a configuration.
type faults struct{ found Faults }

// add notes a fault of the server as a whole.
func (f *faults) add(format string, args ...any) {
	f.about(Subject{}, format, args...)
}

// about notes a fault of one entry.
func (f *faults) about(s Subject, format string, args ...any) {
	f.found = append(f.found, Fault{About: []Subject{s}, Text: fmt.Sprintf(format, args...)})
}

// distinct returns both subjects, or the one that they are.
func distinct(a, b Subject) []Subject {
	if a == b {
		return []Subject{a}
	}
	return []Subject{a, b}
}

func (f *faults) err() error {
	if len(f.found) == 0 {
		return nil
	}
	return f.found
}
