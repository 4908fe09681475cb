package intake_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/server"
)

// gateway is a server behind us that answers each local-part with a reply.
type gateway struct {
	replies map[string]mail.Reply
	took    []string
	text    string
	err     error
	wrong   bool   // it reports nothing
	onOffer func() // before it opens the message
	onBegun func(context.Context, io.Reader)
	onTaken func() // when it has it
}

func (g *gateway) Ask(context.Context, netip.Addr, directory.Domain, mail.Address) callout.Answer {
	return callout.Answer{Known: callout.Yes, Reply: mail.R(250, "", "ok"), Remote: "gateway"}
}

func (g *gateway) Offer(ctx context.Context, h directory.Server, j nexthop.Job) []mail.Outcome {
	out := j.All(mail.R(451, "4.4.1", "no connection"), h.String())
	if g.onOffer != nil {
		g.onOffer()
	}
	if g.replies == nil {
		return out
	}
	r, err := j.Open()
	if g.err = err; err != nil {
		return out
	}
	if g.onBegun != nil {
		g.onBegun(ctx, r)
	}
	text, err := io.ReadAll(r)
	g.text = string(text)
	if err != nil || int64(len(text)) != j.Size {
		g.err = fmt.Errorf("%w, %d octets, not %d", cmp.Or(err, io.ErrUnexpectedEOF), len(text), j.Size)
		if g.onBegun != nil {
			return out
		}
	}
	for i, to := range j.Recipients {
		out[i].Reply, out[i].Remote = g.replies[to.Mailbox.Local()], "gateway"
		if out[i].Delivered() {
			g.took = append(g.took, to.Mailbox.String())
		}
	}
	if g.onTaken != nil {
		g.onTaken()
	}
	if g.wrong {
		return nil
	}
	return out
}

// Whatever the server behind says: who has the message does not get it again, who
// does not have it is queued, or the sender is told.
func TestCutThrough(t *testing.T) {
	ok, no, later := mail.R(250, "2.0.0", "saved"), mail.R(550, "5.7.1", "virus"), mail.R(452, "4.2.2", "full")
	for name, row := range map[string]struct {
		replies map[string]mail.Reply
		to      string
		wrong   bool
		code    int
		queued  string
		rules   string // of the facts
	}{
		"taken":            {map[string]mail.Reply{"a": ok}, "a@cut.test", false, 250, "", "delivered mx-local"},
		"refused":          {map[string]mail.Reply{"a": no}, "a@cut.test", false, 554, "", "cut-through-refused"},
		"put off":          {map[string]mail.Reply{"a": later}, "a@cut.test", false, 451, "", "cut-through-deferred"},
		"not there":        {nil, "a@cut.test", false, 451, "", "cut-through-deferred"},
		"silent":           {map[string]mail.Reply{"a": ok}, "a@cut.test", true, 451, "", "cut-through-deferred"},
		"no reply at all":  {map[string]mail.Reply{}, "a@cut.test", false, 451, "", "cut-through-deferred"},
		"all":              {map[string]mail.Reply{"a": ok, "b": ok}, "a@cut.test b@cut.test", false, 250, "", "delivered delivered submission-local"},
		"one of two":       {map[string]mail.Reply{"a": ok, "b": no}, "a@cut.test b@cut.test", false, 250, "b@cut.test", "delivered failed submission-local"},
		"one of two later": {map[string]mail.Reply{"a": later, "b": ok}, "a@cut.test b@cut.test", false, 250, "a@cut.test", "deferred delivered submission-local"},
		// Nobody has it: while one may still get it, all are sent again.
		"one refused, one put off": {map[string]mail.Reply{"a": no, "b": later}, "a@cut.test b@cut.test", false, 451, "", "cut-through-deferred"},
		// Others do not wait for that server, and it is queued for it.
		"with another":           {map[string]mail.Reply{"a": ok}, "bob@local.test a@cut.test", false, 250, "bob@local.test", "delivered submission-local"},
		"refused, with another":  {map[string]mail.Reply{"a": no}, "bob@local.test a@cut.test", false, 250, "a@cut.test bob@local.test", "failed submission-local"},
		"away, with another":     {nil, "a@cut.test bob@local.test", false, 250, "a@cut.test bob@local.test", "deferred submission-local"},
		"nothing is cut through": {map[string]mail.Reply{"z": ok}, "z@behind.test", false, 250, "z@behind.test", "mx-local"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gateway{replies: row.replies, wrong: row.wrong}
			w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
			c, head := w.connect(server.KindMX), ""
			if strings.Contains(row.to, " ") { // a stranger has one answer for each: below
				c, head = w.signedIn("alice@local.test"), "From: alice@local.test\r\n"
				c.want(c.from("<alice@local.test>"), 250)
			} else {
				c.want(c.from("<x@far.test>"), 250)
			}
			for to := range strings.FieldsSeq(row.to) {
				c.want(c.to("<"+to+">"), 250)
			}
			r := c.data(head + "Subject: x\r\n\r\nhello\r\n")
			if r.Code != row.code || g.err != nil {
				t.Errorf("answered %v, want %d; %v", r, row.code, g.err)
			}
			var queued []string
			for _, claim := range w.handed {
				for _, s := range claim.Entry.Recipients {
					queued = append(queued, s.Mailbox.String())
				}
			}
			slices.Sort(queued)
			if got := strings.Join(queued, " "); got != row.queued {
				t.Errorf("queued for %q, want %q", got, row.queued)
			}
			if got := w.rules(); got != row.rules {
				t.Errorf("facts %q, want %q", got, row.rules)
			}
			if len(g.took) > 0 && (!strings.HasPrefix(g.text, "Received: ") || !strings.HasSuffix(g.text, "\r\nhello\r\n")) {
				t.Errorf("it took %q", g.text)
			}
		})
	}
}

