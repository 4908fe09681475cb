package intake_test

import (
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

// A signed return path takes mail for whom it stands for, and its form opens nothing:
// what it stands for is classified like anything else. Only the null path from outside
// is a bounce. What is a forward's return path has no other form.
func TestSignedReturnPaths(t *testing.T) {
	var bounces []bool
	marks := func(_ *directory.Snapshot, a mail.Address, bounce bool) intake.Mark {
		bounces = append(bounces, bounce)
		switch local, plain, signed := strings.Cut(a.Local(), "="); {
		case signed && local == "good":
			to, err := a.WithLocal(plain)
			must(t, err)
			return intake.Mark{Address: to, Note: "it was signed"}
		case signed:
			return intake.Mark{Refused: gate.DestinationMarkForged, Note: "it was not signed here"}
		case bounce && a.Local() == "bob":
			return intake.Mark{Refused: gate.DestinationUnmarked, Note: "not signed"}
		}
		return intake.Mark{}
	}
	returns := func(_ *directory.Snapshot, a mail.Address) (directory.Class, bool) {
		return directory.Class{Destination: gate.DestinationForwardForged}, strings.HasPrefix(a.Local(), "SRS0")
	}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), marks: marks, returns: returns})
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
		{outside, "<>", "<SRS0=good=alice@local.test>", 550, "forward-return-forged", "", false},
	} {
		row.c.want(row.c.from(row.from), 250)
		bounces = nil
		row.c.want(row.c.to(row.to), row.code)
		if srs := strings.HasPrefix(row.to, "<SRS0"); srs && len(bounces) != 0 || !srs && (len(bounces) != 1 || bounces[0] != row.bounce) {
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
