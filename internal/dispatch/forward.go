package dispatch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/spool"
)

// deliveredTo is the field that names the account on whose way the message is. Other
// servers know it as a loop mark, too.
const deliveredTo = "Delivered-To"

// The rules by which mail of an account that forwards stays in its mailbox; all others
// are the gate's.
const (
	RuleKeptOff      = "forward-external-off"         // the administrator does not let forwards leave
	RuleKeptJunk     = "forward-junk"                 // mail that an inspector found to be junk would be sent in the account's name
	RuleKeptReturn   = string(gate.RuleForwardReturn) // a bounce of a forward
	RuleKeptLoop     = "forward-loop"                 // it came back
	RuleKeptTwice    = "forward-loop-kept"            // it came back, and the mailbox has it
	RuleKeptHeader   = "forward-header"               // its header section does not read, so that no loop could be seen
	RuleKeptHeld     = "forward-queue-held"           // the account's queue is held
	RuleKeptFull     = "forward-queue-full"           // the account, or the queue, has no room
	RuleKeptAfterAll = "forward-undelivered"          // a target refused it for good, and the mailbox gets what it did not have
	RuleFailing      = "forward-keeps-failing"
)

// sendOn is how one local delivery of a claimed message is carried on.
type sendOn struct {
	account mail.Address
	targets []mail.Address // to whom it may leave
	keep    bool           // the mailbox gets a copy
	rule    string         // why it stays although the account forwards; "" when it does not
	done    bool           // the mailbox has it already: nothing is to be delivered
	before  bool           // an earlier attempt carried it on for another of the account's addresses
}

func (s sendOn) leaves() bool { return len(s.targets) > 0 }

// instead is the answer in the place of a delivery; zero if there is to be one.
func (s sendOn) instead() mail.Reply {
	switch {
	case s.done:
		return mail.R(250, "2.0.0", "it came back: the mailbox has it already")
	case s.before && !s.keep:
		return mail.R(250, "2.0.0", "the account has it already")
	case s.leaves() && !s.keep:
		return mail.R(250, "2.0.0", "sent on")
	}
	return mail.Reply{}
}

// anyForward reports whether an account among the pending recipients forwards, or
// would if forwards were on.
func (d *Dispatch) anyForward(e spool.Entry, dir *directory.Snapshot, pending []spool.RecipientState) bool {
	for _, r := range pending {
		if r.Kind != spool.KindLocal {
			continue
		}
		box := d.holder(e, r.Mailbox)
		if _, ok := dir.Forwards(box); ok || dir.ForwardSleeps(box) {
			return true
		}
	}
	return false
}

// forwards decides for each pending delivery to an account that forwards whether the
// message is sent on, by place.
func (d *Dispatch) forwards(r *run, dir *directory.Snapshot) map[int]sendOn {
	out := map[int]sendOn{}
	var seen *history
	settled := accountsWith(r.claim.Entry)
	decided := map[string]sendOn{}
	for i, p := range r.pending {
		if p.Kind != spool.KindLocal {
			continue
		}
		box := d.holder(r.claim.Entry, p.Mailbox)
		if dir.ForwardSleeps(box) {
			out[i] = sendOn{account: box, rule: RuleKeptOff}
		}
		fw, ok := dir.Forwards(box)
		if !ok {
			continue
		}
		if seen == nil {
			seen = d.history(r.claim)
		}
		// Of all addresses that lead to one account, only the return path of a forward
		// is another matter.
		key := strconv.FormatBool(srs.Is(p.Recipient.Address)) + p.Mailbox.Key()
		s, known := decided[key]
		if !known {
			s = d.forward(r.claim.Entry, p.Recipient.Address, fw, dir, seen)
			if s.leaves() && settled[p.Mailbox.Key()] {
				s.targets, s.before = nil, true
			}
			decided[key] = s
		}
		out[i] = s
	}
	return out
}

// holder is the account whose mailbox was called so when the message came.
func (d *Dispatch) holder(e spool.Entry, mailbox mail.Address) mail.Address {
	if d.Holder == nil {
		return mailbox
	}
	return d.Holder(mailbox, e.Received)
}

// accountsWith returns the accounts, by key, for which earlier attempts at a message
// delivered it, or sent it on.
func accountsWith(e spool.Entry) map[string]bool {
	out := map[string]bool{}
	for _, r := range e.Recipients {
		if r.Kind == spool.KindLocal && r.State == spool.StateDelivered {
			out[r.Mailbox.Key()] = true
		}
	}
	return out
}

