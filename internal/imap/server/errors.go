package server

import (
	"context"
	"errors"

	"sallyport/internal/mailbox"
)

// overQuota is what is said where there is no room for a message. RFC 9208 §4.3.1
const overQuota = "OVERQUOTA"

// corruption is what is said of messages that the disk does not give: which they are stands in the log. RFC 5530 §3
const corruption = "CORRUPTION"

// failed tells why something on a mailbox was not done. RFC 5530.
func (c *conn) failed(err error) result {
	if _, ok := errors.AsType[*mailbox.NameError](err); ok {
		return no("CANNOT", "no mailbox can have this name")
	}
	if full, ok := errors.AsType[*mailbox.QuotaError](err); ok { // RFC 9208 §4.3.1
		return no(overQuota, full.Text)
	}
	for _, f := range []struct {
		err        error
		code, text string
	}{
		{mailbox.ErrNoSuchMailbox, "NONEXISTENT", "there is no such mailbox"},
		{mailbox.ErrExists, "ALREADYEXISTS", "there is such a mailbox already"},
		{mailbox.ErrHasChildren, "HASCHILDREN", "there are mailboxes below it"},
		{mailbox.ErrInbox, "CANNOT", "the INBOX always is"},
		{mailbox.ErrUse, "USEATTR", "another mailbox has this use"},
		{mailbox.ErrGone, "EXPUNGEISSUED", "some messages no longer exist"},
		{mailbox.ErrUnreadable, corruption, "a message cannot be read"},
		{mailbox.ErrNoRoom, overQuota, "there is no room left for mail"},
		{mailbox.ErrUnavailable, "UNAVAILABLE", "it is not known now how full the mailbox is; try again later"},
		{mailbox.ErrReadOnly, "READ-ONLY", "the mailbox is open for reading"},
		{mailbox.ErrTooMany, "LIMIT", "there are too many"},
		{mailbox.ErrTooBig, "TOOBIG", "the message is too big"},
		{mailbox.ErrKeyword, "LIMIT", "a keyword is too long"},
		{context.Canceled, "UNAVAILABLE", "the session ends"},
		{mailbox.ErrEnded, "UNAVAILABLE", "the mailbox is not where it was"},
	} {
		if errors.Is(err, f.err) {
			return no(f.code, f.text)
		}
	}
	// What it says may name files.
	c.o.Logger.Warn("a mailbox could not be worked on", "conn", c.info.ID, "err", err)
	return no("SERVERBUG", "that could not be done; try again later")
}
