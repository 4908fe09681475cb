// Package verdict judges the promises of the server by what a rehearsal left behind. It takes
// what was seen in the sink, the store and the trace, and never asks what a scenario thinks of
// itself.
package verdict

import "fmt"

// Promise is one of the seven. The zero Promise is none.
type Promise uint8

// The promises, in the order in which README.md makes them.
const (
	NoRelay Promise = iota + 1
	NoLie
	NoHijack
	NoFalse250
	NoBackscatter
	NoBomb
	NoOpenQuestion
)

// Promises returns all of them in order.
func Promises() []Promise {
	return []Promise{NoRelay, NoLie, NoHijack, NoFalse250, NoBackscatter, NoBomb, NoOpenQuestion}
}

// String is the promise as README.md makes it.
func (p Promise) String() string { return p.told().name }

// Plain is what the promise means to somebody who keeps no mail server.
func (p Promise) Plain() string { return p.told().plain }

// Read is where more is told of it.
func (p Promise) Read() string { return p.told().read }

// MarshalText writes the promise as one word for machines.
func (p Promise) MarshalText() ([]byte, error) { return []byte(p.told().word), nil }

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (p *Promise) UnmarshalText(b []byte) error {
	for _, q := range Promises() {
		if q.told().word == string(b) {
			*p = q
			return nil
		}
	}
	return fmt.Errorf("%q is no promise", b)
}

type told struct{ name, word, plain, read string }

func (p Promise) told() told {
	switch p {
	case NoRelay:
		return told{
			"No stranger relays", "no-relay",
			"Nobody who has no account here can send mail to other people through this server.",
			"docs/threat-model.md, promise 1",
		}
	case NoLie:
		return told{
			"No sender lies", "no-lie", "Nobody who has an account here can send in somebody else's name.",
			"docs/threat-model.md, promise 2",
		}
	case NoHijack:
		return told{
			"No hijack lasts", "no-hijack",
			"Whoever steals a password is stopped before much of their mail leaves.", "docs/hijack.md",
		}
	case NoFalse250:
		return told{
			"No 250 is a lie", "no-false-250",
			"Mail that this server said it took is there, even when it is killed a moment later.",
			"docs/threat-model.md, promise 4",
		}
	case NoBackscatter:
		return told{
			"No bounce reaches an innocent", "no-backscatter",
			"Nobody gets error messages about mail that somebody else sent in their name.",
			"docs/threat-model.md, promise 5",
		}
	case NoBomb:
		return told{
			"No bomb lands", "no-bomb",
			"Huge, endless or very many messages fill no disk and keep nobody else out.", "docs/bounds.md",
		}
	case NoOpenQuestion:
		return told{
			"No question stays open", "no-open-question",
			"What became of each message can be looked up, and the record can't be changed unnoticed.",
			"docs/operations.md, trace",
		}
	}
	return told{"no promise", "none", "", ""}
}

// State says how a promise did. The zero State is NotTested.
type State uint8

// What a promise can be.
const (
	NotTested State = iota // nothing that was seen says anything about it
	Kept                   // everything that was measured is within its bound
	Broken                 // something is beyond it
)

// String is the state in words.
func (s State) String() string {
	switch s {
	case Kept:
		return "kept"
	case Broken:
		return "broken"
	}
	return "not tested"
}

// MarshalText writes String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (s *State) UnmarshalText(b []byte) error {
	for _, v := range []State{NotTested, Kept, Broken} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%q is no state of a promise", b)
}
