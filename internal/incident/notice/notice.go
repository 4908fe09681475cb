// Package notice tells administrators and owners of accounts that were contained.
//
// It promises that each incident is told once when it begins and once when it ends, also
// after a crash in between; that in an hour, over all accounts, at most so many notices are
// written, and then one digest of the rest; and that no hold of an account keeps a notice
// back: it is a notification of the server's own, which no account answers for.
package notice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/incident"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Queue is what is needed of the spool.
type Queue interface {
	NewBody(ctx context.Context) (*spool.Body, error)
	letter.Queue
}

// Limits bounds what is written.
type Limits struct {
	Hour   int           // notices within an hour, over all accounts; the rest follows in one digest
	Window time.Duration // that hour
	Look   time.Duration // how often incidents are looked at that nobody was told of yet
	Digest int           // incidents that one digest names
}

// DefaultLimits returns the bounds of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{Hour: 20, Window: time.Hour, Look: time.Minute, Digest: 200}
}

// Options is what Notices need; all of it.
type Options struct {
	Hostname  mail.Domain
	Log       *incident.Log
	Store     store.Store
	Directory func() *directory.Snapshot
	Queue     Queue
	Handoff   func(spool.Claim)
	Limits    Limits
	Now       func() time.Time
	Rand      io.Reader
	Logger    *slog.Logger
}

// Notices writes them. Its methods may be called concurrently.
type Notices struct {
	o    Options
	wake chan struct{}
	sent []time.Time // of the notices within the last window; Run alone uses it
}

// New returns Notices.
func New(o Options) *Notices { return &Notices{o: o, wake: make(chan struct{}, 1)} }

// Wake has them look for incidents that nobody was told of. It does not block.
func (n *Notices) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run tells of incidents until ctx is done.
func (n *Notices) Run(ctx context.Context) {
	for {
		// A disk that is nearly full was told of by whoever watches it; what is not yet told
		// of is looked for again.
		if err := n.look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
			n.o.Logger.Error("notices about incidents were not written; they are tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-time.After(n.o.Limits.Look):
		}
	}
}

const prefixTold = string(store.SpaceNotices)

// toldKey is the mark that an incident was told of in a state.
func toldKey(i incident.Incident) []byte {
	return fmt.Appendf(nil, "%s%020d %s", prefixTold, i.Number, i.State)
}

