package dispatch

import (
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// signed returns the envelope sender with which a message leaves this server: the one
// that its Grant covers, which may bear a signature. Inside, it stays as its account
// gave it: for the Grant, the queue, the trace, and whoever is told of a failure. What
// is given to a mailbox or to a server behind us never bears one.
func (d *Dispatch) signed(e spool.Entry) mail.ReversePath {
	from, named := e.Envelope.From.Address()
	if !named || e.Account.IsZero() || e.Forward != spool.ForwardNone {
		return e.Envelope.From
	}
	if signed, ok := d.ReturnPaths.Sign(d.Directory(), from, e.Received); ok {
		return mail.PathOf(signed)
	}
	return e.Envelope.From
}
