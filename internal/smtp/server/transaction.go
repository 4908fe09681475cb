package server

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	smtpwire "sallyport/internal/smtp/wire"
)

// transaction is what the engine knows of the message in the making. It is one
// value, replaced as a whole; the zero value is no transaction.
type transaction struct {
	backend    Transaction
	utf8       bool
	recipients int // accepted
}

func (t transaction) open() bool { return t.backend != nil }

// drop forgets the transaction, if there is one.
func (c *conn) drop(ctx context.Context) {
	t := c.tx
	c.tx = transaction{}
	if t.open() {
		t.backend.Abort(ctx)
	}
}

// take hands the transaction over to whoever calls Data: from then on it is gone,
// whatever becomes of the message.
func (c *conn) take() Transaction {
	t := c.tx.backend
	c.tx = transaction{}
	return t
}

// mail answers MAIL. RFC 5321 §4.1.1.2. Behind HELO, too, parameters mean what they say.
func (c *conn) mail(ctx context.Context, p smtpwire.MailParams) result {
	c.count.transactions++
	switch {
	case c.count.transactions > c.limits.Transactions:
		// RFC 9422 §4.1: MAILMAX counts every MAIL.
		return refuse(421, "4.7.0", "too many transactions in one session").ending(EndTransactions)
	case c.tx.open():
		return refuse(503, "5.5.1", "a transaction is open already")
	case p.RequireTLS && c.tls == nil:
		// RFC 8689 §2: it is offered under TLS only, and means nothing in clear.
		return refuse(530, "5.7.0", "REQUIRETLS needs TLS here, too")
	case p.Body == mail.BodyBinaryMIME:
		// RFC 3030 §3: not offered.
		return refuse(555, "5.6.1", "BINARYMIME is not offered")
	case p.Size > c.limits.MessageOctets:
		// RFC 1870 §6.1.
		return refuse(552, "5.3.4", "the message is larger than allowed")
	}
	tx, r := c.sess.Mail(ctx, p.Envelope())
	r = mended(r)
	switch {
	case r.OK() && tx == nil:
		c.srv.cfg.Logger.Error("backend accepted MAIL without a transaction", "conn", c.info.ID)
		return said(mended(mail.Reply{}))
	case !r.OK():
		if tx != nil {
			c.srv.cfg.Logger.Error("backend refused MAIL with a transaction", "conn", c.info.ID)
			tx.Abort(ctx)
		}
		return said(r)
	}
	c.tx = transaction{backend: tx, utf8: p.SMTPUTF8}
	if c.count.accepted == 0 {
		c.place.Reach(screen.StageBegun)
	}
	return said(r)
}

// rcpt answers RCPT. RFC 5321 §4.1.1.3.
func (c *conn) rcpt(ctx context.Context, p smtpwire.RcptParams) result {
	switch {
	case !c.tx.open():
		return refuse(503, "5.5.1", "send MAIL first")
	case p.UTF8 && !c.tx.utf8:
		// RFC 6531 §3.5.
		return refuse(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8")
	case c.tx.recipients >= c.limits.Recipients:
		// RFC 5321 §4.5.3.1.10.
		return refuse(452, "4.5.3", "too many recipients; send the rest in another transaction")
	}
	r := mended(c.tx.backend.Rcpt(ctx, p))
	if r.OK() {
		next := c.tx
		next.recipients++
		c.tx = next
	}
	return said(r)
}

// noMessage refuses DATA and BDAT where no message can come. RFC 5321 §3.3: the
// transaction, if there is one, stays as it was.
func (c *conn) noMessage() (res result, refused bool) {
	switch {
	case !c.tx.open():
		return refuse(503, "5.5.1", "send MAIL first"), true
	case c.tx.recipients == 0:
		return refuse(503, "5.5.1", "no recipient was accepted"), true
	}
	return result{}, false
}
