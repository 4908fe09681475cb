package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

func (n *Node) openWatch(ctx context.Context) (err error) {
	n.watch, err = watch.Open(ctx, watch.Options{
		Store: n.data.Store, Key: n.data.HijackKey, Settings: settings.Watch(n.config()), Limits: watch.DefaultLimits(), Account: n.data.Accounts.Lookup, Allowance: n.allowance,
		Contain: func(ctx context.Context, i incident.Incident, by ...fact.Pair) (incident.Incident, accounts.Account, int, error) {
			return n.incidents.Contain(ctx, i, by...)
		},
		Pause: func(ctx context.Context, i incident.Incident, by []fact.Pair, with ...store.Planner) (incident.Incident, error) {
			return n.incidents.Pause(ctx, i, by, with...)
		},
		Submitted: n.submittedWith,
		Write:     n.data.Trace.Write, Now: n.o.Now, Passed: n.data.Clock.Now, Logger: n.log,
		Queued: func(ctx context.Context, id mail.ID) bool {
			_, err := n.data.Spool.Get(ctx, id)
			return !errors.Is(err, spool.ErrNotFound)
		},
	})
	return err
}

// buildHijack checks how accounts are watched, and adjusts it.
func (n *Node) buildHijack(_ context.Context, next, _ *generation) error {
	s := settings.Watch(next.cfg)
	if err := s.Params.Validate(); err != nil {
		return next.cfg.Fault("hijack.odds", err.Error(), "")
	}
	next.then = append(next.then, func() { n.watch.Adjust(s) })
	return nil
}

// learnPast learns the habits of accounts from the trace where nobody watched them before,
// before anybody is served. What can't be learnt keeps nobody from mail; a server that is
// stopped meanwhile goes on with it at its next start, and stops as ever.
func (n *Node) learnPast(ctx context.Context) {
	dir := n.book.Snapshot()
	err := n.watch.Past(ctx, func(account, to mail.Address) []watch.Way { return operate.WaysTo(dir, account, to) })
	if err != nil && ctx.Err() == nil {
		n.log.Error("accounts begin without the habits that the trace tells of", "err", err)
	}
}

// waits says which deliveries of an account's message may not be tried yet.
func (n *Node) waits(ctx context.Context, id mail.ID, pending []spool.RecipientState) (map[int]bool, time.Duration) {
	ways := make([]watch.Way, len(pending))
	for i, p := range pending {
		ways[i] = watch.Way{Recipient: p.Recipient.Address, Mailbox: p.Mailbox}
	}
	return n.watch.Waits(ctx, id, ways)
}

// answered takes what other servers said of recipients as evidence.
func (n *Node) answered(ctx context.Context, a dispatch.Answers) {
	n.watch.Answered(ctx, watch.Answer(a))
}

// submittedWith returns what of an account's credentials a message was submitted with.
func (n *Node) submittedWith(ctx context.Context, of mail.Address, id mail.ID) ([]accounts.Credential, error) {
	used, err := n.data.Facts.SubmittedWith(ctx, id)
	if err != nil || len(used) == 0 {
		return nil, err
	}
	all, err := n.data.Accounts.Credentials(of)
	all = slices.DeleteFunc(all, func(c accounts.Credential) bool { return !slices.Contains(used, c.ID) })
	if slices.Contains(used, accounts.TokenID) { // which none of the account's own is
		all = append(all, accounts.Credential{ID: accounts.TokenID, Kind: accounts.KindToken})
	}
	return all, err
}
