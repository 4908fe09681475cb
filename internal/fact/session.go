package fact

import (
	"time"

	"sallyport/internal/mail"
)

// Disconnected says that a connection ended.
type Disconnected struct {
	At       time.Time
	Rule     string
	Session  Session
	Why      string
	Accepted int // messages
	// Of a message that had begun to come and never came to its end.
	Sender     string
	Recipients []string
	MessageID  string
	Evidence   []Pair
}

// Fact returns the record.
func (e Disconnected) Fact() Fact {
	f := Fact{
		At: e.At, Kind: KindDisconnect, Rule: e.Rule, Text: e.Why, Count: e.Accepted, Sender: e.Sender,
		Recipients: e.Recipients, MessageID: e.MessageID,
	}
	e.Session.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// SignIn says that a sign-in succeeded or failed.
type SignIn struct {
	At       time.Time
	Rule     string
	Session  Session // its Account: who wanted to be signed in
	Reply    mail.Reply
	Why      string
	Evidence []Pair // mechanism, user, network
}

// Fact returns the record.
func (e SignIn) Fact() Fact {
	f := Fact{At: e.At, Kind: KindAuth, Rule: e.Rule, Reply: e.Reply, Text: e.Why}
	e.Session.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// Refused says that a command, sender, recipient or message was refused.
type Refused struct {
	At         time.Time
	Rule       string
	Session    Session
	Reply      mail.Reply // what we answered
	Sender     string     // envelope sender, as far as it was known by then
	Recipients []string   // whom it was about
	MessageID  string
	Detail     string // what it was about, where nothing else says so
	Evidence   []Pair
}

// Fact returns the record.
func (e Refused) Fact() Fact {
	f := Fact{
		At: e.At, Kind: KindRefuse, Rule: e.Rule, Reply: e.Reply, Sender: e.Sender, Recipients: e.Recipients,
		MessageID: e.MessageID, Text: e.Detail,
	}
	e.Session.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

func readSession(f Fact) (Event, bool) {
	switch f.Kind {
	case KindDisconnect:
		return Disconnected{f.At, f.Rule, sessionOf(f), f.Text, f.Count, f.Sender, f.Recipients, f.MessageID, f.Evidence}, true
	case KindAuth:
		return SignIn{f.At, f.Rule, sessionOf(f), f.Reply, f.Text, f.Evidence}, true
	case KindRefuse:
		return Refused{f.At, f.Rule, sessionOf(f), f.Reply, f.Sender, f.Recipients, f.MessageID, f.Text, f.Evidence}, true
	}
	return nil, false
}
