package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

// Every refusal is answered as its rule says, leaves exactly one fact with that
// rule, and nothing else: no message, no file, nothing handed over.
func TestRefusals(t *testing.T) {
	small := intake.DefaultLimits()
	small.Header.HeaderOctets, small.Header.Fields, small.Deliveries = 4096, 40, 1
	field := strings.Replace
	many := func(f string, n int) string { return strings.Repeat(f, n) + message }
	for _, row := range []struct {
		name   string
		door   server.Kind
		as     string // who signs in
		setup  setup
		say    string // from, to..., data; parted by "|"
		code   int
		rule   string
		detail string // in the reply, or in the evidence
	}{
		{name: "own sender on port 25", door: server.KindMX, say: "<alice@local.test>", code: 550, rule: "mx-own-sender"},
		{name: "relay on port 25", door: server.KindMX, say: "<x@far.test>|<y@remote.test>", code: 550, rule: "relay-denied"},
		{name: "percent hack", door: server.KindMX, say: "<x@far.test>|<y%remote.test@local.test>", code: 550, rule: "no-such-user"},
		{name: "no such user", door: server.KindMX, say: "<x@far.test>|<nobody@local.test>", code: 550, rule: "no-such-user"},
		{name: "alias loop", door: server.KindMX, say: "<x@far.test>|<round@local.test>", code: 550, rule: "alias-loop"},
		{name: "own literal", door: server.KindMX, say: "<x@far.test>|<alice@[192.0.2.1]>", code: 550, rule: "own-literal"},
		{name: "UTF-8 unasked", door: server.KindMX, say: "<x@far.test>|<bøb@local.test>", code: 553, rule: "recipient-utf8"},
		{name: "not signed in", door: server.KindSubmission, say: "<alice@local.test>", code: 530, rule: "sign-in-required"},
		{name: "null, not signed in", door: server.KindSubmission, say: "<>", code: 530, rule: "sign-in-required"},
		{name: "a door that is none", door: server.KindUnknown, say: "<x@far.test>", code: 550, rule: "facts-unknown"},
		{name: "another's sender", as: "alice@local.test", say: "<bob@local.test>", code: 553, rule: "sender-not-owned"},
		{name: "a foreign sender", as: "alice@local.test", say: "<x@far.test>", code: 553, rule: "sender-not-owned"},
		{name: "a shared alias", as: "alice@local.test", say: "<all@local.test>", code: 553, rule: "sender-not-owned"},
		{name: "the postmaster", as: "alice@local.test", say: "<postmaster@local.test>", code: 553, rule: "sender-not-owned"},
		{name: "signed in, no such user", as: "alice@local.test", say: "<alice@local.test>|<nobody@local.test>", code: 550, rule: "no-such-user"},
		{name: "another author", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|" + field(message, "alice@", "bob@", 1), code: 550, rule: "author-not-owned", detail: "bob@local.test"},
		{name: "two authors' fields", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|From: alice@local.test\r\n" + message, code: 550, rule: "author-twice"},
		{name: "no author", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|Subject: x\r\n\r\n", code: 550, rule: "author-missing"},
		{name: "no header", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|just text\r\n", code: 550, rule: "author-missing"},
		{name: "a line without a colon", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|no field\r\n" + message, code: 550, rule: "author-missing"},
		{name: "a line without a colon within", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|X: y\r\nno field\r\n" + message, code: 550, rule: "author-unclear"},
		{name: "another author behind a space", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|" + field(field(message, "From:", "From :", 1), "alice@", "bob@", 1), code: 550, rule: "author-not-owned", detail: "bob@local.test"},
		{name: "another author behind a fold of nothing", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|X: y\r\n \r\n" + field(message, "alice@", "bob@", 1), code: 550, rule: "author-not-owned", detail: "bob@local.test"},
		{name: "UTF-8 in From unasked", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|" + field(message, "alice@", "alicé@", 1), code: 550, rule: "author-not-ascii"},
		{name: "a name in an unknown charset", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|" + field(message, "Alice", "=?utf-7?q?evil+AEA-remote.test?=", 1), code: 550, rule: "author-unclear"},
		{name: "a colon behind a space is no mailbox line", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|From : bob@local.test\r\n" + message, code: 550, rule: "author-twice"},
		{name: "another's Sender", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|Sender: bob@local.test\r\n" + message, code: 550, rule: "sender-field-not-owned"},
		{name: "another's Resent-From", as: "alice@local.test", say: "<alice@local.test>|<x@remote.test>|Resent-From: bob@local.test\r\n" + message, code: 550, rule: "resent-not-owned"},
		{name: "null sender, another author", as: "alice@local.test", say: "<>|<x@remote.test>|" + field(message, "alice@", "bob@", 1), code: 550, rule: "author-not-owned"},
		{name: "loop", door: server.KindMX, say: "<x@far.test>|<bob@local.test>|" + many("Received: from a by b\r\n", 51), code: 554, rule: "mail-loop"},
		{name: "header too large", door: server.KindMX, setup: setup{limits: small}, say: "<x@far.test>|<bob@local.test>|X: " + strings.Repeat("a", 5000) + "\r\n" + message, code: 552, rule: "header-too-large"},
		{name: "header without end", door: server.KindMX, setup: setup{limits: small}, say: "<x@far.test>|<bob@local.test>|" + strings.Repeat("X: aaaaaaaa\r\n", 900), code: 552, rule: "header-too-large"},
		{name: "too many fields", door: server.KindMX, setup: setup{limits: small}, say: "<x@far.test>|<bob@local.test>|" + many("X: y\r\n", 40), code: 552, rule: "header-too-large"},
		{name: "bare LF in the header", door: server.KindMX, say: "<x@far.test>|<bob@local.test>|Subject: a\nBcc: b\r\n\r\n", code: 554, rule: "header-line-ending"},
		{name: "too many mailboxes", door: server.KindMX, setup: setup{limits: small}, say: "<x@far.test>|<all@local.test>", code: 452, rule: "too-many-deliveries"},
		{name: "larger than the queue takes, found late", door: server.KindMX, setup: setup{limits: intake.DefaultLimits(), spool: spool.Limits{MessageOctets: 20_000, InlineOctets: 10_000}}, say: "<x@far.test>|<bob@local.test>|" + message + strings.Repeat("much too long\r\n", 5000), code: 552, rule: "message-too-large"},
		{name: "larger than the queue takes", door: server.KindMX, setup: setup{limits: intake.DefaultLimits(), spool: spool.Limits{MessageOctets: 200, InlineOctets: 100}}, say: "<x@far.test>|<bob@local.test>|" + message + strings.Repeat("much too long\r\n", 50), code: 552, rule: "message-too-large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.setup.limits == (intake.Limits{}) {
				row.setup.limits = intake.DefaultLimits()
			}
			w := newWorldOf(t, row.setup)
			c := w.open(row.door, row.as)
			steps := strings.SplitN(row.say, "|", 3)
			r := c.from(steps[0])
			for i, s := range steps[1:] {
				if !r.OK() {
					t.Fatalf("refused before %q: %v", s, r)
				}
				if i == 1 {
					r = c.data(s)
					continue
				}
				r = c.to(s)
			}
			c.want(r, row.code)
			f := w.oneFact(row.rule)
			if f.Kind != fact.KindRefuse || f.Reply != r || f.stranger != (row.as == "") || f.Account != row.as || f.Peer.String() != "198.51.100.7" || f.Hello != "client.test" {
				t.Errorf("fact %+v does not tell what was answered: %v", f, r)
			}
			if row.detail != "" && !strings.Contains(r.Text, row.detail) {
				t.Errorf("%v does not name %s", r, row.detail)
			}
			w.empty()
		})
	}
}

func (w *world) open(k server.Kind, as string) *client {
	if as != "" {
		return w.signedIn(as)
	}
	return w.connect(k)
}

// A recipient refused for its number leaves nothing of itself: those accepted
// before get their copy, and nobody else.
func TestRecipientOverTheBoundLeavesNothing(t *testing.T) {
	l := intake.DefaultLimits()
	l.Deliveries = 2
	w := newWorldOf(t, setup{limits: l})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.to("<bob+one@local.test>"), 250)
	c.want(c.to("<alice@local.test>"), 452)
	c.want(c.to("<bob@local.test>"), 250) // known already: nothing is added
	w.oneFact("too-many-deliveries")
	c.want(c.data(message), 250)
	claim, _ := w.only()
	if n := len(claim.Entry.Recipients); n != 2 || len(claim.Entry.Envelope.To) != 2 {
		t.Errorf("%d deliveries of %v", n, claim.Entry.Envelope.To)
	}
}

// What the disk and the queue refuse is a temporary answer, one fact, and nothing
// stored; the next message is taken as soon as they bear it.
func TestSpoolFaults(t *testing.T) {
	for _, row := range []struct {
		name       string
		limits     spool.Limits
		cause, end func(w *world)
		code       int
		rule       string
	}{
		{"disk full", spool.Limits{}, func(w *world) { w.st.full = true }, func(w *world) { w.st.full = false }, 452, "storage-unavailable"},
		{"queue of the account held", spool.Limits{},
			func(w *world) {
				must(w.t, w.spool.HoldAccount(w.t.Context(), addr(w.t, "alice@local.test"), "incident"))
			},
			func(w *world) { must(w.t, w.spool.ReleaseAccount(w.t.Context(), addr(w.t, "alice@local.test"))) }, 450, "account-queue-held"},
		{"deliveries at their bound", spool.Limits{Claims: 1}, func(w *world) { w.busy() }, func(w *world) { w.idle() }, 452, "queue-full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorldOf(t, setup{limits: intake.DefaultLimits(), spool: row.limits})
			c := w.signedIn("alice@local.test")
			row.cause(w)
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			w.facts()
			before, handed := w.spool.Stats().Entries, len(w.handed)
			c.want(c.data(message), row.code)
			if f := w.oneFact(row.rule); f.Text == "" || len(f.Recipients) != 1 || f.MessageID != "<1@local.test>" {
				t.Errorf("fact without evidence: %+v", f)
			}
			if w.spool.Stats().Entries != before || len(w.handed) != handed {
				t.Error("something was stored")
			}
			row.end(w)
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			c.want(c.data(message), 250)
			w.oneFact("submission-relay")
		})
	}
}

// busy fills the queue's claims with a message of a stranger's.
func (w *world) busy() {
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 250)
}

func (w *world) idle() {
	must(w.t, w.spool.Postpone(w.t.Context(), w.handed[0].Token, w.now, nil))
}

// A connection that breaks within a message leaves nothing; the engine, who knows
// why, records it.
func TestBrokenConnectionLeavesNothing(t *testing.T) {
	for _, end := range []error{errLost, io.ErrUnexpectedEOF, fmt.Errorf("wrapped: %w", io.EOF)} {
		for _, at := range []int{0, 20, len(message) - 7, len(message)} {
			w := newWorld(t)
			c := w.signedIn("alice@local.test")
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			r := c.stream(io.MultiReader(strings.NewReader(message[:at]), broken{end}))
			if r.OK() {
				t.Errorf("%v after %d octets: %v", end, at, r)
			}
			if all := w.facts(); len(all) != 0 {
				t.Errorf("%v after %d octets: recorded %+v", end, at, all)
			}
			w.empty()
		}
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Without chance there is no queue id, and without that no transaction.
func TestNoChance(t *testing.T) {
	w := newWorld(t)
	w.in.Rand = broken{errors.New("no entropy")}
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 451)
	w.oneFact("queue-id-unavailable")
}

// What the engine refuses is told to the session, and is a fact as well.
func TestEngineRefusals(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindMX)
	c.s.Refused(t.Context(), "TURN \x00\x1b[2J", mail.R(502, "5.5.1", "no"))
	if f := w.oneFact("protocol"); !f.stranger || strings.ContainsAny(f.Text, "\x00\x1b") {
		t.Errorf("fact %+v", f)
	}
	s := w.signedIn("alice@local.test")
	s.s.Refused(t.Context(), "NONSENSE", mail.R(500, "5.5.1", "no"))
	if f := w.oneFact("protocol"); f.stranger || f.Account != "alice@local.test" {
		t.Errorf("fact %+v", f)
	}
}

// What the engine refuses of a message, or cuts off, is found by its sender, its recipients and its
// identifier: who asks what became of it knows nothing else. What is said of anything else names
// none of it.
func TestEngineRefusalsNameTheirMessage(t *testing.T) {
	for name, tt := range map[string]struct {
		door   server.Kind
		as     string
		from   string
		to     string
		before int // octets of the message that come
	}{
		"a stranger's":           {server.KindMX, "", "<x@far.test>", "<alice@local.test>", len(message) - 7},
		"an account's":           {server.KindSubmission, "alice@local.test", "<alice@local.test>", "<x@remote.test>", len(message) - 7},
		"one cut off in a field": {server.KindMX, "", "<x@far.test>", "<alice@local.test>", 20},
	} {
		t.Run(name, func(t *testing.T) {
			begun := func(w *world) *client {
				c := w.open(tt.door, tt.as)
				c.want(c.from(tt.from), 250)
				c.want(c.to(tt.to), 250)
				return c
			}
			cut := func(w *world) *client {
				c := begun(w)
				c.stream(io.MultiReader(strings.NewReader(message[:tt.before]), broken{errLost}))
				return c
			}
			id := ""
			if tt.before > 100 {
				id = "<1@local.test>"
			}
			names := func(f entry, id string) {
				t.Helper()
				to := f.Recipients
				if f.Recipient != "" {
					to = append(to, f.Recipient)
				}
				if f.Sender != tt.from || len(to) != 1 || "<"+to[0]+">" != tt.to || f.MessageID != id {
					t.Errorf("nobody finds %+v", f.Fact)
				}
			}
			silent := func(f entry) {
				t.Helper()
				if f.Sender+f.MessageID+f.Recipient != "" || len(f.Recipients) > 0 {
					t.Errorf("it names a message that it is not about: %+v", f.Fact)
				}
			}
			refused := mail.R(554, "5.5.2", "lines must end with CRLF")

			w := newWorld(t)
			c := begun(w)
			c.s.Refused(t.Context(), "RCPT TO:<y@", refused) // of one in the making
			names(w.oneFact("protocol"), "")
			c.t.Abort(t.Context())
			c.s.Refused(t.Context(), "NONSENSE", refused)
			silent(w.oneFact("protocol"))

			c = cut(w)
			c.s.Refused(t.Context(), "DATA", refused)
			names(w.oneFact("protocol"), id)
			c.s.Refused(t.Context(), "DATA", refused) // another, without a transaction
			silent(w.oneFact("protocol"))

			c = cut(w)
			c.s.Refused(t.Context(), "NONSENSE", refused)
			silent(w.oneFact("protocol"))

			c = cut(w)
			c.s.Close(t.Context(), server.EndTimeout)
			names(w.oneFact("connection-ended"), id)

			c = begun(w)
			c.t.Abort(t.Context())
			c.s.Close(t.Context(), server.EndQuit)
			silent(w.oneFact("connection-ended"))

			c = begun(w) // one that comes to its end is told of by what became of it
			c.want(c.data(message), 250)
			w.facts()
			c.s.Refused(t.Context(), "NONSENSE", refused)
			silent(w.oneFact("protocol"))
			c.s.Close(t.Context(), server.EndEOF)
			silent(w.oneFact("connection-ended"))
		})
	}
}
