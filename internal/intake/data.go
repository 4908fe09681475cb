package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"sallyport/internal/bind"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
)

// errRefused carries a refusal out of the streaming of a body.
type errRefused struct {
	rule     string
	reply    mail.Reply
	notes    []string
	evidence []fact.Pair
	found    string       // the evidence that decided, in words
	claimed  mail.Address // an author that is not the account's; zero: it is not that
}

func (e *errRefused) Error() string { return e.rule + ": " + e.reply.String() }

// errConnection marks the error of a message that did not come to its end. The
// engine knows why its reader ended, records it and answers by itself.
var errConnection = errors.New("intake: the message did not come to its end")

// received is the engine's reader; its errors are told from all others.
type received struct{ r io.Reader }

func (r *received) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = unended(err)
	}
	return n, err
}

// unended is the error of a message whose reader failed. It is not wrapped: no error of
// theirs is an end.
func unended(err error) error { return fmt.Errorf("%w: %v", errConnection, err) }

// WriteTo implements io.WriterTo: the engine's reader has a buffer, and needs no second one.
func (r *received) WriteTo(w io.Writer) (int64, error) {
	into := sink{w: w}
	n, err := io.Copy(&into, r.r)
	if err != nil && into.err == nil {
		err = unended(err)
	}
	return n, err
}

// sink remembers that it was the writer that failed.
type sink struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (n int, err error) {
	n, err = s.w.Write(p)
	s.err = err
	return n, err
}

// content is what was learnt of a message while it was received.
type content struct {
	messageID string
	gist      string   // of its text, where somebody of ours submits it
	notes     []string // findings of bind that refuse nothing
	utf8      bool     // for its header it can only travel with SMTPUTF8
	tls       mail.TLSDemand
	looks     []look // of the inspectors that it concerns
	judged    judgement
}

// Data takes the message. The order is: header section into bounded memory, policy
// on it, body streamed to the spool, inspectors, one durable Put, then 250.
func (t *transaction) Data(ctx context.Context, r io.Reader) mail.Reply {
	defer t.released(ctx) // does nothing once the message was sent
	defer t.hold.End()
	defer t.ended()
	defer t.refusedWatched(ctx) // does nothing once they were counted with the message
	body, err := t.s.in.Queue.NewBody(ctx)
	if err != nil {
		return t.failed(ctx, content{}, err)
	}
	defer func() { _ = body.Abort() }() // does nothing once Put took it
	c, err := t.receive(body, &received{r: r})
	if err != nil {
		return t.failed(ctx, c, err)
	}
	if c.utf8 {
		if err := t.takesHeader(ctx); err != nil {
			return t.failed(ctx, c, err)
		}
	}
	if err := t.judge(ctx, &c, body); err != nil {
		return t.failed(ctx, c, err)
	}
	if err := t.standing(); err != nil {
		return t.failed(ctx, c, err)
	}
	return t.put(ctx, c, body)
}

// ended lets the session forget the message, unless it was cut off: why, the engine says then.
func (t *transaction) ended() {
	if !t.cutOff && t.s.message == t {
		t.s.message = nil
	}
}

// standing asks the gate once more about the sender. The account may have been frozen while
// the data came, or while a server behind us took its time: no permission given before
// counts for a message that is complete only now.
func (t *transaction) standing() error {
	if v := t.draft.Mail(); v.Action != gate.AcceptLocal {
		return &errRefused{rule: string(v.Rule), reply: v.Reply}
	}
	return nil
}

