package fact

import (
	"time"

	"sallyport/internal/mail"
)

// Accepted says that a message became durable, or that the servers behind us took it.
type Accepted struct {
	At         time.Time
	Rule       string
	Session    Session
	Message    Message
	Recipients []string
	Reply      mail.Reply // the 250
	Evidence   []Pair
}

// Fact returns the record.
func (e Accepted) Fact() Fact {
	f := Fact{At: e.At, Kind: KindAccept, Rule: e.Rule, Recipients: e.Recipients, Reply: e.Reply}
	e.Session.on(&f)
	e.Message.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// Outcome is what a remote or a mailbox answered for recipients of a message.
type Outcome struct {
	At         time.Time
	Rule       string  // what the answer means: "delivered"
	Session    Session // only while the sender waited; its TLS is not told
	Message    Message
	Recipients []string // whom the answer was about
	Remote     string   // who answered: "mx.example [192.0.2.1]:25"
	TLS        string   // towards the remote
	Reply      mail.Reply
	Attempt    int // from 1
	Note       string
	Evidence   []Pair
}

// Fact returns the record.
func (e Outcome) Fact() Fact {
	f := Fact{
		At: e.At, Kind: KindOutcome, Rule: e.Rule, Recipients: e.Recipients, Remote: e.Remote, Reply: e.Reply,
		Count: e.Attempt, Text: e.Note,
	}
	e.Session.on(&f)
	e.Message.on(&f)
	f.TLS = e.TLS
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// Notified says that a notification was queued.
type Notified struct {
	At         time.Time
	Rule       string
	Message    Message // the notification itself
	About      mail.ID // the message that it reports on
	Recipients []string
	Evidence   []Pair // what became of whom
}

// Fact returns the record.
func (e Notified) Fact() Fact {
	f := ofMessage(KindNotify, e.At, e.Rule, e.Message, "", e.Evidence)
	f.About, f.Recipients = e.About, e.Recipients
	return f
}

// Forwarded says that mail of an account that forwards was sent on, or stayed.
type Forwarded struct {
	At         time.Time
	Rule       string
	Message    Message // what was sent on; or what stayed
	About      mail.ID // the message as which it came; zero where it stayed
	Recipients []string
	Note       string
	Evidence   []Pair
}

// Fact returns the record.
func (e Forwarded) Fact() Fact {
	f := ofMessage(KindForward, e.At, e.Rule, e.Message, e.Note, e.Evidence)
	f.About, f.Recipients = e.About, e.Recipients
	return f
}

// Held says that a message, or the queue of an account, waits for an operator.
type Held struct {
	At       time.Time
	Rule     string
	Session  Session // only while the sender waited
	Message  Message // its Account alone: all that the account has in the queue
	Reason   string
	Evidence []Pair
}

// Fact returns the record.
func (e Held) Fact() Fact {
	f := Fact{At: e.At, Kind: KindHold, Rule: e.Rule, Text: e.Reason}
	e.Session.on(&f)
	e.Message.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

// Alarm is something that a person must look at.
type Alarm struct {
	At         time.Time
	Rule       string
	Text       string
	Session    Session // where somebody who is connected gave cause
	Message    Message // the message that gave cause
	Recipients []string
	Reply      mail.Reply // what a remote said
	Remote     string     // which remote
	Times      int        // how often, or how many
	Evidence   []Pair
}

// Fact returns the record.
func (e Alarm) Fact() Fact {
	f := Fact{
		At: e.At, Kind: KindAlarm, Rule: e.Rule, Text: e.Text, Recipients: e.Recipients, Reply: e.Reply,
		Remote: e.Remote, Count: e.Times,
	}
	e.Session.on(&f)
	e.Message.on(&f)
	f.Evidence = append(f.Evidence, e.Evidence...)
	return f
}

func readMessage(f Fact) (Event, bool) {
	switch f.Kind {
	case KindAccept:
		return Accepted{f.At, f.Rule, sessionOf(f), messageOf(f), f.Recipients, f.Reply, f.Evidence}, true
	case KindOutcome:
		s := sessionOf(f)
		s.TLS = ""
		return Outcome{f.At, f.Rule, s, messageOf(f), f.Recipients, f.Remote, f.TLS, f.Reply, f.Count, f.Text, f.Evidence}, true
	case KindNotify:
		return Notified{f.At, f.Rule, messageOf(f), f.About, f.Recipients, f.Evidence}, true
	case KindForward:
		return Forwarded{f.At, f.Rule, messageOf(f), f.About, f.Recipients, f.Text, f.Evidence}, true
	case KindHold:
		return Held{f.At, f.Rule, sessionOf(f), messageOf(f), f.Text, f.Evidence}, true
	case KindAlarm:
		return Alarm{f.At, f.Rule, f.Text, sessionOf(f), messageOf(f), f.Recipients, f.Reply, f.Remote, f.Count, f.Evidence}, true
	}
	return nil, false
}
