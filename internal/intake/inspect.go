package intake

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
)

// Inspector judges messages that were received completely and are not accepted yet:
// by who really sent them, by what is in them, by what a server behind us says. It
// is used by all sessions at once.
//
// It advises on a message that the gate has let in; it can never make a Grant, add a
// recipient, or change the message but by header fields that are put before it.
type Inspector interface {
	// Name names the inspector in facts: "authentication".
	Name() string
	// Begin is told of a message whose header section has come. It must not block.
	// nil: the message does not concern this inspector.
	Begin(m Message) Look
}

// Look is one inspector's look at one message. Its methods are called one after the
// other; when a message does not come to its end, it is dropped without a word.
type Look interface {
	// Body is given the octets behind the header section, in order, as they arrive,
	// for what is computed while the message streams. It must not keep p.
	Body(p []byte)
	// Judge is called once, when the whole message is there. It must return soon
	// after ctx ends; what it says then counts no more: the message is deferred, and
	// no other message is kept waiting.
	Judge(ctx context.Context, c Content) Finding
}

// Message is what is known of a message when its header section has come. It is
// immutable, and so is everything in it.
type Message struct {
	Door    gate.Door
	Conn    string // identifier of the connection
	Peer    netip.Addr
	Hello   string               // what the client called itself; verified by nobody
	TLS     *tls.ConnectionState // nil: clear text
	Account mail.Address         // who signed in; zero for a stranger
	// NotOwned are the authors that are not the account's, where binding only reports.
	NotOwned []mail.Address
	ID       mail.ID
	Envelope mail.Envelope // with all recipients that were let in
	// Header is the section as it came: what a sender signed.
	Header message.Header
	// Stored is the section as it is kept and delivered: without the fields that
	// nobody may bring along, with those that a submission server adds.
	Stored message.Header
}

// Content is a message that came to its end.
type Content struct {
	// Size is the number of octets of the message as it is kept.
	Size int64
	// Added are the header fields that inspectors before this one put before it.
	Added []byte
	// Open reads the message as it is kept, Stored first, without Added. It may be
	// called several times, and only until Judge returns.
	Open func() (io.Reader, error)
}

// Action says what an inspector wants done. The zero Action defers. A higher one
// outranks a lower one.
type Action uint8

const (
	ActionUnknown Action = iota
	// Pass accepts the message.
	Pass
	// Junk accepts it; mailboxes of ours keep it apart, and a header field says why.
	Junk
	// Hold accepts it and keeps it in the queue, until an operator lets it go.
	Hold
	// Defer answers 4xx.
	Defer
	// Refuse answers 5xx.
	Refuse
)

// Finding is what an inspector says of a message.
type Finding struct {
	Action Action
	// Rule names the rule that decided, for everything but Pass; for Pass it may be
	// empty.
	Rule string
	// Reply answers Defer (4xx) and Refuse (5xx).
	Reply mail.Reply
	// Reason is why, in words for people, for Hold and Junk.
	Reason string
	// Notes are evidence for the trace, whatever the Action.
	Notes []fact.Pair
	// Fields are whole header fields with their CRLFs that are put before the
	// message, in ASCII, for Pass, Junk and Hold.
	Fields []byte
	// Author is who wrote the message, where a DMARC pass proves it; zero: nobody is
	// proved.
	Author mail.Address
}

// junkField says in a message why its mailbox keeps it apart. Only we write it.
const junkField = "X-Sallyport-Junk"

// look is an inspector at work on one message.
type look struct {
	name string
	Look
}

// How much longer than what came a header section may be that is kept: our own fields must not make
// it too large.
const (
	ownOctets = 1 << 10
	ownFields = 8
)

// begin asks every inspector whether the message concerns it, which came with one
// header section and is kept with another.
func (t *transaction) begin(came message.Header, head []byte) ([]look, error) {
	if len(t.s.in.Inspectors) == 0 {
		return nil, nil
	}
	stored := came
	if !bytes.Equal(head, came.Raw()) {
		l := t.limit.Header
		l.HeaderOctets, l.Fields = l.HeaderOctets+ownOctets, l.Fields+ownFields
		var err error
		if stored, err = l.Parse(head); err != nil {
			return nil, headerError(err)
		}
	}
	m := Message{
		Door: t.door, Conn: t.s.conn.ID, Peer: peer(t.s.conn), Hello: t.s.hello.Name, TLS: t.s.hello.TLS,
		Account: t.s.account().Address, NotOwned: t.authorsNotOwned(), ID: t.draft.ID,
		Envelope: t.draft.Envelope, Header: came, Stored: stored,
	}
	var looks []look
	for _, i := range t.s.in.Inspectors {
		if l := i.Begin(m); l != nil {
			looks = append(looks, look{i.Name(), l})
		}
	}
	return looks, nil
}

