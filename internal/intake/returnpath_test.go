package intake_test

import (
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

// The return path of a forward takes bounces alone, on port 25 alone, for the mailbox
// that it stands for; what is forged is refused by a rule of its own, before a detail
// or an alias could take it.
func TestReturnPaths(t *testing.T) {
	returns := func(_ *directory.Snapshot, a mail.Address, _ bool) (r returnpath.Reading) {
		switch a.Local() {
		case "SRS0=good":
			r.Class = directory.Class{Destination: gate.DestinationForwardReturn, Mailboxes: []directory.Mailbox{{Account: addr(t, "alice@local.test")}}}
		case "SRS0=bad", "alice+SRS0=bad":
			r.Class.Destination = gate.DestinationForwardForged
		}
		return r
	}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), returnPaths: returns})
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
			w.in.ReturnPaths = nil // another domain's is none of ours
		}
		row.c.want(row.c.to(row.to), row.code)
		w.in.ReturnPaths = returns
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

// A signed return path takes mail for whom it stands for, and its form opens nothing:
// what it stands for is classified like anything else. Only the null path from outside
// is a bounce.
func TestSignedReturnPaths(t *testing.T) {
	var bounces []bool
	marks := func(_ *directory.Snapshot, a mail.Address, bounce bool) (r returnpath.Reading) {
		bounces = append(bounces, bounce)
		switch local, plain, signed := strings.Cut(a.Local(), "="); {
		case signed && local == "good":
			to, err := a.WithLocal(plain)
			must(t, err)
			r.Address, r.Note = to, "it was signed"
		case signed:
			r.Class.Destination, r.Note = gate.DestinationMarkForged, "it was not signed here"
		case bounce && a.Local() == "bob":
			r.Class.Destination, r.Note = gate.DestinationUnmarked, "not signed"
		}
		return r
	}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), returnPaths: marks})
	outside, signedIn := w.connect(server.KindMX), w.signedIn("alice@local.test")
	for _, row := range []struct {
		c          *client
		from, to   string
		code       int
		rule, text string
		bounce     bool
	}{
		{outside, "<>", "<good=alice@local.test>", 250, "", "", true},
		{outside, "<x@far.test>", "<good=alice@local.test>", 250, "", "", false},
		{outside, "<>", "<good=nobody@local.test>", 550, "no-such-user", "signed return path: it was signed", true},
		{outside, "<>", "<good=alice%far.test@local.test>", 550, "no-such-user", "signed return path: it was signed", true},
		{outside, "<>", "<good=alice@far.test>", 550, "relay-denied", "signed return path: it was signed", true},
		{outside, "<>", "<bad=alice@local.test>", 550, "return-path-forged", "signed return path: it was not signed here", true},
		{outside, "<x@far.test>", "<bad=alice@local.test>", 550, "return-path-forged", "signed return path: it was not signed here", false},
		{outside, "<>", "<bob@local.test>", 550, "bounce-unsigned", "signed return path: not signed", true},
		{outside, "<x@far.test>", "<bob@local.test>", 250, "", "", false},
		{signedIn, "<>", "<bob@local.test>", 250, "", "", false},
		{signedIn, "<alice@local.test>", "<bad=bob@local.test>", 550, "return-path-forged", "", false},
	} {
		row.c.want(row.c.from(row.from), 250)
		bounces = nil
		row.c.want(row.c.to(row.to), row.code)
		if len(bounces) != 1 || bounces[0] != row.bounce {
			t.Errorf("from %s to %s was asked about as %v", row.from, row.to, bounces)
		}
		if row.rule == "" {
			continue
		}
		f := w.oneFact(row.rule)
		if f.Text != row.text || len(f.Recipients) != 1 || f.Recipients[0] != strings.Trim(row.to, "<>") {
			t.Errorf("to %s: %q about %q", row.to, f.Text, f.Recipients)
		}
	}
	// Both forms of one address are one mailbox and one copy.
	outside.want(outside.from("<>"), 250)
	outside.want(outside.to("<good=alice@local.test>"), 250)
	outside.want(outside.to("<alice@local.test>"), 250)
	outside.want(outside.data("Subject: undelivered\r\n\r\nsorry\r\n"), 250)
	f := w.oneFact("mx-local")
	if note, ok := f.Find("signed return path"); !ok || note != "it was signed" {
		t.Errorf("it was taken with %+v", f.Evidence)
	}
	c, _ := w.only()
	if r := c.Entry.Recipients; len(r) != 1 || r[0].Recipient.Address != addr(t, "alice@local.test") || r[0].Kind != spool.KindLocal || len(c.Entry.Envelope.To) != 1 {
		t.Errorf("it goes to %+v", r)
	}
}
