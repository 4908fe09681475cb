package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/spool"
)

// Redirection asks that a message in the queue goes to another address than those who do
// not have it yet.
type Redirection struct {
	ID mail.ID
	To mail.Address
	// Account is who owns the forward as which the message leaves for a To that is not
	// ours; zero for an address of ours.
	Account  mail.Address
	Evidence []fact.Pair // by whom, and why
}

// Redirected says what became of it.
type Redirected struct {
	ID      mail.ID        // as which it waits now
	Instead []mail.Address // who does not get it any more
}

// ErrRedirect means that a message may not be redirected so; nothing was changed. The
// error's text says why.
var ErrRedirect = errors.New("it cannot be redirected")

// mostInstead is how many of those who do not get it any more a fact names.
const mostInstead = 3

// Redirect gives a message in the queue another recipient, in one durable act. An address
// of ours gets it as anybody may write to it: the gate decides, about the same sender. Any
// other gets it only as a forward which an account owns that leads there: in that account's
// name, with its Grant, its return path and its budget, unless the account's own rules for
// forwards keep it here. What an account may not send stays held, wherever it would go.
//
// Errors: ErrRedirect, and those of spool.Get and spool.Redirect.
func (d *Dispatch) Redirect(ctx context.Context, r Redirection) (Redirected, error) {
	e, err := d.Queue.Get(ctx, r.ID)
	if err != nil {
		return Redirected{}, err
	}
	instead := waiting(e)
	if len(instead) == 0 {
		return Redirected{}, fmt.Errorf("%w: nobody waits for it any more", ErrRedirect)
	}
	if _, held := d.Queue.AccountHeld(e.Account); held || !e.Account.IsZero() && !d.Active(e.Account) {
		return Redirected{}, fmt.Errorf("%w: %s may not send, and what it sent stays; 'account thaw' ends that", ErrRedirect, e.Account)
	}
	id, err := mail.NewID(d.Now(), d.Rand)
	if err != nil {
		return Redirected{}, err
	}
	moved, err := d.redirected(e, r, id)
	if err != nil {
		return Redirected{}, err
	}
	facts := append(moved.facts, fact.Redirected{
		At: d.Now(), Rule: moved.rule, About: e.ID, Recipients: []string{r.To.String()},
		Message:  fact.Message{Queue: id, MessageID: e.MessageID, Account: moved.account.String(), Sender: moved.Message.Envelope.From.String(), Size: e.Size},
		Evidence: append([]fact.Pair{{Name: "instead of", Value: some(instead)}}, r.Evidence...),
	}.Fact())
	if err := d.Queue.Redirect(ctx, e, moved.Spawned, d.Now(), fact.EncodeAll(facts...)); err != nil {
		return Redirected{}, errors.Join(err, moved.Body.Abort())
	}
	return Redirected{ID: id, Instead: instead}, nil
}

// moved is the message in its new place.
type moved struct {
	spool.Spawned
	account mail.Address
	rule    string // of the gate
	facts   []fact.Fact
}

func (d *Dispatch) redirected(e spool.Entry, r Redirection, id mail.ID) (moved, error) {
	dir := d.Directory()
	class := dir.Classify(r.To)
	switch {
	case !class.Foreign() && !r.Account.IsZero():
		return moved{}, fmt.Errorf("%w: %s is an address of ours, to which no forward leads", ErrRedirect, r.To)
	case !class.Foreign():
		return d.redirectedHere(e, r, id, dir, class)
	case r.Account.IsZero():
		return moved{}, fmt.Errorf("%w: %s is not ours, and mail leaves only in the name of an account; name one that forwards there", ErrRedirect, r.To)
	}
	return d.redirectedOut(e, r, id, dir)
}

