package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Accounts is what a containment needs of package accounts.
type Accounts interface {
	Contain(ctx context.Context, a mail.Address, c accounts.Containment, facts func(gone []accounts.Credential) [][]byte, with ...store.Planner) (accounts.Account, []accounts.Credential, error)
	Credentials(a mail.Address) ([]accounts.Credential, error)
	Thaw(ctx context.Context, a mail.Address, facts [][]byte, with ...store.Planner) (accounts.Account, error)
	Get(a mail.Address) (accounts.Account, error)
}

// Queue is what a containment needs of the spool.
type Queue interface {
	Holding(account mail.Address, reason string) store.Planner
	Releasing(account mail.Address) store.Planner
}

// Keeper contains accounts and sets them free. All its fields are needed but Clearing, Thawing,
// Resuming and Raised.
type Keeper struct {
	Log      *Log
	Accounts Accounts
	Queue    Queue
	// EndSessions ends the live sessions of an account and says how many there were.
	EndSessions func(mail.Address) int
	// Clearing plans what else the end of an incident means; nil: nothing.
	Clearing func(account mail.Address, since time.Time, vouched bool) store.Planner
	// Thawing plans it in the place of Clearing where a person began the incident, without evidence, and ends it without
	// vouching for anything; nil: Clearing does.
	Thawing func(account mail.Address, since time.Time) store.Planner
	// Resuming plans what else the end of a pause means; nil: nothing.
	Resuming func(Shared) store.Planner
	// Raised is told of each incident that was raised or ended, once; it must not block.
	Raised func(Incident)
	Now    func() time.Time
}

// Contain stops an account, in one act: it cannot send, the credentials that were
// used and those made since are revoked, what it has in the queue is held, and the incident
// says why. Where it is known what was used, what is left of its credentials reads on;
// otherwise nobody signs in. Then the sessions end that have no right any more. Mail for it is
// still delivered. by is the evidence of who did it.
func (k Keeper) Contain(ctx context.Context, i Incident, by ...fact.Pair) (raised Incident, a accounts.Account, ended int, err error) {
	if a, err = k.Accounts.Get(i.Account); err != nil {
		return Incident{}, a, 0, err
	}
	i.Account, i.Directory = a.Address, a.Source.Directory // as it is stored, not as it was typed
	i.At = k.Now().UTC()
	if i.Since.IsZero() {
		i.Since = i.At
	}
	if i.CredentialOf.IsZero() {
		i.CredentialOf = a.PasswordChanged
	}
	c, err := k.containment(&i)
	if err != nil {
		return Incident{}, a, 0, err
	}
	facts := func([]accounts.Credential) [][]byte {
		return fact.EncodeAll(k.changed(i, "frozen", append(by[:len(by):len(by)], revoked(i)...)), fact.Held{
			At: i.At, Rule: i.Rule, Message: fact.Message{Account: i.Account.String()}, Reason: "the account's queue", Evidence: by,
		}.Fact())
	}
	a, _, err = k.Accounts.Contain(ctx, i.Account, c, facts, k.Queue.Holding(i.Account, i.Reason), k.telling("raised", by, k.Log.Raising(i, &raised), &raised))
	if err != nil {
		return Incident{}, a, 0, err
	}
	ended = k.EndSessions(i.Account)
	k.tell(raised)
	return raised, a, ended, nil
}

// containment is what is taken from an account, and tells the incident what that is. Where
// a person decided nothing is revoked: he gives another password, or knows that he need not.
func (k Keeper) containment(i *Incident) (accounts.Containment, error) {
	if i.Reason == "" {
		return accounts.Containment{}, fmt.Errorf("%w: a containment needs a reason", accounts.ErrInvalid)
	}
	c := accounts.Containment{Freeze: i.Reason}
	if i.Rule == RuleOperator {
		return c, nil
	}
	c.Revoke, c.ReadsOn = accounts.Choice{IDs: i.Used, Since: i.Since}, i.Known
	all, err := k.Accounts.Credentials(i.Account)
	for _, held := range all {
		if c.Revoke.Has(held) {
			i.Revoked = append(i.Revoked, strings.TrimSpace("the "+held.Kind.String()+" "+held.Name)+" of "+held.Created.UTC().Format(time.RFC3339)+" ("+held.ID+")")
		}
	}
	return c, err
}

func revoked(i Incident) (out []fact.Pair) {
	for _, r := range i.Revoked {
		out = append(out, fact.Pair{Name: "revoked", Value: r})
	}
	return out
}