// judge has the inspectors judge a message that is wholly in body.
func (t *transaction) judge(ctx context.Context, c *content, body *spool.Body) error {
	c.judged = judgement{Finding: Finding{Action: Pass}}
	if len(c.looks) == 0 {
		return nil
	}
	if err := body.End(); err != nil {
		return err
	}
	if !t.hold.Take(inspectionOctets) {
		return errCrowded()
	}
	l := lease{open: body.Reader}
	defer l.end()
	c.judged = t.inspect(ctx, c.looks, Content{Size: body.Size(), Open: l.reader})
	if j := c.judged; j.Action == Defer || j.Action == Refuse {
		return &errRefused{rule: j.Rule, reply: j.Reply, notes: c.notes, evidence: j.Notes, found: j.found}
	}
	return nil
}

// errJudged says that an inspector asked for a message that was judged without it.
var errJudged = errors.New("intake: the message was judged already")

// lease opens a message for its inspectors until it is judged. Then it goes into the
// queue or is dropped, and one that did not come back in time must not touch it any
// more.
type lease struct {
	mu   sync.Mutex
	open func() (io.Reader, error)
}

func (l *lease) reader() (io.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return nil, errJudged
	}
	return l.open()
}

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = nil
}

// judgement is what all inspectors together said.
type judgement struct {
	Finding        // the one that outranks the others; its Notes are those of all, in order
	fields  []byte // of all
	junk    bool
	marks   []fact.Pair  // the rules of those that accepted with a reservation
	why     []string     // and their reasons, for the junk field
	found   string       // evidence of the one that did not accept
	author  mail.Address // who is proved to have written it; zero: nobody
}

// inspect asks the inspectors in their order. The first that does not accept ends
// it; else the strictest finding counts.
func (t *transaction) inspect(ctx context.Context, looks []look, c Content) judgement {
	j := judgement{Finding: Finding{Action: Pass}}
	if len(looks) == 0 {
		return j
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.InspectTime)
	defer cancel()
	for _, l := range looks {
		c.Added = j.fields
		f := t.limit.mended(l.name, t.ask(ctx, l, c), len(j.fields))
		notes := append(j.Notes, f.Notes...)
		switch f.Action {
		case Defer, Refuse:
			found := inWords(f.Notes)
			f.Notes = notes
			return judgement{Finding: f, found: found}
		case Junk:
			j.junk = true
			j.marks = append(j.marks, fact.Pair{Name: "junk", Value: f.Rule})
			j.why = append(j.why, f.Rule+": "+f.Reason)
		case Hold:
			j.marks = append(j.marks, fact.Pair{Name: "hold", Value: f.Rule})
		}
		j.fields = append(j.fields, f.Fields...)
		if !f.Author.IsZero() {
			j.author = f.Author
		}
		if f.Action > j.Action {
			j.Finding = f
		}
		j.Notes = notes
	}
	return j
}

// inWords puts evidence into one line: of strangers' facts, which are summed up, the
// text is kept.
func inWords(notes []fact.Pair) string {
	words := make([]string, len(notes))
	for i, n := range notes {
		words[i] = n.Name + ": " + n.Value
	}
	return strings.Join(words, "; ")
}

// prefix returns the header fields that the inspectors want put before the message.
func (j judgement) prefix() []byte {
	var b []byte
	for _, w := range j.why {
		b = append(b, junkField+": "+mail.PlainLine(w, maxJunkOctets)+"\r\n"...)
	}
	return append(b, j.fields...)
}

// maxJunkOctets bounds a header field that says why mail is junk. RFC 5322 §2.1.1
const maxJunkOctets = 900

// evidenced adds to the fact of a message that was taken what the inspectors found.
func (j judgement) evidenced(f fact.Fact) fact.Fact {
	f.Evidence = append(append(f.Evidence, j.marks...), j.Notes...)
	return f
}

