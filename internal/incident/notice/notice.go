// Package notice tells administrators and owners of accounts that were contained.
//
// It promises that each incident is told once when it begins and once when it ends to each
// who is told of it, also after a crash in between; that in an hour, over all accounts, at
// most so many notices are written, and then one digest of the rest; and that no hold of an
// account keeps a notice back: it is a notification of the server's own, which no account
// answers for. Outside this server it goes to the contact that an administrator named, and
// nowhere else; one that is replaced is told so, and that of an account which gets the postmaster's
// mail is told what he is.
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/incident"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

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

// Options is what Notices need.
type Options struct {
	Log       *incident.Log
	Store     store.Store
	Directory func() *directory.Snapshot
	Post      *notify.Post
	Limits    Limits
	Now       func() time.Time
	Logger    *slog.Logger
}

// Rule is why a notice is written.
const Rule = "incident-notice"

// Notices writes them. Its methods may be called concurrently.
type Notices struct {
	o    Options
	wake chan struct{}
	// Run alone uses the rest.
	sent   []time.Time         // of the notices within the last window
	seen   *directory.Snapshot // whose replaced contacts were told
	nobody bool                // the administrator could not be told when it was last tried
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
		if err := errors.Join(n.orNobody(n.look(ctx)), n.replaced(ctx)); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
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

// orNobody says once that the administrator has no mailbox here. What he was not told stays
// untold, and is told when he has one.
func (n *Notices) orNobody(err error) error {
	was := n.nobody
	n.nobody = errors.Is(err, notify.ErrNobody)
	if n.nobody && !was {
		n.o.Logger.Warn("nobody is told of an incident by mail: no mailbox here is the postmaster's; it is told when one is")
	}
	if n.nobody {
		return nil
	}
	return err
}

// State is how telling the administrator goes.
type State struct {
	Untold int       `json:"untold"`          // incidents that began or ended, and he was not told
	Since  time.Time `json:"since,omitzero"`  // when the first of them did
	Nobody bool      `json:"nobody,omitzero"` // no mailbox here is the postmaster's
}

// State returns how it goes; nil: he was told of everything.
func (n *Notices) State(ctx context.Context) (*State, error) {
	news, err := n.untold(ctx)
	if err != nil || len(news) == 0 {
		return nil, err
	}
	s := &State{Untold: len(news), Since: news[0].At, Nobody: n.o.Post.Postmaster().IsZero()}
	if news[0].State != incident.StateOpen {
		s.Since = news[0].Closed
	}
	return s, nil
}

// Inside is the account whose mailbox alone gets what the postmaster is told, while its owner is told nowhere outside: of its
// theft nobody may hear who can act. "": there is none.
func (n *Notices) Inside() string {
	of := n.o.Post.Postmaster()
	if of.IsZero() {
		return ""
	}
	all := n.o.Directory().Classify(of).Mailboxes
	if len(all) != 1 || !all[0].Behind.IsZero() {
		return ""
	}
	if c, ok := n.o.Directory().Contact(all[0].Account); ok && !c.Address.IsZero() {
		return ""
	}
	return all[0].Account.String()
}

const prefixTold = string(store.SpaceNotices)

// toldKey is the mark that an incident was told of in a state to everybody.
func toldKey(i incident.Incident) []byte {
	return fmt.Appendf(nil, "%s%020d %s", prefixTold, i.Number, i.State)
}

// Those who are told before the administrator, each with a mark of his own until
// everybody was.
const (
	toOwner   = "owner"
	toContact = "contact"
)

func partKey(i incident.Incident, who string) []byte {
	return append(toldKey(i), " "+who...)
}

// contactsKey begins the marks of an account's contacts.
func contactsKey(account mail.Address) []byte {
	return fmt.Appendf(nil, "%scontact/%s ", prefixTold, account.Key())
}

// replacedKey is the mark that a contact was told that another one replaced it.
func replacedKey(c directory.Contact, f directory.FormerContact) []byte {
	return fmt.Appendf(contactsKey(c.Account), "%s %d", f.Address, f.Until.UnixNano())
}

// told reports whether a mark stands.
func (n *Notices) told(ctx context.Context, key []byte) (bool, error) {
	_, err := n.o.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// mark is a mark that is set now.
func (n *Notices) mark(key []byte) store.Mutation {
	return store.Mutation{Key: key, Value: []byte(n.o.Now().UTC().Format(time.RFC3339))}
}

// untold are the incidents of whose state not everybody was told, the oldest first.
func (n *Notices) untold(ctx context.Context) (news []incident.Incident, err error) {
	told := 0
	err = n.o.Log.List(ctx, func(i incident.Incident) (bool, error) {
		is, err := n.told(ctx, toldKey(i))
		switch {
		case err != nil:
			return false, err
		case !is:
			news, told = append(news, i), 0
			return true, nil
		}
		told++
		return told < recent, nil
	})
	slices.Reverse(news)
	return news, err
}

// look tells of what nobody was told of. ErrNobody: the administrator cannot be told.
func (n *Notices) look(ctx context.Context) error {
	news, err := n.untold(ctx)
	if err != nil {
		return err
	}
	// An owner hears of his own account alone, so that the bound is none of his: it keeps the
	// administrator's mailbox usable.
	for _, i := range news {
		if err := n.owner(ctx, i); err != nil {
			return err
		}
	}
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

// tell writes one notice to the administrator. What fails takes nothing of the bound of an hour, since it is tried again.
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
		marks = append(marks, n.mark(toldKey(i)))
		for _, who := range []string{toOwner, toContact} {
			marks = append(marks, store.Mutation{Key: partKey(i, who), Delete: true})
		}
	}
	return n.o.Post.Send(ctx, notify.Letter{Rule: Rule, To: n.o.Post.Postmaster(), Subject: subject(about), Text: adminText(about), Marks: marks})
}

// owner tells the owner of an incident, in the mailbox and at the contact. Whoever has the
// password may read the mailbox first; the owner may, too.
func (n *Notices) owner(ctx context.Context, i incident.Incident) error {
	if i.Account.IsZero() || i.Quiet {
		return nil
	}
	all := map[string]notify.Letter{toOwner: {To: i.Account, Text: ownerText(i)}}
	if c, ok := n.o.Directory().Contact(i.Account); ok && !c.Address.IsZero() {
		text := contactText(i)
		if n.o.Post.Reads(i.Account) {
			text = postmasterText(i) // who else could be asked?
		}
		all[toContact] = notify.Letter{To: c.Address, About: i.Account, Text: text}
	}
	for _, who := range []string{toOwner, toContact} {
		l, is := all[who]
		if !is {
			continue
		}
		l.Subject = subject([]incident.Incident{i})
		if err := n.once(ctx, partKey(i, who), l); err != nil {
			return err
		}
	}
	return nil
}

// once queues a notice and the mark that it was told, in one act, unless the mark stands.
// That nobody takes it is no error: it is looked at again as long as others are not told.
func (n *Notices) once(ctx context.Context, key []byte, l notify.Letter) error {
	is, err := n.told(ctx, key)
	if is || err != nil {
		return err
	}
	l.Rule, l.Marks = Rule, []store.Mutation{n.mark(key)}
	if err := n.o.Post.Send(ctx, l); !errors.Is(err, notify.ErrNobody) {
		return err
	}
	return nil
}

// replaced tells those contacts that were replaced since, each once. It looks only when
// the directory is another one.
func (n *Notices) replaced(ctx context.Context) error {
	dir := n.o.Directory()
	if dir == n.seen {
		return nil
	}
	for _, c := range dir.Replaced() {
		for _, f := range c.Former {
			l := notify.Letter{To: f.Address, About: c.Account, Subject: "Notices about " + c.Account.String() + " go elsewhere now", Text: replacedText(c, f)}
			if err := n.once(ctx, replacedKey(c, f), l); err != nil {
				return err
			}
		}
	}
	n.seen = dir
	return nil
}