// A stranger's recipient whose server answers at once is alone in his transaction,
// whoever comes first, and whoever is refused leaves the transaction as it was.
func TestCutThroughIsAlone(t *testing.T) {
	ok, no := mail.R(250, "2.0.0", "saved"), mail.R(552, "5.7.1", "no")
	for _, row := range []struct {
		to   string // with the code that each gets
		code int
		took string
	}{
		{"a@cut.test:250 b@cut.test:452", 250, "a@cut.test"},
		{"b@cut.test:250 a@cut.test:452", 554, ""},
		{"a@cut.test:250 bob@local.test:452 a@cut.test:250", 250, "a@cut.test"},
		{"bob@local.test:250 a@cut.test:452 alice@local.test:250", 250, ""},
		{"z@behind.test:250 a@cut.test:452", 250, ""},
		{"both@local.test:250 a@cut.test:452", 250, ""},
	} {
		g := &gateway{replies: map[string]mail.Reply{"a": ok, "b": no}}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		for to := range strings.FieldsSeq(row.to) {
			address, code, _ := strings.Cut(to, ":")
			if r := c.to("<" + address + ">"); fmt.Sprint(r.Code) != code || r.Code == 452 && r.Enhanced.String() != "4.5.3" {
				t.Errorf("%s: %s got %v", row.to, address, r)
			}
		}
		r := c.data("Subject: x\r\n\r\nhello\r\n")
		if got := strings.Join(g.took, " "); r.Code != row.code || got != row.took {
			t.Errorf("%s: %v, taken for %q", row.to, r, got)
		}
	}
}

// knows is a server behind us that may take addresses beyond ASCII.
type knows struct {
	gateway
	takes, known bool
}

func (k *knows) International(context.Context, directory.Domain, mail.Address) (bool, bool) {
	return k.takes, k.known
}