// receive judges the header section and copies the whole message into body.
func (t *transaction) receive(into *spool.Body, r *received) (content, error) {
	text := message.Begin(r)
	h, rest, err := message.ReadHeaderWithin(text, t.limit.Header, func(octets int) bool { return t.hold.Take(int64(octets)) })
	if err != nil {
		return content{}, headerError(err)
	}
	if !t.hold.Take(headerCost(h)) {
		return content{}, errCrowded()
	}
	body := kept{body: into, hold: t.hold, held: new(int64), flow: t.flow}
	c := content{messageID: h.MessageID()}
	t.messageID = c.messageID
	// RFC 5321 §6.3: too many Received fields are a mail loop.
	if h.Hops() > t.limit.Header.Hops {
		return c, &errRefused{rule: RuleMailLoop, reply: mail.R(554, "5.4.6", "too many hops: this message is in a loop")}
	}
	kept := h
	if t.submitted() {
		kept = h.Settled()
	}
	head, err := t.rewrite(kept, &c)
	if err != nil {
		return c, err
	}
	// Many programs ask for SMTPUTF8 whenever it is offered; only an address in the header
	// demands it of every hop (RFC 6531 §3.6), and raw text in a Subject or a display name
	// passes everywhere. The addresses of the envelope are judged where it is sent: a
	// forward leaves with others, and one recipient's address is not the others' fault.
	c.utf8 = t.draft.Envelope.SMTPUTF8 && kept.NeedsUTF8()
	c.tls = tlsDemand(t.draft.Envelope.TLS, h)
	if c.looks, err = t.begin(h, head); err != nil {
		return c, err
	}
	if _, err := body.Write(head); err != nil {
		return c, err
	}
	var gist message.Gist
	watched := tee{w: body, looks: c.looks}
	if t.submitted() {
		watched.gist = &gist
	}
	if _, err := watched.Write(rest); err != nil {
		return c, err
	}
	_, err = io.Copy(watched, text)
	c.gist = gist.Sum()
	return c, err
}

// tlsDemand reads the field TLS-Required, which says nothing beside REQUIRETLS, when
// it stands twice, or when it says anything but "No". RFC 8689 §3, §4.1.
func tlsDemand(asked mail.TLSDemand, h message.Header) mail.TLSDemand {
	if asked == mail.RequireTLS || h.Count("TLS-Required") != 1 || !strings.EqualFold(strings.TrimSpace(h.Value("TLS-Required")), "no") {
		return asked
	}
	return mail.TLSOptional
}

func headerError(err error) error {
	switch {
	case errors.Is(err, message.ErrHeaderTooLarge), errors.Is(err, message.ErrTooManyFields):
		return &errRefused{rule: RuleHeaderTooLarge, reply: mail.R(552, "5.3.4", "the header section is too large")}
	case errors.Is(err, message.ErrNoRoom):
		return errCrowded()
	case errors.Is(err, message.ErrLineEnding):
		return &errRefused{rule: RuleHeaderLineEnding, reply: mail.R(554, "5.6.0", "the header holds a bare CR, a bare LF or a NUL")}
	}
	return err
}

// rewrite returns the header section as it is stored. Return-Path is only ever
// written by final delivery (RFC 5321 §4.4), Authentication-Results in our name
// only by us (RFC 8601 §5). What our people submit is bound to its author, loses the
// names of its secret recipients, and gains what RFC 6409 §8 says a submission
// server adds.
func (t *transaction) rewrite(h message.Header, c *content) ([]byte, error) {
	rules := message.StripRules{Names: []string{"Return-Path", junkField}, AuthServIDs: []mail.Domain{t.s.in.Hostname}}
	if t.door == gate.DoorMX && t.s.in.Reserved != nil {
		rules.Names = append(rules.Names, t.s.in.Reserved()...)
	}
	var added []byte
	if t.submitted() {
		names, senders, err := t.judgeAuthors(h, c)
		if err != nil {
			return nil, err
		}
		// RFC 5322 §3.6.3: the other recipients must not learn whom it names. A line of a
		// mailbox file in front, as of git format-patch, is of no use to anybody.
		rules.Names = append(rules.Names, "Bcc", "Resent-Bcc", message.MailboxLineField)
		rules.Names = append(rules.Names, names...)
		added = append(senders, message.Missing(h, t.draft.ID, t.s.in.Hostname, t.s.in.Now())...)
		if h.Count("Message-ID") == 0 {
			c.messageID = "<" + t.draft.ID.String() + "@" + t.s.in.Hostname.ASCII() + ">"
		}
	}
	return h.Without(added, message.Strip(h, rules)), nil
}