// look tells of what nobody was told of.
func (n *Notices) look(ctx context.Context) error {
	var news []incident.Incident
	told := 0
	err := n.o.Log.List(ctx, func(i incident.Incident) (bool, error) {
		_, err := n.o.Store.Get(ctx, toldKey(i))
		switch {
		case errors.Is(err, store.ErrNotFound):
			news = append(news, i)
			told = 0
			return true, nil
		case err != nil:
			return false, err
		}
		told++
		return told < recent, nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(news) // the oldest first
	for len(news) > 0 && n.room() > 0 {
		if err := n.tell(ctx, news[:1]); err != nil {
			return err
		}
		news = news[1:]
		// The last one of an hour is kept for the digest.
		if n.room() == 1 && len(news) > 1 {
			break
		}
	}
	if len(news) > 0 && n.room() > 0 {
		return n.tell(ctx, news[:min(len(news), n.o.Limits.Digest)])
	}
	return nil
}

// recent is how many incidents one after the other, of which everybody was told, end the
// search for others: an old one may have ended since.
const recent = 1000

// room is how many more may be written within this window.
func (n *Notices) room() int {
	now := n.o.Now()
	n.sent = slices.DeleteFunc(n.sent, func(at time.Time) bool { return now.Sub(at) >= n.o.Limits.Window || at.After(now) })
	return n.o.Limits.Hour - len(n.sent)
}

// tell writes one notice to the administrator, and of a single incident one to the owner.
// What fails takes nothing of the bound of an hour, since it is tried again.
func (n *Notices) tell(ctx context.Context, about []incident.Incident) error {
	n.sent = append(n.sent, n.o.Now())
	err := n.write(ctx, about)
	if err != nil {
		n.sent = n.sent[:len(n.sent)-1]
	}
	return err
}

func (n *Notices) write(ctx context.Context, about []incident.Incident) error {
	var marks []store.Mutation
	for _, i := range about {
		marks = append(marks, store.Mutation{Key: toldKey(i), Value: []byte(n.o.Now().UTC().Format(time.RFC3339))})
	}
	if len(about) == 1 && about[0].Rule != incident.RuleOperator {
		// Whoever has the password may read it first; the owner may, too.
		if err := n.post(ctx, about[0].Account, subject(about), ownerText(about[0]), nil); err != nil && !errors.Is(err, errNobody) {
			return err
		}
	}
	err := n.post(ctx, n.postmaster(), subject(about), adminText(about), marks)
	if errors.Is(err, errNobody) {
		n.o.Logger.Warn("nobody is told of an incident by mail: there is no postmaster's mailbox here", "incident", about[0].Number)
		_, err = n.o.Store.Apply(ctx, store.Tx{Mutations: marks}, store.Lazy)
	}
	return err
}

// errNobody says that no mailbox here takes a notice.
var errNobody = errors.New("notice: no mailbox takes it")

// postmaster is who administers this server. RFC 5321 §4.5.1
func (n *Notices) postmaster() mail.Address {
	dir := n.o.Directory()
	for _, d := range append([]mail.Domain{dir.Hostname()}, domainsOf(dir)...) {
		a, err := mail.ParseAddress("postmaster@"+d.ASCII(), mail.ASCII)
		if err == nil && len(dir.Classify(a).Mailboxes) > 0 {
			return a
		}
	}
	return mail.Address{}
}

func domainsOf(dir *directory.Snapshot) (out []mail.Domain) {
	for _, d := range dir.Domains() {
		out = append(out, d.Name)
	}
	return out
}

// post queues a notice, with marks in the same act.
func (n *Notices) post(ctx context.Context, to mail.Address, subject, text string, marks []store.Mutation) error {
	if to.IsZero() {
		return errNobody
	}
	now := n.o.Now()
	id, err := mail.NewID(now, n.o.Rand)
	if err != nil {
		return err
	}
	draft := letter.Draft{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath(), Body: mail.Body8BitMIME}, Ownership: gate.OwnershipNull,
		Session: letter.Ours(gate.DoorNotification, func() gate.Standing { return gate.StandingNone }),
	}
	judged := draft.Judge(to, n.o.Directory().Classify(to), nil)
	part, ok := judged.Part(mail.Recipient{Address: to, Notify: mail.NotifyNever})
	if !ok {
		return fmt.Errorf("%w: %s: %s", errNobody, to, judged.Rule)
	}
	draft.Add(part)
	body, err := n.o.Queue.NewBody(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Abort() }() // does nothing once Post took it
	messageID := "<" + id.String() + "@" + n.o.Hostname.ASCII() + ">"
	// RFC 3834 §5: nobody answers it by himself.
	_, err = fmt.Fprintf(body, "From: Mail server <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nAuto-Submitted: auto-generated\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		n.o.Hostname.ASCII(), to, subject, message.FormatDate(now.UTC()), messageID, strings.ReplaceAll(text, "\n", "\r\n"))
	if err != nil {
		return err
	}
	f := fact.Notified{At: now, Rule: "incident-notice", Message: fact.Message{Queue: id, MessageID: messageID, Sender: "<>"}, Recipients: []string{to.String()}}
	claim, err := draft.Post(ctx, n.o.Queue, letter.Content{MessageID: messageID, Also: marks}, body, f.Fact())
	if err != nil {
		return err
	}
	n.o.Handoff(claim)
	return nil
}

func subject(about []incident.Incident) string {
	i := about[0]
	switch {
	case len(about) > 1:
		return fmt.Sprintf("%d incidents: accounts were contained or set free", len(about))
	case i.State == incident.StateOpen:
		return fmt.Sprintf("Incident %d: %s is contained", i.Number, i.Account)
	}
	return fmt.Sprintf("Incident %d is over: %s is %s", i.Number, i.Account, i.State)
}

func adminText(about []incident.Incident) string {
	var b strings.Builder
	for _, i := range about {
		if i.State != incident.StateOpen {
			fmt.Fprintf(&b, "Incident %d of %s is %s, by %s.\n%s\n\n", i.Number, i.Account, i.State, i.ClosedBy, i.ClosedFor)
			continue
		}
		fmt.Fprintf(&b, "Incident %d: %s was contained at %s by %s.\nIt neither signs in nor sends, and what it has in the queue is held. Mail for it is still delivered.\n\nWhy: %s\n",
			i.Number, i.Account, i.At.UTC().Format(time.RFC3339), i.By, i.Reason)
		if len(about) > 1 {
			b.WriteString("\n")
			continue
		}
		for _, e := range i.Evidence {
			fmt.Fprintf(&b, "  %s\n", e)
		}
		for _, o := range i.Seen {
			fmt.Fprintf(&b, "Seen: %s from %s at the door %s, program %s\n", o.At.UTC().Format(time.RFC3339), o.Peer, o.Door, o.Program)
		}
		fmt.Fprintf(&b, "\nWhat next:\n  sallyport incident show %d\n  sallyport account passwd %s --generate\n  sallyport incident purge %d\nand see docs/operations.md, \"An account is contained\".\n\n", i.Number, i.Account, i.Number)
	}
	return b.String()
}

func ownerText(i incident.Incident) string {
	if i.State != incident.StateOpen {
		return "Your account " + i.Account.String() + " may sign in and send again.\n"
	}
	return "Somebody else seems to use your account " + i.Account.String() + ". It was stopped at " + i.At.UTC().Format(time.RFC3339) +
		":\nit cannot sign in or send. You still get mail.\n\nPlease ask whoever administers your mail for a new password, by telephone or in person.\nWhoever had the old one may have read your mail.\n"
}
