package fact

import (
	"net/netip"

	"sallyport/internal/mail"
)

// Event is one thing that happened, of a type that says what its fields mean. Whoever
// tells of something makes one of these; the record in which all of them are stored is a
// Fact.
type Event interface {
	// Fact returns the record of the event: the one form that is stored and shown.
	Fact() Fact
}

// Session is what is known of the connection in which something happened. The zero
// Session is none.
type Session struct {
	Conn     string     // identifier of the connection
	Peer     netip.Addr // who connected to us
	Door     string     // "mx", "submission", …
	Hello    string     // argument of EHLO
	TLS      string     // protocol and cipher towards the client, "" for clear text
	Account  string     // who signed in; "" for nobody
	Evidence []Pair     // what else is known of it: a balancer, a local user
}

func (s Session) on(f *Fact) {
	f.Conn, f.Peer, f.Door, f.Hello, f.TLS, f.Account = s.Conn, s.Peer, s.Door, s.Hello, s.TLS, s.Account
	f.Evidence = append(f.Evidence, s.Evidence...)
}

func sessionOf(f Fact) Session {
	return Session{Conn: f.Conn, Peer: f.Peer, Door: f.Door, Hello: f.Hello, TLS: f.TLS, Account: f.Account}
}

// Message is what is known of the message that something happened to. The zero Message
// is none.
type Message struct {
	Queue     mail.ID
	MessageID string // with or without angle brackets
	Account   string // whose mail it is; "" leaves it to the Session
	Sender    string // envelope sender: an address, or "<>"
	Size      int64  // octets
}

func (m Message) on(f *Fact) {
	f.Queue, f.MessageID, f.Sender, f.Size = m.Queue, m.MessageID, m.Sender, m.Size
	if m.Account != "" {
		f.Account = m.Account
	}
}

func messageOf(f Fact) Message {
	return Message{Queue: f.Queue, MessageID: f.MessageID, Account: f.Account, Sender: f.Sender, Size: f.Size}
}

// Several stands for several events of strangers, or of one account, that were summed up:
// its Record has their first and last time, their number and samples.
type Several struct{ Record Fact }

// Fact returns the record as it is.
func (s Several) Fact() Fact { return s.Record }

// Unknown is an event of a kind that this release does not know.
type Unknown struct{ Record Fact }

// Fact returns the record as it is.
func (u Unknown) Fact() Fact { return u.Record }

// Event returns what the record tells, as a value of the type of its kind. Its Fact is
// the record again, if the record was made by that type.
func (f Fact) Event() Event {
	if f.Summed() {
		return Several{f}
	}
	for _, read := range []func(Fact) (Event, bool){readLife, readOperator, readSession, readMessage, readLog} {
		if e, ok := read(f); ok {
			return e
		}
	}
	return Unknown{f}
}
