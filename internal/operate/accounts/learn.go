package accounts

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
)

// Watcher is what an operator needs of package watch: to teach whom accounts wrote to, to
// tell what of them is changed and which addresses lead to nobody any more, and to have forgotten what is known of one that goes or comes.
type Watcher interface {
	Learn(ctx context.Context, of mail.Address, all []watch.Acquaintance, facts func(taught int) [][]byte) (int, error)
	LearnNormal(ctx context.Context, of mail.Address, all []watch.Sending, facts func(messages int) [][]byte) (int, error)
	Changed(ctx context.Context, of mail.Address, what string)
	Gone(ctx context.Context, a mail.Address)
	Dropping(of mail.Address) store.Planner
}

// MaxLearn is how many correspondents one request teaches.
const MaxLearn = 1000

// Learn is whom an account wrote to before.
type Learn struct {
	Account        string          `json:"account"` // an address of it
	From           string          `json:"from"`    // what that is known from, such as "a log"
	Correspondents []Correspondent `json:"correspondents"`
	// Messages are whole ones, which tell what is normal at the site; whom all accounts wrote to is
	// to be taught before. The oldest first.
	Messages []SentMessage `json:"messages,omitempty"`
	DryRun   bool          `json:"dry_run,omitempty"`
}

// SentMessage is a message that the account sent.
type SentMessage struct {
	At time.Time `json:"at"`
	To []string  `json:"to"`
}

// Correspondent is somebody who was written to.
type Correspondent struct {
	Address string    `json:"address"`
	Since   time.Time `json:"since,omitzero"` // zero: nobody knows when
}

// Learned says what became of it.
type Learned struct {
	Account string `json:"account,omitempty"` // "": the address is of no account, and nothing was learnt
	Taught  int    `json:"taught"`
	Known   int    `json:"known"`   // were known for as long already
	Gone    int    `json:"gone"`    // addresses of ours that are nobody's
	Misused int    `json:"misused"` // were written to while somebody else may have used the account
	Normal  int    `json:"normal"`  // messages that told what is normal at the site
}

// Learn teaches whom an account of ours wrote to. What was sent in an incident of the
// account teaches nothing: it may be whom a thief wrote to.
func (op *Actions) Learn(ctx context.Context, by call.Caller, r Learn) (Learned, error) {
	if op.o.Watch == nil {
		return Learned{}, call.Refused("nothing is learnt here")
	}
	if len(r.Correspondents) > MaxLearn || len(r.Messages) > MaxLearn {
		return Learned{}, call.Invalid(fmt.Errorf("one request teaches at most %d correspondents, and as many messages", MaxLearn))
	}
	from, err := call.ParseAccount(r.Account)
	if err != nil {
		return Learned{}, err
	}
	dir := op.o.Book.Snapshot()
	account, ours := op.accountOf(from)
	if !ours {
		return Learned{}, nil
	}
	spans, err := op.misuse(ctx, account)
	if err != nil {
		return Learned{}, err
	}
	out, known := Learned{Account: account.String()}, map[string]bool{}
	var all []watch.Acquaintance
	for _, c := range r.Correspondents {
		a, err := mail.ParseAddress(c.Address, mail.UTF8)
		if err != nil {
			return Learned{}, call.Invalid(err)
		}
		if during(spans, c.Since) {
			out.Misused++
			continue
		}
		ways := watch.WaysTo(dir, account, a)
		if len(ways) == 0 {
			out.Gone++
		}
		for _, way := range ways {
			all = append(all, watch.Acquaintance{Way: way, Since: c.Since})
			known[way.Recipient.Key()+" "+way.Mailbox.Key()] = way.Mailbox.Key() != account.Key()
		}
	}
	facts := func(taught int) [][]byte {
		return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, account, "correspondents learnt", fact.Pair{Name: "from", Value: mail.PlainLine(r.From, mail.ValueShown)}, fact.Pair{Name: "correspondents", Value: strconv.Itoa(taught)}))
	}
	if r.DryRun {
		facts = nil
	}
	if out.Taught, err = op.o.Watch.Learn(ctx, account, all, facts); err != nil {
		return Learned{}, err
	}
	for _, other := range known {
		if other {
			out.Known++
		}
	}
	out.Known = max(out.Known-out.Taught, 0)
	out.Normal, err = op.learnNormal(ctx, by, account, r, spans)
	return out, err
}

// learnNormal teaches what is normal at the site, out of whole messages. What was sent in an
// incident teaches nothing.
func (op *Actions) learnNormal(ctx context.Context, by call.Caller, account mail.Address, r Learn, spans []span) (int, error) {
	dir := op.o.Book.Snapshot()
	var all []watch.Sending
	for _, m := range r.Messages {
		if m.At.IsZero() || during(spans, m.At) {
			continue
		}
		s := watch.Sending{At: m.At}
		for _, to := range m.To {
			a, err := mail.ParseAddress(to, mail.UTF8)
			if err != nil {
				return 0, call.Invalid(err)
			}
			s.Ways = append(s.Ways, watch.WaysTo(dir, account, a)...)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return 0, nil
	}
	facts := func(messages int) [][]byte {
		return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, account, "what is normal learnt", fact.Pair{Name: "from", Value: mail.PlainLine(r.From, mail.ValueShown)}, fact.Pair{Name: "messages", Value: strconv.Itoa(messages)}))
	}
	if r.DryRun {
		facts = nil
	}
	return op.o.Watch.LearnNormal(ctx, account, all, facts)
}

// accountOf is whose an address is: that of an account, or one that leads to a single one.
func (op *Actions) accountOf(a mail.Address) (mail.Address, bool) {
	if known, err := op.o.Accounts.Get(a); err == nil {
		return known.Address, true
	}
	sole, ok := op.o.Book.Snapshot().Sole(a)
	if !ok {
		return mail.Address{}, false
	}
	known, err := op.o.Accounts.Get(sole)
	return known.Address, err == nil
}

// span is a time in which somebody else may have used an account; a zero end is none yet.
type span struct{ from, to time.Time }

func during(all []span, at time.Time) bool {
	for _, s := range all {
		if !at.IsZero() && !at.Before(s.from) && (s.to.IsZero() || at.Before(s.to)) {
			return true
		}
	}
	return false
}

// misuse is when incidents of an account began and ended.
func (op *Actions) misuse(ctx context.Context, account mail.Address) (out []span, err error) {
	err = op.o.Keeper.Log.List(ctx, func(i incident.Incident) (bool, error) {
		if op.o.Accounts.Holder(i.Account, i.At).Key() == account.Key() { // whatever it was called then
			out = append(out, span{i.Since, i.Closed})
		}
		return true, nil
	})
	return out, err
}

// Learn calls Actions.Learn.
func (c Client) Learn(ctx context.Context, r Learn) (Learned, error) {
	return call.Do[Learned](ctx, c.Client, "learn", r)
}
