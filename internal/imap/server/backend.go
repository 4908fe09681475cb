package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"time"

	"sallyport/internal/door/sasl"
	"sallyport/internal/mailbox"
)

// Backend decides who may speak. It is used by all connections at once.
type Backend interface {
	// Connect is asked when a connection is accepted, and its TLS is up where that comes first.
	// An error is told in BYE, and the connection closed; what it says is told if it is a
	// *Refusal.
	Connect(ctx context.Context, c Conn) (Session, error)
}

// Conn is what is known of a connection when it is accepted.
type Conn struct {
	ID            string // unique, and sorts by time
	Implicit      bool   // TLS came first: imaps
	Remote, Local netip.AddrPort
	Started       time.Time
	// End ends the connection: who waits or idles is told BYE with the text, a command in
	// progress has Limits.EndGrace to come to its end. Any goroutine may call it, at any
	// time; the first text counts.
	End func(text string)
}

// Channel is what a sign-in comes over. TLS is nil in clear text.
type Channel struct {
	TLS *tls.ConnectionState
	// Certificate is the one that we presented; nil where that is unknown.
	Certificate *x509.Certificate
	// Offer is the fingerprint of what the client offered when TLS began, as Options.Handshake said.
	Offer string
	Plus  bool // SASL can be bound to it
}

// Session is one connection. Its methods are called by one goroutine, never two at a
// time. ctx ends with the connection.
type Session interface {
	// Mechanisms lists the SASL mechanisms to offer. It is asked under TLS alone. LOGIN is a
	// command of its own, which is offered where PLAIN is.
	Mechanisms(c Channel) []string
	// Auth begins a SASL exchange with a mechanism that is on offer.
	Auth(ctx context.Context, c Channel, mechanism string) (SASL, error)
	// Login is the command LOGIN. An error is told as Refusal says.
	Login(ctx context.Context, c Channel, user, password string) error
	// Mailboxes are those of who has signed in. The Session closes them, after Close was called.
	Mailboxes() *mailbox.User
	// Room is what the mailbox of who has signed in holds and may hold, as it is now.
	Room(ctx context.Context) (Room, error)
	// Without names extensions that are not offered to who has signed in.
	Without() []string
	// Program tells what the program says of itself with ID, names in small letters. Nothing
	// in it is verified, and its octets may be any. It may come at any time and again.
	Program(ctx context.Context, fields map[string]string)
	// Refused tells of a sign-in that the engine itself refused, or of messages for which there is no room, by the command and
	// in the words that the client was told: nothing that it sent is among them.
	Refused(ctx context.Context, command, text string)
	// Close is called exactly once, at the end. why is one of the End constants.
	Close(ctx context.Context, why string)
}

// Room is what a mailbox holds, and the most that it may. Of what is not bounded Most is below 0.
type Room struct {
	Octets, MostOctets     int64
	Messages, MostMessages int64
}

// SASL is one exchange.
type SASL = sasl.Mechanism

// Refusal is an error whose words are for the client.
type Refusal struct {
	// Code is the response code of RFC 9051 §7.1: AUTHENTICATIONFAILED, UNAVAILABLE, EXPIRED,
	// AUTHORIZATIONFAILED, PRIVACYREQUIRED, CONTACTADMIN, LIMIT; "": none.
	Code string
	Text string
	// Bad: it is a fault of the client's grammar, answered BAD.
	Bad bool
	// Close: the connection ends after it.
	Close bool
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Why a connection ended, as told to Session.Close.
const (
	EndLogout       = "logout"
	EndEOF          = "eof"     // the client left without LOGOUT
	EndTimeout      = "timeout" // of a command, a literal or a write
	EndTooLong      = "command-too-long"
	EndInjection    = "injection"     // octets behind STARTTLS
	EndTLS          = "tls-handshake" // failed
	EndErrors       = "too-many-errors"
	EndAuthFailures = "too-many-auth-failures"
	EndDuration     = "sign-in-too-long"
	EndPolicy       = "policy" // the session refused or ended it
	EndShutdown     = "shutdown"
	EndMemory       = "no-memory"
	EndNotIMAP      = "not-imap" // another protocol's request
	EndLost         = "mailbox-lost"
)