// holdFact says that a message was taken and is kept.
func (t *transaction) holdFact(c content) fact.Fact {
	return fact.Held{
		At: t.s.in.Now(), Rule: c.judged.Rule, Session: t.s.seen(), Reason: c.judged.Reason,
		Message: fact.Message{Queue: t.draft.ID, MessageID: c.messageID},
	}.Fact()
}

// ask waits for one inspector until the time is over. One that does not come back
// keeps its slot, and nothing else.
func (t *transaction) ask(ctx context.Context, l look, c Content) Finding {
	crowded := Finding{Action: Defer, Rule: RuleInspectionCrowded, Notes: []fact.Pair{{Name: "inspector", Value: l.name}}}
	late := Finding{Action: Defer, Rule: RuleInspectionTimeout, Notes: crowded.Notes}
	select {
	case t.s.in.inspecting <- struct{}{}:
	default:
		return crowded
	}
	answer := make(chan Finding, 1)
	t.hold.Share() // who does not come back in time goes on holding the message
	t.s.in.inspectors.Go(func() { answer <- t.look(ctx, l, c) })
	select {
	case f := <-answer:
		if counts(f, ctx.Err() != nil) {
			return f
		}
	case <-ctx.Done():
	}
	t.s.in.Logger.Warn("an inspection did not end in time", "inspector", l.name, "conn", t.s.conn.ID, "queue", t.draft.ID.String())
	return late
}

// look has one inspector judge. Its slot and the message's memory are free when the finding is
// told: whoever waited for that finds no trace of it.
func (t *transaction) look(ctx context.Context, l look, c Content) Finding {
	defer func() { <-t.s.in.inspecting }()
	defer t.hold.End()
	return l.Judge(ctx, c)
}

// counts reports whether a finding counts that came when the time may have been over:
// one that was cut short may have found less than there is, and only a refusal can be no
// worse for it.
func counts(f Finding, over bool) bool { return !over || f.Action == Refuse }

// mended returns the finding within the rules and bounds. What breaks them is a fault
// of ours or of a program that we asked: it defers, and says so.
func (l Limits) mended(name string, f Finding, before int) Finding {
	fault := f.fault()
	if len(f.Fields)+before > l.InspectedOctets {
		fault = fmt.Errorf("it adds header fields of %d octets", len(f.Fields))
	}
	if fault != nil {
		return Finding{
			Action: Defer, Rule: RuleInspectionFailed, Reply: mail.R(451, "4.3.0", "the message could not be inspected; try again later"),
			Notes: []fact.Pair{{Name: "inspector", Value: name}, {Name: "fault", Value: fault.Error()}},
		}
	}
	if f.Action == Defer && f.Reply.IsZero() {
		f.Reply = mail.R(451, "4.3.0", "the message could not be inspected in time; try again later")
	}
	return f
}

// fault says what keeps a finding from being one.
func (f Finding) fault() error {
	switch {
	case f.Action == ActionUnknown || f.Action > Refuse:
		return errors.New("it said nothing")
	case f.Action != Pass && f.Rule == "":
		return errors.New("it names no rule")
	case f.Action == Refuse && f.Reply.Code/100 != 5, f.Action == Defer && !f.Reply.IsZero() && f.Reply.Code/100 != 4:
		return fmt.Errorf("its reply is %v", f.Reply)
	case f.Action == Defer || f.Action == Refuse || len(f.Fields) == 0:
		return nil
	}
	h, err := message.ParseHeader(f.Fields)
	switch {
	case err != nil:
		return err
	case h.Fault() != "" || len(h.Raw()) < 2 || string(h.Raw()[len(h.Raw())-2:]) != "\r\n" || h.Ended():
		return errors.New("it adds what is no header field")
	}
	for _, c := range f.Fields {
		if c >= 0x80 {
			return errors.New("it adds a header field that is not ASCII")
		}
	}
	return nil
}

// tee gives each look the octets of the body as they arrive.
type tee struct {
	w     io.Writer
	looks []look
	gist  io.Writer // nil: nobody asks for it
}

// Write implements io.Writer.
func (t tee) Write(p []byte) (int, error) {
	for _, l := range t.looks {
		l.Body(p)
	}
	if t.gist != nil {
		_, _ = t.gist.Write(p) // it never fails
	}
	return t.w.Write(p)
}