// boxesWith returns the mailboxes, by key, into which earlier attempts at a message
// delivered it.
func boxesWith(e spool.Entry) map[string]bool {
	out := map[string]bool{}
	for _, r := range e.Recipients {
		if r.Kind == spool.KindLocal && r.State == spool.StateDelivered && r.Remote != forwardName {
			out[r.Mailbox.Key()] = true
		}
	}
	return out
}

// forward decides one of them, by the address that the message was written to. What does
// not leave goes into the mailbox: nothing is lost, and nobody is bounced at.
func (d *Dispatch) forward(e spool.Entry, to mail.Address, fw directory.Forward, dir *directory.Snapshot, seen *history) sendOn {
	account := fw.Account
	s := sendOn{account: account, keep: fw.Keep}
	mark := d.markOf(seen, account, callOf(e))
	switch {
	case e.Junk:
		s.rule = RuleKeptJunk
	case srs.Is(to):
		s.rule = RuleKeptReturn
	case seen.err != nil:
		s.rule = RuleKeptHeader
	case mark == srs.MarkKept:
		s.rule, s.done = RuleKeptTwice, true
	case mark == srs.MarkSent || seen.passed(account):
		s.rule = RuleKeptLoop
	default:
		s.rule = d.noRoom(e, account)
	}
	if s.rule != "" {
		return s
	}
	draft, _ := d.draft(e, account, mail.ID{}) // without a return path the gate refuses
	for _, target := range fw.Targets {
		if v := draft.Judge(target, dir.Classify(target), nil); v.Action == gate.Relay || v.Rule == gate.RuleSubjectIncomplete {
			s.targets = append(s.targets, target)
		} else {
			// Whom it may not reach must be able to read it here.
			s.keep, s.rule = true, string(v.Rule)
		}
	}
	return s
}

// noRoom returns why the account's queue takes no more, "" if it does.
func (d *Dispatch) noRoom(e spool.Entry, account mail.Address) string {
	switch err := d.Queue.Room(account, e.Size+int64(len(e.Prefix))); {
	case errors.Is(err, spool.ErrHeld):
		return RuleKeptHeld
	case err != nil:
		return RuleKeptFull
	}
	return ""
}

// draft begins the message that may leave in the name of the account, as id. The sender is
// the account's: it is the null one, or a return path that is made for this account and
// nobody else.
func (d *Dispatch) draft(e spool.Entry, account mail.Address, id mail.ID) (*letter.Draft, error) {
	from, err := d.returnPath(e, account)
	owned := gate.OwnershipOwned
	switch {
	case err != nil:
		owned = gate.OwnershipUnknown
	case from.IsNull():
		owned = gate.OwnershipNull
	}
	return &letter.Draft{
		ID: id, Account: account, Ownership: owned,
		// Whoever sent it hears nothing of what happens behind us, and nobody behind us
		// learns what was said about it: RFC 3461 §5.2.7 has us begin anew.
		Envelope: mail.Envelope{From: from, Body: e.Envelope.Body, SMTPUTF8: e.Envelope.SMTPUTF8, TLS: e.Envelope.TLS},
		Session:  d.asForward(account),
	}, err
}

// asForward tells the gate that an account's forward asks, as the account stands now.
func (d *Dispatch) asForward(account mail.Address) func() gate.Facts {
	return letter.Ours(gate.DoorForward, func() gate.Standing {
		if d.Active(account) {
			return gate.StandingActive
		}
		return gate.StandingFrozen
	})
}

// returnPath is the reverse-path of what is sent on. A null one stays (RFC 5321
// §4.5.5); any other would make us lie about a domain that is not ours, and have
// bounces reach somebody who did not send them to us.
func (d *Dispatch) returnPath(e spool.Entry, account mail.Address) (mail.ReversePath, error) {
	if e.Envelope.From.IsNull() {
		return mail.NullPath(), nil
	}
	// The day of its arrival: every attempt makes the same.
	a, err := d.ReturnPaths.Forward(account, e.Received)
	if err != nil {
		return mail.ReversePath{}, err
	}
	return mail.PathOf(a), nil
}

// history is what the header of a message says of its way.
type history struct {
	header message.Header
	err    error
}

// history reads the header section of a claimed message.
func (d *Dispatch) history(c spool.Claim) *history {
	text, err := d.open(c)
	if err != nil {
		return &history{err: err}
	}
	defer func() { _ = text.Close() }()
	h, _, err := message.ReadHeader(text, d.bounds().Header)
	return &history{header: h, err: err}
}