// submitted reports whether the message is one of our own people's, handed in to be
// sent: on the submission doors or by the sendmail command.
func (t *transaction) submitted() bool {
	return t.door == gate.DoorSubmission || t.door == gate.DoorSendmail
}

// judgeAuthors binds the header's authors to the account. Promise 2. Where binding only
// reports, it returns the fields that say who sent the message, and the names of those that
// they replace.
func (t *transaction) judgeAuthors(h message.Header, c *content) (names []string, senders []byte, err error) {
	cs := mail.ASCII
	if t.draft.Envelope.SMTPUTF8 {
		cs = mail.UTF8
	}
	a := bind.Authors(h.Authors(cs))
	v := t.reportAuthors(bind.Header(t.dir.Owner(t.s.account().Address), a))
	if !v.OK {
		refused := &errRefused{rule: string(v.Rule), reply: v.Reply, notes: v.Notes}
		if v.Rule == bind.RuleAuthorNotOwned && len(a.From) > 0 {
			refused.claimed = a.From[0]
		}
		return nil, nil, refused
	}
	c.notes = v.Notes
	names, senders = t.senders(v, a)
	return names, senders, nil
}

// put makes the message durable, hands it over and answers 250.
func (t *transaction) put(ctx context.Context, c content, body *spool.Body) mail.Reply {
	l := letter.Content{MessageID: c.messageID, Prefix: append(c.judged.prefix(), t.received()...), Junk: c.judged.junk}
	t.draft.Envelope.SMTPUTF8, t.draft.Envelope.TLS = c.utf8, c.tls
	watched, err := t.watched(ctx, c, body.Size())
	if err != nil {
		return t.failed(ctx, c, err)
	}
	taken := false
	defer func() { watched.Done(taken) }()
	if err := t.placed(); err != nil {
		return t.failed(ctx, c, err)
	}
	o, r, done := t.cutThrough(ctx, l, c, body, watched)
	if done {
		return r
	}
	if err := t.standing(); err != nil {
		return t.notQueued(ctx, c, o, err)
	}
	f := t.acceptFact(c, body.Size())
	facts := append([]fact.Fact{f}, t.offerFacts(c, o)...)
	if c.judged.Action == Hold {
		l.Hold = c.judged.Rule + ": " + c.judged.Reason
		facts = append(facts, t.holdFact(c))
	}
	t.charged(&l)
	also(&l, watched)
	l.Also = append(l.Also, t.reported()...)
	claim, err := t.draft.Post(ctx, t.s.in.Queue, l, body, facts...)
	if err != nil {
		return t.notQueued(ctx, c, o, err)
	}
	t.sent()
	taken = true
	t.s.accepted++
	if l.Hold == "" {
		t.s.in.Handoff(claim)
	}
	return f.Reply
}

// received is our trace field. RFC 5321 §4.4.
func (t *transaction) received() []byte {
	hop := message.Hop{
		Hello: t.s.hello.Name, Remote: peer(t.s.conn), By: t.s.in.Hostname, ID: t.draft.ID, At: t.s.in.Now(),
		Session: message.Session{Extended: t.s.hello.Extended, TLS: t.s.hello.TLS != nil, Auth: !t.s.anonymous(), UTF8: t.draft.Envelope.SMTPUTF8},
	}
	if t.s.hello.TLS != nil {
		hop.Cipher = tls.CipherSuiteName(t.s.hello.TLS.CipherSuite)
	}
	if len(t.draft.Envelope.To) == 1 {
		hop.For = t.draft.Envelope.To[0].Address
	}
	return message.Received(hop)
}