// Free lets an account act again and releases its queue, in one act with the end of its
// incident. false says that a person vouches for it that nothing was wrong; otherwise the
// account needs another password first where its own was revoked (ErrCredential).
func (k Keeper) Free(ctx context.Context, account mail.Address, s State, who, why string, vouched bool, by ...fact.Pair) (closed Incident, a accounts.Account, err error) {
	if a, err = k.Accounts.Get(account); err != nil {
		return Incident{}, a, err
	}
	open, is, err := k.Log.Open(ctx, a.Address)
	if err != nil {
		return Incident{}, a, err
	}
	if is && !vouched {
		if err := open.MayEnd(a); err != nil {
			return open, a, fmt.Errorf("%w: incident %d", err, open.Number)
		}
	}
	at := k.Now().UTC()
	about := Incident{Account: a.Address, At: at, Rule: RuleOperator}
	facts := fact.EncodeAll(k.changed(about, "thawed", by), fact.Released{
		At: at, Rule: RuleOperator, Message: fact.Message{Account: a.Address.String()}, Text: "the account's queue", Evidence: by,
	}.Fact())
	with := []store.Planner{k.Queue.Releasing(a.Address)}
	if is {
		with = append(with, k.meaning(open, a.Address, vouched)...)
	}
	a, err = k.Accounts.Thaw(ctx, a.Address, facts, append(with, k.telling(s.String(), by, k.Log.Closing(a.Address, s, at, who, why, &closed), &closed))...)
	if a.Address.IsZero() || closed.Number == 0 {
		return closed, a, err
	}
	k.tell(closed)
	return closed, a, err
}

// meaning plans what else the end of an incident means.
func (k Keeper) meaning(open Incident, account mail.Address, vouched bool) []store.Planner {
	switch {
	case open.Rule == RuleOperator && !vouched && k.Thawing != nil:
		return []store.Planner{k.Thawing(account, open.Since)}
	case k.Clearing != nil:
		return []store.Planner{k.Clearing(account, open.Since, vouched)}
	}
	return nil
}

// Dropping plans the end of an account's incident together with the account's.
func (k Keeper) Dropping(account mail.Address, by ...fact.Pair) store.Planner {
	closed := new(Incident)
	return k.telling("ended with its account", by, k.Log.Closing(account, StateReleased, k.Now().UTC(), "", "the account was removed", closed), closed)
}

func (k Keeper) tell(i Incident) {
	if k.Raised != nil {
		k.Raised(i)
	}
}

func (k Keeper) changed(i Incident, what string, by []fact.Pair) fact.Fact {
	return fact.AccountChanged{At: i.At, Rule: i.Rule, Account: i.Account.String(), Change: what, Evidence: by}.Fact()
}

// telling adds the fact about an incident to the share that changes it.
func (k Keeper) telling(what string, by []fact.Pair, plan store.Planner, of *Incident) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		s, err := plan(ctx)
		if err != nil || len(s.Mutations) == 0 {
			return s, err
		}
		s.Facts = append(s.Facts, fact.EncodeAll(of.fact(k.Now(), what, by))...)
		return s, nil
	}
}

// fact tells of the incident.
func (i Incident) fact(at time.Time, what string, by []fact.Pair) fact.Fact {
	e := fact.Incident{
		At: at, Rule: i.Rule, Account: i.Account.String(), Number: i.Number, Change: "incident " + strconv.FormatUint(i.Number, 10) + " " + what,
		Message: fact.Message{Queue: i.Cause.Queue, MessageID: i.Cause.MessageID, Sender: i.Cause.Sender}, Evidence: by,
	}
	if !i.Shared.IsZero() {
		e.Evidence = append(slices.Clone(e.Evidence), fact.Pair{Name: "paused", Value: i.Shared.String()})
	}
	if i.State != StateOpen {
		return e.Fact()
	}
	for _, a := range i.Accounts {
		e.Evidence = append(e.Evidence, fact.Pair{Name: "account", Value: a.String()})
	}
	if len(i.Seen) > 0 {
		o := slices.MaxFunc(i.Seen, func(a, b Origin) int { return a.At.Compare(b.At) })
		e.Session = fact.Session{Peer: o.Peer, Door: o.Door, Hello: o.Program, TLS: o.TLS, Conn: o.Conn}
	}
	if i.Rule != RuleOperator {
		e.Evidence = append(e.Evidence, fact.Pair{Name: "reason", Value: i.Reason})
	}
	for n, words := range i.More() {
		if n == maxTold {
			break
		}
		e.Evidence = append(e.Evidence, fact.Pair{Name: "evidence", Value: words})
	}
	return e.Fact()
}

// maxTold is how many pieces of evidence stand in the trace.
const maxTold = 8

func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }
