package keyring

import (
	"time"

	"sallyport/internal/fact"
)

// facts are what the trace shall say of a change that a Ring makes by itself.
func (c Change) facts(at time.Time) [][]byte {
	what, domain := c.Key.Name.String()+": "+c.What, c.Key.Name.Domain.ASCII()
	which := []fact.Pair{{Name: "selector", Value: c.Key.Name.Selector}, {Name: "state", Value: c.Key.State.String()}}
	if c.Bad {
		lost := fact.Alarm{At: at, Rule: RuleDKIMKeyLost, Text: what, Message: fact.Message{Account: domain}, Evidence: which}
		return fact.EncodeAll(lost.Fact())
	}
	return fact.EncodeAll(fact.KeyChanged{At: at, Rule: RuleDKIMKey, Domain: domain, Change: what, Evidence: which}.Fact())
}
