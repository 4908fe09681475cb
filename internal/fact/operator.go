package fact

import (
	"time"

	"sallyport/internal/mail"
)

// AccountChanged says that an account was added, changed, frozen, thawed or removed.
type AccountChanged struct {
	At       time.Time
	Rule     string
	Account  string // whose
	Change   string // "frozen"
	Evidence []Pair // by whom, and why
}

// Fact returns the record.
func (e AccountChanged) Fact() Fact {
	return Fact{At: e.At, Kind: KindAccount, Rule: e.Rule, Account: e.Account, Text: e.Change, Evidence: e.Evidence}
}

// DirectoryChanged says that a domain, alias, forward, delegate or contact was added, changed or
// removed.
type DirectoryChanged struct {
	At       time.Time
	Rule     string
	Name     string   // of the entry: the address or domain that it is found by
	Targets  []string // where an alias or forward leads to, as far as it was changed
	SendsAs  string   // as whom a delegate may send
	Change   string   // "alias added"
	Evidence []Pair   // by whom
}

// Fact returns the record.
func (e DirectoryChanged) Fact() Fact {
	return Fact{
		At: e.At, Kind: KindDirectory, Rule: e.Rule, Account: e.Name, Recipients: e.Targets, Sender: e.SendsAs,
		Text: e.Change, Evidence: e.Evidence,
	}
}

// CalloutsForgotten says that an operator had forgotten what servers behind us said of
// recipients.
type CalloutsForgotten struct {
	At         time.Time
	Rule       string
	Recipients []string // where they were named
	Answers    int      // how many were forgotten
	Text       string
	Evidence   []Pair // by whom, and the domain
}

// Fact returns the record.
func (e CalloutsForgotten) Fact() Fact {
	return Fact{
		At: e.At, Kind: KindCallout, Rule: e.Rule, Recipients: e.Recipients, Count: e.Answers, Text: e.Text, Evidence: e.Evidence,
	}
}

// KeyChanged says what became of a key that signs mail, or certificates of devices.
type KeyChanged struct {
	At       time.Time
	Rule     string
	Domain   string // in ASCII, so that addr:example.org finds it
	Change   string
	Evidence []Pair // its name, its state, by whom
}

// Fact returns the record.
func (e KeyChanged) Fact() Fact {
	return Fact{At: e.At, Kind: KindKey, Rule: e.Rule, Account: e.Domain, Text: e.Change, Evidence: e.Evidence}
}

// Incident says that an account was contained, or that its incident ended.
type Incident struct {
	At       time.Time
	Rule     string
	Account  string // whose
	Number   uint64 // of the incident
	Change   string // "incident 7 raised"
	Session  Session
	Message  Message // what it was found with
	Evidence []Pair
}

// Fact returns the record.
func (e Incident) Fact() Fact {
	f := Fact{At: e.At, Kind: KindIncident, Rule: e.Rule, Count: int(e.Number), Text: e.Change}
	e.Session.on(&f)
	e.Message.on(&f)
	f.Account = e.Account
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// Released says that a message, or the queue of an account, may go on.
type Released struct {
	At       time.Time
	Rule     string
	Message  Message // its Account alone: all that the account has in the queue
	Text     string
	Evidence []Pair
}

// Fact returns the record.
func (e Released) Fact() Fact {
	return ofMessage(KindRelease, e.At, e.Rule, e.Message, e.Text, e.Evidence)
}

// Retried says that an operator asked for another attempt now.
type Retried struct {
	At       time.Time
	Rule     string
	Message  Message
	Evidence []Pair
}

// Fact returns the record.
func (e Retried) Fact() Fact { return ofMessage(KindRetry, e.At, e.Rule, e.Message, "", e.Evidence) }

// Removed says that an operator removed a message from the queue for good.
type Removed struct {
	At       time.Time
	Rule     string
	Message  Message
	Evidence []Pair
}

// Fact returns the record.
func (e Removed) Fact() Fact { return ofMessage(KindRemove, e.At, e.Rule, e.Message, "", e.Evidence) }

// Redirected says that an operator gave a message in the queue another recipient.
type Redirected struct {
	At         time.Time
	Rule       string  // of the gate, which let the new recipient in
	Message    Message // as it waits now
	About      mail.ID // as which it waited
	Recipients []string
	Evidence   []Pair // instead of whom, by whom, and why
}

// Fact returns the record.
func (e Redirected) Fact() Fact {
	f := ofMessage(KindRedirect, e.At, e.Rule, e.Message, "", e.Evidence)
	f.About, f.Recipients = e.About, e.Recipients
	return f
}

// Asked says that somebody looked at what is others': an operator at a message, or a
// helper, who may look and do nothing else, at anything.
type Asked struct {
	At       time.Time
	Rule     string
	Message  Message // which was read; zero: it was no message
	What     string
	Evidence []Pair // by whom
}

// Fact returns the record.
func (e Asked) Fact() Fact { return ofMessage(KindAsk, e.At, e.Rule, e.Message, e.What, e.Evidence) }

func ofMessage(k Kind, at time.Time, rule string, m Message, text string, evidence []Pair) Fact {
	f := Fact{At: at, Kind: k, Rule: rule, Text: text, Evidence: evidence}
	m.on(&f)
	return f
}

func readOperator(f Fact) (Event, bool) {
	switch f.Kind {
	case KindAccount:
		return AccountChanged{f.At, f.Rule, f.Account, f.Text, f.Evidence}, true
	case KindDirectory:
		return DirectoryChanged{f.At, f.Rule, f.Account, f.Recipients, f.Sender, f.Text, f.Evidence}, true
	case KindCallout:
		return CalloutsForgotten{f.At, f.Rule, f.Recipients, f.Count, f.Text, f.Evidence}, true
	case KindKey:
		return KeyChanged{f.At, f.Rule, f.Account, f.Text, f.Evidence}, true
	case KindIncident:
		return Incident{f.At, f.Rule, f.Account, uint64(max(f.Count, 0)), f.Text, sessionOf(f), messageOf(f), f.Evidence}, true
	case KindRelease:
		return Released{f.At, f.Rule, messageOf(f), f.Text, f.Evidence}, true
	case KindRetry:
		return Retried{f.At, f.Rule, messageOf(f), f.Evidence}, true
	case KindRemove:
		return Removed{f.At, f.Rule, messageOf(f), f.Evidence}, true
	case KindRedirect:
		return Redirected{f.At, f.Rule, messageOf(f), f.About, f.Recipients, f.Evidence}, true
	case KindAsk:
		return Asked{f.At, f.Rule, messageOf(f), f.Text, f.Evidence}, true
	}
	return nil, false
}
