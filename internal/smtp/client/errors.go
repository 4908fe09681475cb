package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"sallyport/internal/mail"
)

// Stage names where in a conversation something happened.
type Stage string

const (
	StageGreeting Stage = "greeting"
	StageHello    Stage = "EHLO"
	StageSTARTTLS Stage = "STARTTLS"
	StageTLS      Stage = "TLS handshake"
	StageHelloTLS Stage = "EHLO under TLS"
	StageAuth     Stage = "AUTH"
	StageIdle     Stage = "idle"
	StageReset    Stage = "RSET"
	StageMail     Stage = "MAIL"
	StageRcpt     Stage = "RCPT"
	StageData     Stage = "DATA"
	StageMessage  Stage = "message"
	StageEnd      Stage = "end of data"
	StageQuit     Stage = "QUIT"
)

var (
	// ErrProtocol is a server that does not speak SMTP in step with us: a reply
	// that no command asked for, that came too early, or that makes no sense.
	ErrProtocol = errors.New("the server does not keep to the protocol")
	// ErrTimeout is a server that did not do its part in time.
	ErrTimeout = errors.New("the server took too long")
	// ErrLost is a connection that ended.
	ErrLost = errors.New("the connection was lost")
	// ErrClosed is a connection that we closed ourselves.
	ErrClosed = errors.New("the connection is closed")
	// ErrNoTLS is a server that does not offer the TLS that is required; somebody
	// in between may have removed the offer.
	ErrNoTLS = errors.New("the server does not offer the required STARTTLS")
	// ErrNoAuth is a server with which we share no way to sign in.
	ErrNoAuth = errors.New("the server offers no way to sign in that we know")
	// ErrNotAsked is a server that asked for no certificate, where ours shall sign us in.
	ErrNotAsked = errors.New("the server does not ask for a certificate, and knows us by nothing else")
	// ErrSignedOut is a server that took our credentials and then asked for them again: a
	// token ended, or was withdrawn, in the middle of the connection.
	ErrSignedOut = errors.New("the server does not hold us for signed in any more")
	// ErrBody is a message that could not be read as it was accepted.
	ErrBody = errors.New("the message could not be read to its end")
	// ErrUnclean is a message with a bare CR, a bare LF or a NUL, which must never
	// leave us: it could be read as a command by somebody.
	ErrUnclean = errors.New("the message holds a bare CR, bare LF or NUL")
	// ErrInterrupted is the end of the context.
	ErrInterrupted = errors.New("the delivery was interrupted")
	// ErrNothingSent marks a failed Send that had sent nothing of the message, so
	// that it may be repeated at once on another connection.
	ErrNothingSent = errors.New("nothing of the message was sent")
)

// ReplyError is a reply of the server that ends the conversation.
type ReplyError struct {
	Reply mail.Reply
	Stage Stage
}

// Error describes the refusal in one line.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s refused: %s", e.Stage, mail.Printable(e.Reply.String(), mail.ReplyShown))
}

// ConnError is a connection that ended otherwise. Err wraps one of this package's
// errors, or the error of ctx.
type ConnError struct {
	Stage Stage
	Err   error
}

// Error describes the fault in one line.
func (e *ConnError) Error() string { return fmt.Sprintf("%s: %v", e.Stage, e.Err) }

// Unwrap returns the cause.
func (e *ConnError) Unwrap() error { return e.Err }

// Passes reports whether what failed so may be tried again in clear text, over
// another connection: only where TLS was offered and not demanded, and only when it is
// TLS that failed. RFC 7435 §3: TLS that does not work is no worse than none offered.
// Every other mode keeps the message: a policy, the administrator, or the message itself
// asked for it.
func (p TLSPolicy) Passes(err error) bool {
	if p.Mode != mail.TLSOpportunistic {
		return false
	}
	var stage Stage
	var conn *ConnError
	var refused *ReplyError
	switch {
	case errors.As(err, &refused):
		stage = refused.Stage
	case errors.As(err, &conn):
		if errors.Is(err, ErrInterrupted) || errors.Is(err, ErrClosed) {
			return false // it is we who gave up
		}
		stage = conn.Stage
	}
	return stage == StageSTARTTLS || stage == StageTLS || stage == StageHelloTLS
}

// WithoutTLS is the name of the policy by which a connection is in clear text although
// TLS was offered, for outcomes.
func WithoutTLS(err error) string {
	return "opportunistic: TLS failed, and was done without: " + mail.Printable(err.Error(), mail.FaultShown)
}

// ReplyFor turns an error of New or Send into the reply that each recipient's
// outcome shall have. It is transient whatever the server said, but for a message
// that must not leave us at all: a route that refuses us loses no mail.
func ReplyFor(err error) mail.Reply {
	var refused *ReplyError
	switch {
	case errors.As(err, &refused) && refused.Reply.Class() == mail.ClassTransient:
		return refused.Reply
	case errors.As(err, &refused):
		return mail.R(451, "4.4.0", refused.Error())
	case errors.Is(err, ErrUnclean):
		return mail.R(554, "5.6.0", ErrUnclean.Error())
	case errors.Is(err, ErrBody):
		return mail.R(451, "4.3.0", ErrBody.Error())
	case errors.Is(err, ErrInterrupted):
		return mail.R(451, "4.3.2", ErrInterrupted.Error())
	case errors.Is(err, ErrNoTLS), errors.Is(err, ErrNoAuth), errors.Is(err, ErrNotAsked), errors.Is(err, ErrSignedOut):
		return mail.R(454, "4.7.0", err.Error())
	case errors.Is(err, ErrProtocol):
		return mail.R(451, "4.5.0", err.Error())
	}
	// RFC 3463 §3.5: X.4.2, the connection was not able to complete.
	return mail.R(451, "4.4.2", err.Error())
}

// interrupted is why the context ended: its own end, or one of our timeouts.
func interrupted(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrTimeout) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, cause)
}

// lost names the cause of a failed read or write in our own words: the texts of
// the network say nothing that an operator needs beyond these.
func lost(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrLost
	case errors.Is(err, ErrProtocol), errors.Is(err, ErrClosed):
		return err
	}
	return fmt.Errorf("%w: %s", ErrLost, mail.Printable(err.Error(), mail.TextShown))
}
