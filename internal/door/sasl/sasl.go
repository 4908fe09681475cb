// Package sasl carries a SASL exchange over a line-based connection, as IMAP and POP3 have it:
// challenges and responses in base64, "*" to cancel, and an empty line for the data that comes
// with success. RFC 9051 §6.2.2, RFC 5034 §4.
//
// It decides nothing: the Mechanism says who signed in, and the door answers.
package sasl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	imapwire "sallyport/internal/imap/wire"
)

// Mechanism is one exchange. Base64 and cancelling are Run's.
type Mechanism interface {
	// Next takes the client's response, nil if the command carried none. Unless done, the
	// challenge is sent. When done without an error, the client has signed in; a challenge
	// beside it is sent first, and its answer not looked at. When the client cancels, Next is not
	// called again, but Cancel.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Cancel tells that the client, or the engine, ended the exchange.
	Cancel(ctx context.Context)
}

var (
	// ErrGaveUp means that the client ended the exchange; the error's text is for it.
	ErrGaveUp = errors.New("the client ended the exchange")
	// ErrTooLong means that the mechanism wanted more rounds than there are.
	ErrTooLong = errors.New("the exchange takes too long")
	// ErrBroken means that no response can be read any more; it wraps why.
	ErrBroken = errors.New("the connection ended the exchange")
)

// gaveUp is an ErrGaveUp in words for the client.
type gaveUp string

func (g gaveUp) Error() string        { return string(g) }
func (g gaveUp) Is(target error) bool { return target == ErrGaveUp }

// Line is the connection.
type Line struct {
	Write  func([]byte)
	Read   func() ([]byte, error) // one line, without its end
	Rounds int                    // the most challenges
}

// Run carries challenges and responses until the mechanism is done; name is the mechanism's, and
// response what came with the command, nil for nothing. No error means that the client has signed
// in; any that is not one of this package is the mechanism's.
func Run(ctx context.Context, on Line, m Mechanism, name string, response []byte) error {
	for range on.Rounds {
		challenge, done, err := m.Next(ctx, response)
		if err != nil || done && challenge == nil {
			return err
		}
		on.Write(imapwire.AppendChallenge(nil, challenge))
		line, err := on.Read()
		if err != nil {
			m.Cancel(ctx)
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		if done {
			return nil // what a server says at last is answered by an empty line
		}
		var cancelled bool
		var fault *imapwire.Fault
		response, cancelled, fault = imapwire.ParseResponse(line)
		if cancelled || fault != nil {
			m.Cancel(ctx)
			return gaveUp(words(name, cancelled))
		}
	}
	m.Cancel(ctx)
	return ErrTooLong
}

// words are for a client that ended the exchange, with what helps one that chose a mechanism
// that binds to TLS and cannot: those built on GNU SASL choose it wherever it is offered.
func words(mechanism string, cancelled bool) string {
	switch {
	case !cancelled:
		return "the response is no base64"
	case strings.HasSuffix(mechanism, "-PLUS"):
		return "cancelled: a client that cannot bind to TLS must use another mechanism"
	}
	return "cancelled"
}
