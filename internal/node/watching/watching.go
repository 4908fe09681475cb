// Package watching is who watches over the accounts of a server: over what they send, as a thief
// might, and over the networks that sign in as accounts; and who contains those that were taken.
package watching

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

// Options are what Watchers are given; all are required.
type Options struct {
	settings.World
	Config func() config.Config // the one in force
	Data   *datafolder.Folder
	// EndSessions ends those of an account whose sign-in gives no right any more.
	EndSessions func(mail.Address) int
	// Raised is called when there is a new incident.
	Raised func()
}

// Watchers are those of one server. What they export never changes.
type Watchers struct {
	Watch     *watch.Watch    // watches accounts for misuse
	Networks  *guard.Guard    // guards networks that sign in as accounts
	Incidents incident.Keeper // contains accounts

	o Options
}

// Open opens what is known of accounts and networks.
func Open(ctx context.Context, o Options) (w *Watchers, err error) {
	w = &Watchers{o: o}
	d := o.Data
	w.Watch, err = watch.Open(ctx, watch.Options{
		Store: d.Store, Key: d.HijackKey, Settings: settingsOf(o.Config()), Limits: watch.DefaultLimits(), Account: d.Accounts.Lookup, Allowance: settings.Allowing(o.Config),
		Contain: w.contain,
		Pause: func(ctx context.Context, i incident.Incident, by []fact.Pair, with ...store.Planner) (incident.Incident, error) {
			return w.Incidents.Pause(ctx, i, by, with...)
		},
		Submitted:   w.submittedWith,
		Credentials: d.Accounts.Credentials,
		Write:       d.Trace.Write, Now: o.Now, Passed: d.Clock.Now, Age: d.Clock.Age, Logger: o.Logger,
		Queued: func(ctx context.Context, id mail.ID) bool {
			_, err := d.Spool.Get(ctx, id)
			return !errors.Is(err, spool.ErrNotFound)
		},
	})
	if err != nil {
		return nil, err
	}
	w.Incidents = incident.Keeper{
		Log: incident.NewLog(d.Store), Accounts: d.Accounts, Queue: d.Spool, EndSessions: o.EndSessions, Clearing: w.clearing, Thawing: w.thawing, Resuming: w.Watch.Resuming, Now: o.Now,
		Raised: func(incident.Incident) { o.Raised() },
	}
	w.Networks, err = guard.Open(ctx, guard.Options{
		Store: d.Store, Look: o.Look, Account: d.Accounts.Lookup, Contain: w.contain, Limits: guard.DefaultLimits(), Now: o.Now, Passed: d.Clock.Now, Logger: o.Logger,
	})
	return w, err
}

// clearing plans what the end of an account's incident means to whoever watches it, and to what was found of its
// senders.
func (w *Watchers) clearing(account mail.Address, since time.Time, vouched bool) store.Planner {
	return together(w.Watch.Clearing(account, since, vouched), w.o.Data.Findings.Clearing(account, since, vouched))
}

// thawing plans it where a person began the incident and vouches for nothing.
func (w *Watchers) thawing(account mail.Address, since time.Time) store.Planner {
	return together(w.Watch.Thawing(account, since), w.o.Data.Findings.Clearing(account, since, false))
}

// together plans as one what several plan.
func together(all ...store.Planner) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		tx, done, err := store.Tx{}.With(ctx, all...)
		if err != nil {
			return store.Share{}, err
		}
		return store.Share{Preconditions: tx.Preconditions, Mutations: tx.Mutations, Facts: tx.Facts, Done: done}, nil
	}
}

func (w *Watchers) contain(ctx context.Context, i incident.Incident, by ...fact.Pair) (incident.Incident, accounts.Account, int, error) {
	return w.Incidents.Contain(ctx, i, by...)
}

// Change is how accounts and networks are watched from now on.
type Change struct {
	w        *Watchers
	accounts watch.Settings
	networks guard.Settings
}

// Build checks how a configuration has accounts and networks watched. All faults are told at once.
func (w *Watchers) Build(cfg config.Config) (*Change, error) {
	c := &Change{w: w, accounts: settingsOf(cfg)}
	var faults []error
	if err := c.accounts.Params.Validate(); err != nil {
		faults = append(faults, cfg.Fault("hijack.odds", err.Error(), ""))
	}
	var err error
	if c.networks, err = w.networks(cfg); err != nil {
		faults = append(faults, err)
	}
	return c, errors.Join(faults...)
}

// networks says which networks sign in as accounts.
func (w *Watchers) networks(cfg config.Config) (s guard.Settings, err error) {
	if s, err = settings.Networks(cfg); err != nil {
		return s, cfg.Fault("network", err.Error(), "")
	}
	h, err := w.o.Look()
	if err != nil {
		h = trust.Host{Known: true} // the guard trusts nobody until it can look
	}
	_, err = settings.ProveNetworks(cfg, s, h)
	return s, err
}

// Adopt puts it in force.
func (c *Change) Adopt() {
	c.w.Watch.Adjust(c.accounts)
	c.w.Networks.Adjust(c.networks)
}

// Abandon does nothing: nothing was changed yet.
func (c *Change) Abandon() {}

// settingsOf says how accounts are watched for theft.
func settingsOf(cfg config.Config) watch.Settings {
	return watch.Settings{Mode: cfg.Hijack.Mode, Params: cfg.Hijack.Params()}
}

// Learn learns the habits of accounts from the trace where nobody watched them before, before
// anybody is served. What can't be learnt keeps nobody from mail; a server that is stopped
// meanwhile goes on with it at its next start, and stops as ever.
func (w *Watchers) Learn(ctx context.Context, dir *directory.Snapshot) {
	err := w.Watch.Past(ctx, func(account, to mail.Address) []watch.Way { return watch.WaysTo(dir, account, to) })
	if err != nil && ctx.Err() == nil {
		w.o.Logger.Error("accounts begin without the habits that the trace tells of", "err", err)
	}
}

// submittedWith returns in what session a message was submitted, and with what of its account's credentials.
func (w *Watchers) submittedWith(ctx context.Context, of mail.Address, id mail.ID) (watch.Handed, error) {
	s, err := w.o.Data.Facts.SubmittedWith(ctx, id)
	h := watch.Handed{Session: s.Session, At: s.At}
	if err != nil || len(s.Credentials) == 0 {
		return h, err
	}
	all, err := w.o.Data.Accounts.Credentials(of)
	h.Used = slices.DeleteFunc(all, func(c accounts.Credential) bool { return !slices.Contains(s.Credentials, c.ID) })
	if slices.Contains(s.Credentials, accounts.TokenID) { // which none of the account's own is
		h.Used = append(h.Used, accounts.Credential{ID: accounts.TokenID, Kind: accounts.KindToken})
	}
	return h, err
}
