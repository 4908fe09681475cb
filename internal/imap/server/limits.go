package server

import (
	"fmt"
	"time"

	imapwire "sallyport/internal/imap/wire"
)

// Limits bounds everything that a client can make the engine hold, do or wait for. Every field
// must be positive.
type Limits struct {
	// Commands bounds a command of somebody who has signed in, Strangers one of anybody else.
	Commands imapwire.Limits
	// Strangers bounds a command before sign-in.
	Strangers imapwire.Limits
	// StrangerCommands is how many commands may come before sign-in.
	StrangerCommands int
	// StrangerDuration bounds all of the time before sign-in.
	StrangerDuration time.Duration
	// StrangerTimeout bounds the wait for one whole command before sign-in.
	StrangerTimeout time.Duration
	// IdleTimeout bounds the wait for the next command of who has signed in, and IDLE. RFC 9051 §5.4 asks
	// for at least 30 minutes.
	IdleTimeout time.Duration
	// CommandTimeout bounds the wait for the rest of a command that has begun, and for the next
	// octets of a message.
	CommandTimeout time.Duration
	// WriteTimeout bounds the sending of OutOctets to a client that does not read.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds a TLS handshake.
	HandshakeTimeout time.Duration
	// EndGrace is how long a command in progress may go on when the session must end.
	EndGrace time.Duration
	// LingerTimeout bounds what is read and thrown away after a BYE of ours, so that the
	// client gets to see it, together with LingerOctets.
	LingerTimeout time.Duration
	// LingerOctets bounds the octets of it.
	LingerOctets int64

	// MessageOctets is the largest message that APPEND takes. RFC 7889.
	MessageOctets int64
	// Messages is how many messages one APPEND may have. RFC 3502.
	Messages int
	// DrainOctets is how much of a literal that is refused and comes all the same is read to its end.
	DrainOctets int64
	// OutOctets is how much is gathered before it is sent.
	OutOctets int
	// Pending is how many messages that are gone a session may have been told nothing of: one that
	// never gives a command within which it may be told is ended.
	Pending int

	// Errors is how many commands in a row may be answered BAD.
	Errors int
	// AuthFailures is how many sign-ins may fail, AuthRounds how many challenges one may take.
	AuthFailures, AuthRounds int
	// AuthFailureDelay is added before the answer to each sign-in that failed, once more for each.
	AuthFailureDelay time.Duration
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Commands: imapwire.DefaultLimits(), Strangers: imapwire.DefaultStrangerLimits(),
		StrangerCommands: 50, StrangerDuration: 3 * time.Minute, StrangerTimeout: time.Minute,
		IdleTimeout: 31 * time.Minute, CommandTimeout: 3 * time.Minute, WriteTimeout: 2 * time.Minute,
		HandshakeTimeout: 30 * time.Second, EndGrace: 500 * time.Millisecond,
		LingerTimeout: time.Second, LingerOctets: 256 << 10,
		MessageOctets: 50 << 20, Messages: 1000, DrainOctets: 1 << 20, OutOctets: 32 << 10, Pending: 100000,
		Errors: 20, AuthFailures: 3, AuthRounds: 8, AuthFailureDelay: time.Second,
	}
}

// check names the first limit that is not positive: an unset limit is no limit.
func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Commands", int64(l.Commands.CommandOctets)}, {"Strangers", int64(l.Strangers.CommandOctets)},
		{"StrangerCommands", int64(l.StrangerCommands)}, {"StrangerDuration", int64(l.StrangerDuration)},
		{"StrangerTimeout", int64(l.StrangerTimeout)},
		{"IdleTimeout", int64(l.IdleTimeout)}, {"CommandTimeout", int64(l.CommandTimeout)}, {"WriteTimeout", int64(l.WriteTimeout)},
		{"HandshakeTimeout", int64(l.HandshakeTimeout)}, {"EndGrace", int64(l.EndGrace)}, {"LingerTimeout", int64(l.LingerTimeout)},
		{"LingerOctets", l.LingerOctets}, {"MessageOctets", l.MessageOctets}, {"Messages", int64(l.Messages)},
		{"DrainOctets", l.DrainOctets}, {"OutOctets", int64(l.OutOctets)}, {"Pending", int64(l.Pending)}, {"Errors", int64(l.Errors)},
		{"AuthFailures", int64(l.AuthFailures)}, {"AuthRounds", int64(l.AuthRounds)}, {"AuthFailureDelay", int64(l.AuthFailureDelay)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("imap: limit %s is %d; it must be positive", f.name, f.value)
		}
	}
	return nil
}
