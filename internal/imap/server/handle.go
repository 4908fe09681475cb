package server

import (
	"context"
	"strconv"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

func decimal[T ~int | ~int64 | ~uint32 | ~uint64](n T) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (c *conn) user() *mailbox.User { return c.sess.Mailboxes() }

// handle answers one command.
func (c *conn) handle(ctx context.Context, cmd imapwire.Command) result {
	if c.missing(cmd.Verb) {
		return bad("this command is not offered")
	}
	switch cmd.Verb {
	case "CAPABILITY":
		c.Line("* CAPABILITY ", c.capabilities())
		return ok("that is all")
	case "NOOP":
		return ok("done")
	case "LOGOUT":
		c.Line("* BYE logging out")
		return ok("good bye").ending(EndLogout)
	case "STARTTLS":
		return c.startTLS(ctx, cmd.Tag)
	}
	switch a := cmd.Args.(type) {
	case imapwire.ID:
		return c.identify(ctx, a)
	case imapwire.Login:
		return c.login(ctx, a)
	case imapwire.Authenticate:
		return c.authenticate(ctx, a)
	}
	if !c.signedIn {
		return bad("sign in first")
	}
	if res, refused := c.byNumber(cmd); refused {
		return res
	}
	if res, done := c.ofAccount(ctx, cmd); done {
		return res
	}
	if c.box == nil {
		return bad("select a mailbox first")
	}
	return c.ofMailbox(ctx, cmd)
}

// ofAccount answers what needs no mailbox that is selected.
func (c *conn) ofAccount(ctx context.Context, cmd imapwire.Command) (res result, done bool) {
	switch cmd.Verb {
	case "NAMESPACE": // RFC 2342
		c.Line(`* NAMESPACE (("" "/")) NIL NIL`)
		return ok("one namespace"), true
	case "IDLE":
		return c.idle(ctx), true
	}
	switch a := cmd.Args.(type) {
	case imapwire.Enable:
		return c.enable(ctx, a.Names), true
	case imapwire.Compress:
		return c.compress(cmd.Tag), true
	case imapwire.Select:
		return c.selects(ctx, a, cmd.Verb == "EXAMINE"), true
	case imapwire.Create:
		return c.create(ctx, a), true
	case imapwire.Rename:
		return c.done(c.user().Rename(ctx, a.From, a.To), "renamed"), true
	case imapwire.Mailbox:
		return c.named(ctx, cmd.Verb, a.Name), true
	case imapwire.Quota:
		return c.quota(ctx, a), true
	case imapwire.QuotaRoot:
		return c.quotaRootOf(ctx, a), true
	case imapwire.Status:
		return c.status(ctx, a), true
	case imapwire.List:
		if cmd.Verb == "LSUB" {
			return c.lsub(ctx, a), true
		}
		return c.list(ctx, a), true
	}
	return res, false
}

// done tells that something was done, or why not.
func (c *conn) done(err error, text string) result {
	if err != nil {
		return c.failed(err)
	}
	return ok(text)
}

// named answers commands about one mailbox.
func (c *conn) named(ctx context.Context, verb, name string) result {
	switch verb {
	case "DELETE":
		return c.deletes(ctx, name)
	case "SUBSCRIBE":
		return c.done(c.user().Subscribe(ctx, name, true), "subscribed")
	}
	return c.done(c.user().Subscribe(ctx, name, false), "not subscribed any more")
}

// deletes removes a mailbox. Where it is the one that is selected, none is afterwards: the client knows that
// it is gone, and goes on.
func (c *conn) deletes(ctx context.Context, name string) result {
	err := c.user().Delete(ctx, name)
	if c.box != nil && c.box.mb.Ended() && err == nil {
		c.leave()
		c.Line("* OK [CLOSED] the mailbox that was selected is deleted")
	}
	return c.done(err, "deleted")
}

// ofMailbox answers what is about the mailbox that is selected.
func (c *conn) ofMailbox(ctx context.Context, cmd imapwire.Command) result {
	switch cmd.Verb {
	case "CHECK":
		return ok("checked")
	case "CLOSE":
		return c.closes(ctx, true)
	case "UNSELECT":
		return c.closes(ctx, false)
	}
	// UIDs are those of the mailbox as it is, sequence numbers those that the client knows.
	c.tell(ctx, cmd.UID || cmd.Verb == "EXPUNGE" || cmd.Verb == "UIDBATCHES")
	if cmd.Verb == "EXPUNGE" {
		return c.expunge(ctx, cmd)
	}
	switch a := cmd.Args.(type) {
	case imapwire.Fetch:
		return c.fetch(ctx, a, cmd.UID)
	case imapwire.Store:
		return c.store(ctx, a, cmd.UID)
	case imapwire.Search:
		return c.search(ctx, a, cmd)
	case imapwire.Copy:
		return c.copies(ctx, a, cmd)
	case imapwire.Batches:
		return c.batches(a, cmd.Tag)
	}
	return bad("unknown command")
}
