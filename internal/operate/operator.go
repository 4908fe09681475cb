package operate

import (
	"context"
	"log/slog"

	"sallyport/internal/operate/accounts"
	"sallyport/internal/operate/alarms"
	"sallyport/internal/operate/backup/stream"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/callouts"
	"sallyport/internal/operate/credentials"
	"sallyport/internal/operate/damage"
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/operate/queue"
	"sallyport/internal/operate/reload"
	"sallyport/internal/operate/screening"
	"sallyport/internal/operate/sessions"
	"sallyport/internal/operate/signing"
	"sallyport/internal/operate/tracing"
)

// Operator is the actions of all topics. Callers are checked by Handler; who holds an Operator
// may do everything.
type Operator struct {
	*accountActions
	*backupActions
	*calloutActions
	*credentialActions
	*damageActions
	*domainActions
	*incidentActions
	*mailboxActions
	*queueActions
	*reloadActions
	*screeningActions
	*sessionActions
	*signingActions
	*traceActions

	o Options
}

// New returns an Operator.
func New(o Options) *Operator {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.EndSessions == nil {
		o.EndSessions = accounts.NoSessions
	}
	op := &Operator{o: o}
	op.calloutActions = callouts.New(callouts.Options{Callouts: o.Callouts, Running: op.running, Now: o.Now, Write: o.Write})
	op.damageActions = damage.New(damage.Options{List: o.Damage, Now: o.Now, Write: o.Write})
	op.reloadActions = reload.New(reload.Options{Reload: o.Reload})
	op.screeningActions = screening.New(screening.Options{Screen: o.Screen, Inflow: o.Inflow, Running: op.running})
	op.sessionActions = sessions.New(sessions.Options{Open: o.Sessions, Facts: o.Facts})
	op.signingActions = signing.New(signing.Options{Keys: o.SigningKeys, Ours: domains.Ours(o.Book), Now: o.Now})
	op.traceActions = tracing.New(tracing.Options{Log: o.Trace, Facts: o.Facts})
	op.openQueue(o)
	op.openAccounts(o)
	return op
}

// openQueue makes what can be done with the queue, and with backups, which may hold it.
func (op *Operator) openQueue(o Options) {
	op.queueActions = queue.New(queue.Options{Queue: o.Queue, Wake: o.Wake, Redirects: o.Redirects, WhyWaits: o.WhyWaits, Forwarding: domains.Forwarding(o.Book), Write: o.Write, Now: o.Now})
	op.backupActions = stream.New(stream.Options{Backup: o.Backup, Queued: func() int { return op.QueueStats().Messages }, HoldAll: op.holdAll, Now: o.Now, Write: o.Write})
}

// openAccounts makes what can be done with accounts, and with what belongs to them. Each topic is
// there before those that need it.
func (op *Operator) openAccounts(o Options) {
	known := accounts.Known{Accounts: o.Accounts}
	op.mailboxActions = mailboxes.New(mailboxes.Options{Mail: o.Mail, Owner: known.Owner, Owners: known.Owners, Quota: o.Quota, Now: o.Now, Write: o.Write, Logger: o.Logger})
	op.credentialActions = credentials.New(credentials.Options{
		Credentials: o.Credentials, DeviceCA: o.DeviceCA, Accounts: known.Addresses, Host: domains.Hostname(o.Book), EndSessions: o.EndSessions, Now: o.Now,
	})
	op.domainActions = domains.New(domains.Options{
		Book: o.Book, Account: known.Active, Accounts: known.Addresses, Binding: o.Binding, Findings: o.Findings, Signing: op.signingActions,
		Queued: op.QueuedFor, HoldDomain: op.HoldDomain, Reaches: accounts.Reaches(o.Watch), Gone: accounts.Gone(o.Watch), ContactReplaced: o.ContactReplaced, Now: o.Now,
	})
	op.incidentActions = incidents.New(incidents.Options{
		Incidents: o.Incidents, Queue: o.Queue, Shown: op.queueActions.Message, Facts: o.Facts, Trace: o.Trace, Holder: known.Holder, Names: known.Names,
		Forward: op.ForwardOf, Greeting: o.Greeting, Now: o.Now, Write: o.Write,
	})
	op.accountActions = accounts.New(accounts.Options{
		Accounts: o.Accounts, Guesses: o.Guesses, Queue: o.Queue, Book: o.Book, Keeper: o.Incidents, Findings: o.Findings, Mailboxes: o.Mailboxes,
		Renaming: o.Renaming, Naming: o.Naming, Watch: o.Watch, Ledger: o.Ledger, Allowance: o.Allowance, EndSessions: o.EndSessions, Now: o.Now,
		Domains: op.domainActions, Incidents: op.incidentActions, Boxes: op.mailboxActions, Sessions: op.sessionActions,
	})
}

// running reports whether a server runs here.
func (op *Operator) running() bool { return op.o.Server != nil && op.o.Server() != nil }

// WatchGuesses tells once of each account that somebody begins to guess at, in the log and as
// an alarm, until ctx ends.
func (op *Operator) WatchGuesses(ctx context.Context) {
	if op.o.Guesses != nil {
		alarms.GuessAlarm{Guesses: op.o.Guesses, Write: op.o.Write, Now: op.o.Now, Logger: op.o.Logger}.Watch(ctx)
	}
}

// holdAll holds the whole queue, and says how many messages that are.
func (op *Operator) holdAll(ctx context.Context, by call.Caller, reason string) (int, error) {
	held, err := op.QueueHold(ctx, by, QueueChange{Select: Select{All: true}, Reason: reason})
	return held.Count, err
}
