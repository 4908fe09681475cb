// Package outflow builds how mail leaves the server: the ways, the budgets, the schedule and the
// tokens; and it says which routes wait for a token.
package outflow

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/token"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/operate"
	"sallyport/internal/spool"
	"sallyport/internal/tlspolicy"
)

// Ways are the ways of one configuration.
type Ways = ways.Ways

// Current returns the Ways in force.
type Current = ways.Current

// Options are what an Outflow is given; all are required.
type Options struct {
	settings.World
	Config    func() config.Config // the one in force
	InForce   Current
	Data      *datafolder.Folder
	Directory func() *directory.Snapshot
	Watch     *watch.Watch
	// Fared is told how the TLS of each delivery fared.
	Fared func(tlspolicy.Session)
}

// Outflow is that of one server.
type Outflow struct {
	*dispatch.Dispatch // delivers what is queued
	o                  Options
}

// Open returns an Outflow that delivers nothing before it is served.
func Open(o Options) *Outflow {
	f, cfg := &Outflow{o: o}, o.Config()
	f.Dispatch = dispatch.New(dispatch.Options{
		Charge: f.charge, Allowance: f.Allowance, Waits: f.waits, Answered: f.answered, Record: o.Data.Trace.Write,
		ReturnPaths: o.Data.ReturnPaths,
		Hostname:    cfg.Hostname, Queue: o.Data.Spool, Directory: o.Directory,
		Active: o.Data.Accounts.Active, Holder: o.Data.Accounts.Holder,
		Local: o.Data.Mailboxes, Route: o.InForce.Route, Behind: o.InForce.Server,
		Exchangers: o.InForce.Exchanger, Low: o.Data.Disks[0].Low, Policy: bounds.Retry(cfg), Limits: bounds.Dispatch(cfg),
		Now: o.Now, Passed: o.Data.Clock.Now, Rand: o.Rand, Logger: o.Logger,
	})
	return f
}

// Serve delivers what is queued until ctx ends; what is under way then has the grace time.
func (f *Outflow) Serve(ctx context.Context) error {
	return f.Dispatch.Serve(ctx, func() time.Duration { return f.o.Config().Limits.ShutdownGrace })
}

// Build makes every way by which mail leaves. There are Ways even where it fails, to be retired.
func (f *Outflow) Build(ctx context.Context, cfg config.Config, former *Ways) (*Ways, error) {
	o, err := wayOptions(cfg, f.o.World)
	o.Journal, o.Exchangers.Store, o.Exchangers.Report = f.o.Data.Trace, f.o.Data.Store, f.o.Fared
	o.Exchangers.Passed = f.o.Data.Clock.Now
	o.Tokens.Tell = f.tellOfToken
	next, faulty := ways.Build(ctx, o, former)
	return next, errors.Join(err, faultsOf(cfg, faulty))
}

// tellOfToken tells that an endpoint gives no token any more, or one again.
func (f *Outflow) tellOfToken(ctx context.Context, e token.Endpoint, fault error) {
	operate.TokenAlarm{
		Write: f.o.Data.Trace.Write, Now: f.o.Now, Logger: f.o.Logger,
	}.Changed(ctx, settings.RoutesOf(f.o.Config(), e), fault)
}

// Tokenless are the routes whose mail waits for a token.
func (f *Outflow) Tokenless() (all []operate.TokenTrouble) {
	for _, t := range f.o.InForce().Troubles() {
		all = append(all, operate.TokenTrouble{Routes: settings.RoutesOf(f.o.Config(), t.At), Since: t.Since, Fault: t.Err.Error()})
	}
	return all
}

// Wake has what leaves try to connect at once, also to next hops that could not be reached just now.
func (f *Outflow) Wake() { f.o.InForce().Wake() }

// Callouts asks the servers behind us.
func (f *Outflow) Callouts() *callout.Asker { return f.o.InForce().Callouts() }

// Allowance is what each forward may send to one target.
func (f *Outflow) Allowance() budget.Limits { return f.o.Config().Budget.Forward }

// charge begins what a forward's message takes of its budget.
func (f *Outflow) charge(account, target mail.Address) *ledger.Charge {
	return f.o.Data.Ledger.Charge(ledger.Forward(account, target))
}

// waits says which deliveries of an account's message may not be tried yet.
func (f *Outflow) waits(ctx context.Context, id mail.ID, pending []spool.RecipientState) (map[int]bool, time.Duration) {
	ways := make([]watch.Way, len(pending))
	for i, p := range pending {
		ways[i] = watch.Way{Recipient: p.Recipient.Address, Mailbox: p.Mailbox}
	}
	return f.o.Watch.Waits(ctx, id, ways)
}

// answered takes what other servers said of recipients as evidence.
func (f *Outflow) answered(ctx context.Context, a dispatch.Answers) {
	f.o.Watch.Answered(ctx, watch.Answer(a))
}