// redirectedHere is the message as it goes to an address of ours, with the sender and the
// account that it has.
func (d *Dispatch) redirectedHere(e spool.Entry, r Redirection, id mail.ID, dir *directory.Snapshot, class directory.Class) (moved, error) {
	envelope := e.Envelope
	envelope.To = nil
	draft := &letter.Draft{ID: id, Account: e.Account, Envelope: envelope, Ownership: ownershipOf(e, dir), Session: d.cameBy(e)}
	// The server behind us says itself, when it gets the message, whom it knows.
	class = class.Resolve(func(directory.Mailbox) directory.Answer { return directory.AnswerYes })
	j := draft.Judge(r.To, class, nil)
	part, ok := j.Part(mail.Recipient{Address: r.To, Notify: quiet(e)})
	if !ok || j.Action != gate.AcceptLocal {
		return moved{}, refusedBy(j.Verdict)
	}
	draft.Add(part)
	m, err := d.copied(spool.Claim{Entry: e}, draft, letter.Content{MessageID: e.MessageID, Prefix: e.Prefix, Junk: e.Junk})
	return moved{Spawned: m, account: e.Account, rule: string(j.Rule)}, err
}

// redirectedOut is the message as it leaves for a target of a forward.
func (d *Dispatch) redirectedOut(e spool.Entry, r Redirection, id mail.ID, dir *directory.Snapshot) (moved, error) {
	fw, ok := dir.Forwards(r.Account)
	if !ok || !slices.Contains(fw.Targets, r.To) {
		return moved{}, fmt.Errorf("%w: no forward of %s leads to %s", ErrRedirect, r.Account, r.To)
	}
	// Nothing of it is in the account's mailbox, and only this target is meant.
	fw.Targets, fw.Keep = []mail.Address{r.To}, false
	c, to := spool.Claim{Entry: e}, waiting(e)
	if i := slices.IndexFunc(to, srs.Is); i > 0 {
		to = to[i:] // the return path of a forward goes no further
	}
	s := d.forward(e, to[0], fw, dir, d.history(c))
	if !s.leaves() {
		return moved{}, fmt.Errorf("%w: it may not leave as a forward of %s (%s)", ErrRedirect, r.Account, s.rule)
	}
	m, err := d.send(c, s, id)
	if err != nil {
		return moved{}, err
	}
	return moved{Spawned: m.Spawned, account: r.Account, rule: m.fact.Rule, facts: []fact.Fact{m.fact}}, nil
}

// ownershipOf says what the sender of a queued message is to its account.
func ownershipOf(e spool.Entry, dir *directory.Snapshot) gate.Ownership {
	if e.Forward != spool.ForwardNone && !e.Envelope.From.IsNull() {
		return gate.OwnershipOwned // a return path that we made for this account
	}
	return dir.Ownership(e.Account, e.Envelope.From)
}

// cameBy tells the gate by which door a queued message would come again: a stranger's by
// that of the world, which never relays, and an account's as its forward.
func (d *Dispatch) cameBy(e spool.Entry) func() gate.Facts {
	if e.Account.IsZero() {
		return letter.Ours(gate.DoorMX, func() gate.Standing { return gate.StandingNone })
	}
	return d.asForward(e.Account)
}

// quiet keeps the wish of a sender not to be told.
func quiet(e spool.Entry) mail.Notify {
	for _, r := range e.Recipients {
		if r.Recipient.Notify&mail.NotifyNever == 0 {
			return 0
		}
	}
	return mail.NotifyNever
}

// waiting returns the recipients who do not have the message and may still get it.
func waiting(e spool.Entry) []mail.Address {
	var out []mail.Address
	for _, r := range append(e.Pending(), e.Untold()...) {
		if !slices.Contains(out, r.Recipient.Address) {
			out = append(out, r.Recipient.Address)
		}
	}
	return out
}

// some names the first of many.
func some(all []mail.Address) string {
	var names []string
	for _, a := range all[:min(len(all), mostInstead)] {
		names = append(names, a.String())
	}
	if more := len(all) - len(names); more > 0 {
		names = append(names, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(names, ", ")
}

func refusedBy(v gate.Verdict) error {
	return fmt.Errorf("%w: %s (%s)", ErrRedirect, v.Reply.Text, v.Rule)
}
