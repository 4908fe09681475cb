package watch

import (
	"context"
	"slices"
	"strings"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// judgeAnew begins the evidence anew that tells whence an account is signed in with, once it is contained.
func (w *Watch) judgeAnew(ctx context.Context, a *account) {
	a.mu.Lock()
	a.state = a.state.Stopped()
	m, place := a.mutation()
	a.mu.Unlock()
	defer a.vacate(place)
	if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Lazy); err != nil {
		w.o.Logger.Warn("what is known of an account is kept in memory alone", "account", mail.Printable(a.id, mail.AddressShown), "err", err)
	}
}

// containAgain takes from a contained account what it is still read on with, where that comes from so many places that it
// decides by itself: whoever had one of its credentials may have another one. It adds to the incident that is open.
func (w *Watch) containAgain(ctx context.Context, a *account, by Act, as accounts.Account) error {
	if !as.ReadsOn || !by.Reads {
		return errContained
	}
	good, err := w.good(by.Account)
	if err != nil || !slices.ContainsFunc(by.Used, func(c accounts.Credential) bool { return c.ID != accounts.TokenID && good[nameOf(c)] }) {
		return errContained // all of it is dead already
	}
	now, p := w.o.Now(), w.params(by.Account)
	a.mu.Lock()
	all, odds := a.state.Whence(w.priors(now), p)
	a.mu.Unlock()
	if odds < p.Odds || len(all) == 0 {
		return errContained
	}
	// Since is now: what an administrator gave the owner meanwhile stays good.
	i := incident.Incident{Account: by.Account, Rule: Rule, By: detector, Reason: all[0].Words(), Odds: odds, Known: true, Seen: a.seenBy(by, now)}
	for _, c := range by.Used {
		i.Credential, i.CredentialOf = strings.TrimSpace("the "+c.Kind.String()+" "+c.Name), c.Created
		i.Used = append(i.Used, nameOf(c))
	}
	raised, _, ended, err := w.o.Contain(ctx, i, fact.Pair{Name: "by", Value: detector}, fact.Pair{Name: "odds", Value: hijack.OddsWords(odds)})
	if err != nil {
		w.o.Logger.Error("what a contained account is read on with could not be revoked", "account", by.Account.String(), "err", err)
		return err
	}
	w.judgeAnew(ctx, a)
	w.o.Logger.Error("what a contained account was read on with was revoked: somebody else seems to use it", "account", by.Account.String(),
		"incident", raised.Number, "evidence", i.Reason, "sessions", ended)
	return errContained
}
