package fact

import (
	"time"

	"sallyport/internal/mail"
)

// Refusals stands in the log for a bundle of facts about strangers.
type Refusals struct {
	At     time.Time
	Count  int     // events that the bundle stands for
	Bundle mail.ID // where their bodies are
	Digest string  // hash over the bodies, base64
}

// Fact returns the record.
func (e Refusals) Fact() Fact {
	return Fact{At: e.At, Kind: KindRefusals, Count: e.Count, Bundle: e.Bundle, Digest: e.Digest}
}

// Forgotten says that bodies of old facts were removed.
type Forgotten struct {
	At    time.Time
	Rule  string
	Count int
	UpTo  Pair // what of is gone: facts before a number, or bundles up to one
}

// Fact returns the record.
func (e Forgotten) Fact() Fact {
	return Fact{At: e.At, Kind: KindRetention, Rule: e.Rule, Count: e.Count, Evidence: []Pair{e.UpTo}}
}

func readLog(f Fact) (Event, bool) {
	switch f.Kind {
	case KindRefusals:
		return Refusals{f.At, f.Count, f.Bundle, f.Digest}, true
	case KindRetention:
		e := Forgotten{At: f.At, Rule: f.Rule, Count: f.Count}
		if len(f.Evidence) > 0 {
			e.UpTo = f.Evidence[0]
		}
		return e, true
	}
	return nil, false
}
