package pop3

import (
	"fmt"
	"time"
)

// Limits bounds everything that a client can make the engine hold, do or wait for. Every field
// must be positive.
type Limits struct {
	// CommandOctets is the longest command, with its line end. RFC 2449 §4 asks for 255.
	CommandOctets int
	// AuthOctets is the longest AUTH command, and the longest response of an exchange.
	AuthOctets int
	// StrangerCommands is how many commands may come before sign-in.
	StrangerCommands int
	// StrangerDuration bounds all of the time before sign-in.
	StrangerDuration time.Duration
	// StrangerTimeout bounds the wait for one whole command before sign-in.
	StrangerTimeout time.Duration
	// IdleTimeout bounds the wait for the next command of who has signed in. RFC 1939 §3 asks for
	// at least 10 minutes.
	IdleTimeout time.Duration
	// CommandTimeout bounds the wait for the rest of a command that has begun.
	CommandTimeout time.Duration
	// WriteTimeout bounds the sending of OutOctets to a client that does not read.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds a TLS handshake.
	HandshakeTimeout time.Duration
	// EndGrace is how long a command in progress may go on when the session must end.
	EndGrace time.Duration
	// LingerTimeout bounds what is read and thrown away after a last word of ours, so that the
	// client gets to see it, together with LingerOctets.
	LingerTimeout time.Duration
	// LingerOctets bounds the octets of it.
	LingerOctets int64
	// OutOctets is how much is gathered before it is sent.
	OutOctets int

	// Errors is how many commands in a row may be refused for their grammar.
	Errors int
	// AuthFailures is how many sign-ins may fail, AuthRounds how many challenges one may take.
	AuthFailures, AuthRounds int
	// AuthFailureDelay is added before the answer to each sign-in that failed, once more for each.
	AuthFailureDelay time.Duration
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		CommandOctets: 512, AuthOctets: 12288, StrangerCommands: 50, StrangerDuration: 3 * time.Minute, StrangerTimeout: time.Minute,
		IdleTimeout: 10 * time.Minute, CommandTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		HandshakeTimeout: 30 * time.Second, EndGrace: 500 * time.Millisecond,
		LingerTimeout: time.Second, LingerOctets: 256 << 10, OutOctets: 32 << 10,
		Errors: 20, AuthFailures: 3, AuthRounds: 8, AuthFailureDelay: time.Second,
	}
}

// check names the first limit that is not positive: an unset limit is no limit.
func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"CommandOctets", int64(l.CommandOctets)}, {"AuthOctets", int64(l.AuthOctets)}, {"StrangerCommands", int64(l.StrangerCommands)},
		{"StrangerDuration", int64(l.StrangerDuration)}, {"StrangerTimeout", int64(l.StrangerTimeout)},
		{"IdleTimeout", int64(l.IdleTimeout)},
		{"CommandTimeout", int64(l.CommandTimeout)}, {"WriteTimeout", int64(l.WriteTimeout)},
		{"HandshakeTimeout", int64(l.HandshakeTimeout)},
		{"EndGrace", int64(l.EndGrace)}, {"LingerTimeout", int64(l.LingerTimeout)},
		{"LingerOctets", l.LingerOctets}, {"OutOctets", int64(l.OutOctets)},
		{"Errors", int64(l.Errors)}, {"AuthFailures", int64(l.AuthFailures)},
		{"AuthRounds", int64(l.AuthRounds)}, {"AuthFailureDelay", int64(l.AuthFailureDelay)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("pop3: limit %s is %d; it must be positive", f.name, f.value)
		}
	}
	return nil
}
