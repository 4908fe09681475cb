package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"sallyport/internal/mail"
	smtpclient "sallyport/internal/smtp/client"
)

// Call is one try to get a connection.
type Call struct {
	Dial    func(ctx context.Context) (net.Conn, error)
	Connect time.Duration // to reach the server, before it greets
	SMTP    smtpclient.Options
	// WithoutTLS is told when TLS failed and is done without. It is only used with
	// mail.TLSOpportunistic.
	WithoutTLS func(err error)
}

// Open dials, greets and secures. The error is a *DialError or one of client.New.
func (c Call) Open(ctx context.Context) (*smtpclient.Client, error) {
	client, err := c.once(ctx)
	if err == nil || ctx.Err() != nil || !c.SMTP.TLS.Passes(err) {
		return client, err
	}
	c.WithoutTLS(err)
	c.SMTP.TLS.Mode, c.SMTP.TLS.Name, c.SMTP.TLS.Failed = mail.TLSNone, smtpclient.WithoutTLS(err), true
	return c.once(ctx)
}

func (c Call) once(ctx context.Context) (*smtpclient.Client, error) {
	dial, cancel := context.WithTimeout(ctx, c.Connect)
	defer cancel()
	nc, err := c.Dial(dial)
	if err != nil {
		return nil, &DialError{err}
	}
	return smtpclient.New(ctx, nc, c.SMTP)
}

// DialError says that there was no connection to speak SMTP over.
type DialError struct{ Err error }

// Error returns the words of the cause.
func (e *DialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// ReplyFor puts an error of Open into a reply that defers, in the words of
// RFC 3463 §3.5. where is who could not be reached.
func ReplyFor(where string, err error) mail.Reply {
	var dial *DialError
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dial):
		return smtpclient.ReplyFor(err)
	case errors.As(err, &dns):
		return mail.R(451, "4.4.3", "the name in "+where+" cannot be resolved: "+dns.Err)
	}
	return mail.R(451, "4.4.1", fmt.Sprintf("no connection to %s: %s", where, reason(err)))
}

// reason leaves out the addresses that the network's errors repeat.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return mail.Printable(err.Error(), mail.TextShown)
}