// passed reports whether the message says that it came through the account before.
// Anybody can write that: it only ever keeps a message here.
func (h *history) passed(account mail.Address) bool {
	for _, f := range h.header.Fields(deliveredTo) {
		if a, err := mail.ParseAddress(f.Value, mail.UTF8); err == nil && a.Key() == account.Key() {
			return true
		}
	}
	return false
}

// markOf returns what our own marks say of this account and this message.
func (d *Dispatch) markOf(h *history, account mail.Address, message string) srs.Mark {
	found := srs.MarkNone
	for _, f := range h.header.Fields(srs.MarkField) {
		found = max(found, d.ReturnPaths.ReadMark(f.Value, account, message))
	}
	return found
}

// sent is a message that is sent on, with the fact about it.
type sent struct {
	spool.Spawned
	fact fact.Fact
}

// send makes the message that leaves for one delivery, and its Grant. The content is
// that of the original, octet for octet, so that its signatures stay whole.
func (d *Dispatch) send(c spool.Claim, s sendOn, id mail.ID) (sent, error) {
	e := c.Entry
	draft, err := d.draft(e, s.account, id)
	if err != nil {
		return sent{}, err
	}
	f := fact.Forwarded{
		At: d.Now(), About: e.ID,
		Message: fact.Message{Queue: id, MessageID: e.MessageID, Account: s.account.String(), Sender: draft.Envelope.From.String(), Size: e.Size},
	}
	for _, target := range s.targets {
		j := draft.Judge(target, d.Directory().Classify(target), nil)
		part, ok := j.Part(mail.Recipient{Address: target})
		if !ok || j.Action != gate.Relay {
			return sent{}, fmt.Errorf("%w: %s may not leave any more: %s", errWithheld, target, j.Rule)
		}
		draft.Add(part)
		f.Rule, f.Recipients = string(j.Rule), append(f.Recipients, target.String())
	}
	l := letter.Content{MessageID: e.MessageID, Prefix: append(d.trace(e, s), e.Prefix...), Forward: spool.ForwardSent}
	if s.keep {
		l.Forward = spool.ForwardKept
	}
	m, err := d.copied(c, draft, l)
	return sent{m, f.Fact()}, err
}

// copied is the draft with the body of a claimed message.
func (d *Dispatch) copied(c spool.Claim, draft *letter.Draft, l letter.Content) (spool.Spawned, error) {
	body, err := d.copyBody(c)
	if err != nil {
		return spool.Spawned{}, err
	}
	m, err := draft.Spawn(l, body)
	if err != nil {
		return spool.Spawned{}, errors.Join(err, body.Abort())
	}
	return m, nil
}

// errWithheld says that what was to be sent on may not be any more.
var errWithheld = errors.New("dispatch: not sent on")

// trace is what we put before a message that is sent on.
func (d *Dispatch) trace(e spool.Entry, s sendOn) []byte {
	if s.keep {
		return d.marked(srs.MarkKept, s.account, callOf(e))
	}
	return d.marked(srs.MarkSent, s.account, callOf(e))
}

// marked is the name under which any server finds a loop through the account, as far as there is one, and a mark that
// only we can make.
func (d *Dispatch) marked(m srs.Mark, account mail.Address, message string) []byte {
	b := passing(account)
	if mark := d.ReturnPaths.Mark(m, account, message); mark != "" {
		b = append(b, srs.MarkField+": "+mark+"\r\n"...)
	}
	return b
}

// callOf is what a mark calls a message: its Message-ID, or what it holds, where it has none. No Message-ID has an octet
// of zero.
func callOf(e spool.Entry) string {
	if e.MessageID != "" {
		return e.MessageID
	}
	return "\x00" + string(e.SHA256[:])
}

// passing is the field that names an account on whose way a message is; nothing for
// one whose name would make the header other than ASCII.
func passing(account mail.Address) []byte {
	if !account.IsASCII() {
		return nil
	}
	return []byte(deliveredTo + ": " + account.Local() + "@" + account.Domain().ASCII() + "\r\n")
}

// copyBody copies the body of a claimed message.
func (d *Dispatch) copyBody(c spool.Claim) (*spool.Body, error) {
	body, err := d.Queue.NewBody(d.durable())
	if err != nil {
		return nil, err
	}
	var from io.ReadCloser = io.NopCloser(bytes.NewReader(c.Body))
	if c.Body == nil {
		if from, err = d.Queue.OpenBody(d.durable(), c.Entry.ID); err != nil {
			return nil, errors.Join(err, body.Abort())
		}
	}
	_, err = io.Copy(body, from)
	if err = errors.Join(err, from.Close()); err != nil {
		return nil, errors.Join(err, body.Abort())
	}
	return body, nil
}
