package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/netip"
	"time"

	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// Kind says what a listener is for. The zero Kind is refused.
type Kind uint8

const (
	KindUnknown     Kind = iota
	KindMX               // port 25: AUTH is never offered
	KindSubmission       // port 587: nothing but STARTTLS before TLS. RFC 6409
	KindSubmissions      // port 465: TLS from the first octet. RFC 8314 §3.3
	KindSendmail         // the local sendmail command: its user is known by uid, and no network leads here
)

// String returns the kind for logs.
func (k Kind) String() string {
	switch k {
	case KindMX:
		return "mx"
	case KindSubmission:
		return "submission"
	case KindSubmissions:
		return "submissions"
	case KindSendmail:
		return "sendmail"
	}
	return "unknown"
}

// Kinds are all kinds of doors.
func Kinds() []Kind { return []Kind{KindMX, KindSubmission, KindSubmissions, KindSendmail} }

// KindOf returns the kind of a name; KindUnknown: there is none.
func KindOf(name string) Kind {
	for _, k := range Kinds() {
		if k.String() == name {
			return k
		}
	}
	return KindUnknown
}

// Backend decides who may speak. It is used by all connections at once.
type Backend interface {
	// Connect is asked when a connection is accepted (and its TLS is up, on
	// KindSubmissions). The Session is not nil exactly if the reply is a success;
	// its text is added to the greeting. A refusal (421, 554) is sent and the
	// connection closed. What c says never changes, and it may be kept as long as the Session.
	Connect(ctx context.Context, c *Conn) (Session, mail.Reply)
}

// Conn is what is known of a connection when it is accepted.
type Conn struct {
	ID            string // unique, and sorts by time
	Kind          Kind
	Remote, Local netip.AddrPort // zero if the transport has no addresses
	// Balancer passed the connection on, and said that Remote is its client; zero:
	// nobody did. Remote is a claim of the balancer's.
	Balancer netip.AddrPort
	// Network is that of Remote, whose connections share a part of what strangers may make us hold; zero: it
	// is of this host, or has no address, and has no such part.
	Network netip.Prefix
	Started time.Time
	// UID is the user at the other end, as the kernel said; on KindSendmail alone.
	UID uint32
	// End ends the connection as a shutdown does: a session that waits for a
	// command is told 421, a message in progress comes to its end first. Any
	// goroutine may call it, at any time.
	End func()
	// Known takes the connection for one of somebody who is known, as a sign-in does: it
	// keeps its place while others crowd in. The Session calls it, within one of its methods.
	Known func()
	// Vouch tells that somebody signed in, whose address has a lane of its own for a while,
	// as long as still says that the sign-in gives a right. The Session calls it; any
	// goroutine calls still.
	Vouch func(still func() bool)
}

// Hello is what EHLO or HELO said. Nothing in it is verified.
type Hello struct {
	Name     string
	Extended bool                 // EHLO
	TLS      *tls.ConnectionState // nil: clear text
	// Certificate is the one that we presented under TLS; nil where that is unknown.
	Certificate *x509.Certificate
	// Offer is the fingerprint of what the client offered when TLS began, where our people
	// sign in: the same for each connection of one program. "": it is not known.
	Offer string
}

// Session is one connection. Its methods are called by one goroutine at a time, which need not be
// the same, but Refused may be called while Transaction.Data reads. ctx ends with the
// connection, or when a shutdown has waited long enough.
//
// A reply that is none (no 2xx, 4xx or 5xx) is sent as 451; a reply with code 421
// closes the connection.
type Session interface {
	// Hello answers EHLO and HELO. Of a success only the code counts: the engine
	// itself writes the host name and the capabilities. It is called again after
	// STARTTLS, when everything that an earlier Hello said must be forgotten.
	Hello(ctx context.Context, h Hello) mail.Reply
	// Auth begins a SASL exchange. The SASL is not nil, or the reply refuses. The
	// engine has refused AUTH in clear text, a second one, one within a
	// transaction, and mechanisms not offered.
	Auth(ctx context.Context, mech string) (SASL, mail.Reply)
	// Mail begins a transaction; env has no recipients. The Transaction is not nil
	// exactly if the reply is a success.
	Mail(ctx context.Context, env mail.Envelope) (Transaction, mail.Reply)
	// Refused tells of a command that the engine itself refused, or to which the session gave no answer, in the words of
	// wire.Outline: nothing that could be a credential is among them.
	Refused(ctx context.Context, command string, r mail.Reply)
	// Close is called exactly once, at the end. why is one of the End constants; behind EndTLS stands a
	// colon and one of door's causes.
	Close(ctx context.Context, why string)
}

// SASL is one exchange. The engine handles base64 and cancelling.
type SASL interface {
	// Next takes the client's response, nil if AUTH carried none. Unless done, the
	// challenge is sent. When done, r is the answer: 235 or a refusal.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, r mail.Reply)
}

// Transaction is one message from MAIL on. Either Data or Abort is called, once,
// and nothing after it.
type Transaction interface {
	// Rcpt decides one recipient. A success makes it one of the message.
	Rcpt(ctx context.Context, to smtpwire.RcptParams) mail.Reply
	// Data takes the message, dots taken off, chunks joined. r returns io.EOF only
	// behind the true end; after any other error nothing may be kept, and the
	// Reply is ignored. A success means that the message is durable; it is sent
	// only if r was read up to io.EOF.
	Data(ctx context.Context, r io.Reader) mail.Reply
	// Abort drops the transaction: by RSET, EHLO, HELO, STARTTLS, QUIT or the end
	// of the connection.
	Abort(ctx context.Context)
}

// Why a connection ended, as told to Session.Close.
const (
	EndQuit         = "quit"
	EndEOF          = "eof"           // the client left without QUIT
	EndTimeout      = "timeout"       // of a command, of data, or of a write
	EndSlow         = "slow"          // below Limits.MinDataRate or Limits.MinCommandRate
	EndSmuggling    = "smuggling"     // bare CR, bare LF or NUL
	EndLineTooLong  = "line-too-long" // in a command or in a message
	EndMemory       = "no-memory"     // for a long line
	EndEarlyTalker  = "early-talker"  // spoke before the greeting
	EndInjection    = "injection"     // octets behind STARTTLS or AUTH
	EndNotSMTP      = "not-smtp"      // another protocol's request
	EndTLS          = "tls-handshake" // failed
	EndErrors       = "too-many-errors"
	EndJunk         = "too-many-junk-commands"
	EndUnknown      = "too-many-unknown-commands"
	EndAuthFailures = "too-many-auth-failures"
	EndTransactions = "too-many-transactions"
	EndDuration     = "session-too-long"
	EndTooLarge     = "message-too-large" // too much to read to its end
	EndPolicy       = "policy"            // the session answered 421
	EndShutdown     = "shutdown"
	EndCrowded      = "made-room" // it sent no mail, and others needed its place
)