// A sender beyond ASCII is refused at RCPT by the servers that cannot be given him, and
// by nobody else.
func TestSendersBeyondASCII(t *testing.T) {
	for _, row := range []struct {
		from, to     string
		takes, known bool
		want         string
	}{
		{"<jürgen@far.test>", "a@cut.test", false, true, "550 5.6.7"},
		{"<jürgen@far.test>", "z@behind.test", false, true, "550 5.6.7"},
		{"<jürgen@far.test>", "both@local.test", false, true, "550 5.6.7"},
		{"<jürgen@far.test>", "a@cut.test", true, true, "250 2.1.5"},
		{"<jürgen@far.test>", "a@cut.test", false, false, "451 4.4.1"},
		{"<jürgen@far.test>", "bob@local.test", false, true, "250 2.1.5"},
		{"<x@far.test>", "a@cut.test", false, true, "250 2.1.5"},
		{"<>", "a@cut.test", false, false, "250 2.1.5"},
	} {
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: &knows{takes: row.takes, known: row.known}})
		c := w.connect(server.KindMX)
		p, err := mail.ParseReversePath(row.from, mail.UTF8)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: p, SMTPUTF8: true}), 250)
		if r := c.to("<" + row.to + ">"); !strings.HasPrefix(r.String(), row.want) {
			t.Errorf("%s to %s, takes %v, known %v: %v, want %s", row.from, row.to, row.takes, row.known, r, row.want)
		}
	}
}

// A header with an address beyond ASCII is refused at the end of data where an SMTP server behind us takes
// none; LMTP and mailboxes of ours store it.
func TestHeadersBeyondASCII(t *testing.T) {
	for _, row := range []struct {
		to           string
		utf8         bool // the message
		takes, known bool
		want         string
	}{
		{"z@behind.test", true, false, true, "550 5.6.7"},
		{"both@local.test", true, false, true, "550 5.6.7"},
		{"z@behind.test", true, false, false, "451 4.4.1"},
		{"z@behind.test", true, true, true, "250 2.0.0"},
		{"z@behind.test", false, false, true, "250 2.0.0"},
		{"a@cut.test", true, false, true, "250 2.0.0"},
		{"bob@local.test", true, false, true, "250 2.0.0"},
	} {
		k := &knows{takes: row.takes, known: row.known}
		k.replies = map[string]mail.Reply{"a": mail.R(250, "", "ok")}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: k})
		c := w.connect(server.KindMX)
		p, err := mail.ParseReversePath("<x@far.test>", mail.UTF8)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: p, SMTPUTF8: true}), 250)
		c.want(c.to("<"+row.to+">"), 250)
		text := "Subject: u\r\n\r\n"
		if row.utf8 {
			text = "Cc: j\u00fcrgen@far.test\r\n\r\n"
		}
		if r := c.data(text); !strings.HasPrefix(r.String(), row.want) {
			t.Errorf("%s, beyond ASCII %v, takes %v: %v, want %s", row.to, row.utf8, row.takes, r, row.want)
		}
	}
}

// rules are those of all that was recorded, sorted.
func (w *world) rules() string {
	w.t.Helper()
	rules := []string{}
	for _, f := range w.journal.take() {
		if f.stranger {
			rules = append(rules, f.Rule)
		}
	}
	head := w.st.FactHead()
	must(w.t, w.st.Facts(w.t.Context(), w.seen+1, head+1, func(_ uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		rules = append(rules, f.Rule)
		return true, err
	}))
	slices.Sort(rules)
	return strings.Join(rules, " ")
}

// A message that the spool does not take after somebody got it is refused, and the
// trace says that it will come again.
func TestCutThroughThatIsRepeatedIsSaid(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "", "ok"), "b": mail.R(451, "", "later")}}
	s := setup{limits: intake.DefaultLimits(), recipients: g}
	s.spool.Entries = 1
	w := newWorldOf(t, s)
	c := w.signedIn("alice@local.test")
	for i, code := range []int{250, 452} {
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@cut.test>"), 250)
		c.want(c.to("<b@cut.test>"), 250)
		c.want(c.data(fmt.Sprintf("From: alice@local.test\r\nSubject: %d\r\n\r\n", i)), code)
	}
	all := w.journal.take()
	f := all[len(all)-1]
	if said, ok := f.Find("repeated"); f.Rule != "queue-full" || !ok || !strings.Contains(said, "have the message already") {
		t.Errorf("%+v", f)
	}
}