func (t *transaction) acceptFact(c content, size int64) fact.Fact {
	e := fact.Accepted{
		At: t.s.in.Now(), Session: t.s.seen(), Recipients: t.recipients(), Reply: mail.R(250, "2.0.0", "queued as "+t.draft.ID.String()),
		Message: fact.Message{Queue: t.draft.ID, MessageID: c.messageID, Sender: t.draft.Envelope.From.String(), Size: size},
	}
	if id := t.draft.Envelope.EnvID; id != "" {
		e.Evidence = append(e.Evidence, fact.Pair{Name: fact.EvidenceEnvelope, Value: id})
	}
	for i, r := range t.rules {
		if i == 0 {
			e.Rule = string(r)
			continue
		}
		e.Evidence = append(e.Evidence, fact.Pair{Name: "other recipients", Value: string(r)})
	}
	for _, n := range c.notes {
		e.Evidence = append(e.Evidence, fact.Pair{Name: "note", Value: n})
	}
	e.Evidence = append(e.Evidence, t.reportedEvidence()...)
	e.Evidence = append(e.Evidence, t.said...)
	return c.judged.evidenced(e.Fact())
}

// failed answers and records why a message was not taken; what failed in the
// connection is the engine's to record.
func (t *transaction) failed(ctx context.Context, c content, err error) mail.Reply {
	if errors.Is(err, errConnection) {
		t.cutOff = true
		t.s.in.Logger.Debug("message not received", "conn", t.s.conn.ID, "err", err)
		return mail.R(451, "4.3.0", "the message was not received; try again later")
	}
	f := fact.Fact{Sender: t.draft.Envelope.From.String(), Recipients: t.recipients(), MessageID: c.messageID}
	var refused *errRefused
	if errors.As(err, &refused) {
		f.Rule, f.Reply = refused.rule, refused.reply
		t.s.claims(ctx, refused.claimed)
		t.s.refusedNames(ctx, refused.rule, t.dir, t.notOwned)
		for _, n := range refused.notes {
			f = f.Evidenced("note", n)
		}
		f.Evidence = append(f.Evidence, refused.evidence...)
		if t.s.anonymous() {
			f.Text = refused.found
		}
	} else {
		f.Rule, f.Reply = notStored(err)
		f.Text = err.Error()
		level := slog.LevelWarn
		if errors.Is(err, spool.ErrLow) {
			level = slog.LevelDebug // who watches the disk tells of it, once
		}
		t.s.in.Logger.Log(ctx, level, "message not stored", "conn", t.s.conn.ID, "rule", f.Rule, "err", err)
	}
	return t.s.refuse(ctx, f)
}

// notStored names the rule and the answer of a message that the spool did not
// take. What is not known passes by itself: nobody's mail is refused for good
// because of a fault of ours.
func notStored(err error) (rule string, r mail.Reply) {
	switch {
	case errors.Is(err, letter.ErrGrants):
		return RuleGrantsDoNotJoin, mail.R(451, "4.3.0", "try again later")
	case errors.Is(err, spool.ErrFull):
		return RuleQueueFull, mail.R(452, "4.3.1", "the queue is full; try again later")
	case errors.Is(err, spool.ErrTooLarge):
		return RuleMessageTooLarge, mail.R(552, "5.3.4", "the message is too large")
	case errors.Is(err, spool.ErrUnavailable):
		return RuleStorageUnavailable, mail.R(452, "4.3.1", "the message could not be stored; try again later")
	case errors.Is(err, spool.ErrHeld):
		return RuleAccountQueueHeld, mail.R(450, "4.7.0", "sending is suspended for this account; contact the postmaster")
	}
	return RuleMessageNotStored, mail.R(451, "4.3.0", "the message could not be stored; try again later")
}

func (t *transaction) recipients() []string {
	out := make([]string, len(t.draft.Envelope.To))
	for i, r := range t.draft.Envelope.To {
		out[i] = r.Address.String()
	}
	return out
}
