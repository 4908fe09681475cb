package intake_test

import (
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// The return path of a forward takes bounces alone, on port 25 alone, for the mailbox
// that it stands for; what is forged is refused by a rule of its own, before a detail
// or an alias could take it.
func TestReturnPaths(t *testing.T) {
	returns := func(_ *directory.Snapshot, a mail.Address) (directory.Class, bool) {
		switch a.Local() {
		case "SRS0=good":
			return directory.Class{Destination: gate.DestinationForwardReturn, Mailboxes: []directory.Mailbox{{Account: addr(t, "alice@local.test")}}}, true
		case "SRS0=bad", "alice+SRS0=bad":
			return directory.Class{Destination: gate.DestinationForwardForged}, true
		}
		return directory.Class{}, false
	}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), returns: returns})
	outside := w.connect(server.KindMX)
	signedIn := w.signedIn("alice@local.test")
	for _, row := range []struct {
		c        *client
		from, to string
		code     int
		rule     string
	}{
		{outside, "<>", "<SRS0=good@local.test>", 250, ""},
		{outside, "<x@far.test>", "<SRS0=good@local.test>", 550, "forward-return-not-null"},
		{outside, "<>", "<SRS0=bad@local.test>", 550, "forward-return-forged"},
		{outside, "<x@far.test>", "<SRS0=bad@local.test>", 550, "forward-return-forged"},
		{outside, "<>", "<alice+SRS0=bad@local.test>", 550, "forward-return-forged"},
		{outside, "<>", "<SRS0=good@remote.test>", 550, "relay-denied"},
		{signedIn, "<>", "<SRS0=good@local.test>", 550, "forward-return-not-null"},
		{signedIn, "<alice@local.test>", "<SRS0=good@local.test>", 550, "forward-return-not-null"},
		{signedIn, "<alice@local.test>", "<SRS0=bad@local.test>", 550, "forward-return-forged"},
	} {
		row.c.want(row.c.from(row.from), 250)
		if row.to == "<SRS0=good@remote.test>" {
			w.in.Returns = nil // another domain's is none of ours
		}
		row.c.want(row.c.to(row.to), row.code)
		w.in.Returns = returns
		if row.rule != "" {
			w.oneFact(row.rule)
		}
	}
	outside.want(outside.from("<>"), 250)
	outside.want(outside.to("<SRS0=good@local.test>"), 250)
	outside.want(outside.data("Subject: undelivered\r\n\r\nsorry\r\n"), 250)
	w.oneFact("forward-return")
	c, _ := w.only()
	if r := c.Entry.Recipients; len(r) != 1 || r[0].Mailbox != addr(t, "alice@local.test") || !c.Entry.Account.IsZero() {
		t.Errorf("it goes to %+v", r)
	}
}