// RFC 3461 asked by a stranger: L16 of the relay catalogue.
func TestAStrangerIsToldOfNoSuccess(t *testing.T) {
	for _, row := range []struct {
		asked, kept mail.Notify
		door        server.Kind
	}{
		{mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay, mail.NotifyFailure, server.KindMX},
		{mail.NotifySuccess, mail.NotifyNever, server.KindMX},
		{0, 0, server.KindMX},
		{mail.NotifyNever, mail.NotifyNever, server.KindMX},
		{mail.NotifySuccess, mail.NotifySuccess, server.KindSubmissions},
	} {
		w := newWorld(t)
		c, from := w.connect(server.KindMX), "<x@far.test>"
		if row.door != server.KindMX {
			c, from = w.signedIn("alice@local.test"), "<alice@local.test>"
		}
		p, err := mail.ParseReversePath(from, mail.ASCII)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: p, Ret: mail.RetFull}), 250)
		c.want(c.notified("<bob@local.test>", row.asked), 250)
		c.want(c.data(message), 250)
		claim, _ := w.only()
		e := claim.Entry
		wantRet := mail.RetHeaders
		if row.door != server.KindMX {
			wantRet = mail.RetFull
		}
		if got := e.Recipients[0].Recipient.Notify; got != row.kept || e.Envelope.Ret != wantRet {
			t.Errorf("NOTIFY %b became %b, RET %d", row.asked, got, e.Envelope.Ret)
		}
	}
}

// An account that was frozen while a connection was made to the server behind: nothing is
// given to it, the queue does not take the message either, and the sender is told.
func TestFrozenWhileItIsOffered(t *testing.T) {
	for _, to := range []string{"a@cut.test", "a@cut.test bob@local.test"} {
		g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "", "ok")}}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
		g.onOffer = func() {
			_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
			must(t, err)
		}
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		for to := range strings.FieldsSeq(to) {
			c.want(c.to("<"+to+">"), 250)
		}
		r := c.data("From: alice@local.test\r\nSubject: x\r\n\r\nhello\r\n")
		if r.OK() || !errors.Is(g.err, nexthop.ErrWithdrawn) || len(g.took) != 0 {
			t.Errorf("to %s: answered %v, opened with %v, %q took it", to, r, g.err, g.took)
		}
		w.empty()
	}
}

// An account that is contained while a server behind reads its message slowly: the offer is cut
// at once, before the last octet was read, and not when the server reads on.
func TestFrozenBeforeItsEndIsRead(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "", "ok")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	g.onBegun = func(ctx context.Context, r io.Reader) {
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
		must(t, err)
		if w.desk.EndFallen(addr(t, "alice@local.test")) != 1 {
			t.Error("no session ended")
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
			t.Error("the offer goes on")
		}
	}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	if r := c.data("From: alice@local.test\r\nSubject: x\r\n\r\nhello\r\n"); r.OK() || !errors.Is(g.err, nexthop.ErrWithdrawn) {
		t.Errorf("answered %v, read with %v", r, g.err)
	}
	w.empty()
}

// The same after a server behind took the message: its sender is told of the freeze, nobody
// else gets it, and the trace says who has it.
func TestFrozenAfterSomeTookIt(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "", "ok")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	g.onTaken = func() {
		_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
		must(t, err)
	}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data("From: alice@local.test\r\nSubject: x\r\n\r\nhello\r\n"), 550)
	w.empty()
	f := w.oneFact("account-frozen")
	if said, ok := f.Find("repeated"); len(g.took) != 1 || !ok || !strings.Contains(said, "have the message already") {
		t.Errorf("%q took it; %+v", g.took, f)
	}
}
