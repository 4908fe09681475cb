package operate

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/ldap/roll"
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
	"sallyport/internal/trust/guard"
)

// Queue is what the topics need of package spool.
type Queue interface {
	queue.Queue
	accounts.Queue
	incidents.Queue
}

// Trace is what the topics need of package trace.
type Trace interface {
	tracing.Log
	incidents.Log
}

// Guesses is what the topics need to know of whose passwords are being guessed.
type Guesses interface {
	accounts.Guesses
	alarms.Guesses
}

// Findings is what the topics need of package bind/review.
type Findings interface {
	accounts.Findings
	domains.Findings
}

// Options are what an Operator acts on. All are needed but EndSessions, Server,
// Reload and what Status tells.
type Options struct {
	Accounts accounts.Accounts
	// Credentials are what the accounts sign in with.
	Credentials *credentials.Identity
	// Guesses knows whose passwords are being guessed; nil: nobody does.
	Guesses Guesses
	// DeviceCA signs the certificates of devices.
	DeviceCA credentials.DeviceCA
	Queue    Queue
	Trace    Trace
	Facts    tracing.Facts
	Book     *domains.Book
	// Incidents contains accounts and sets them free.
	Incidents incidents.Keeper
	// ContactReplaced is told that a former contact waits to be told; nil: nobody is. It must
	// not block.
	ContactReplaced func()
	// Mailboxes keep mail, and Mail is the same ones as those see them who read.
	Mailboxes accounts.Mailboxes
	Mail      *mailboxes.Root
	// Renaming plans what else is kept of an account under its address.
	Renaming accounts.Renaming
	// Naming returns what the configuration says of an address, each with where it stands; nil:
	// there is none.
	Naming accounts.Naming
	// Watch is told what of accounts is changed, and whom they wrote to before; nil: nobody is.
	Watch accounts.Watcher
	// Binding says how senders are bound, and Findings keeps what was met while binding only
	// reports.
	Binding  domains.HowBound
	Findings Findings
	// Ledger counts recipients, and Allowance says how many an account may have.
	Ledger    accounts.Ledger
	Allowance accounts.Allowing
	Now       func() time.Time
	// Database tells why the database takes nothing at present; nil, or a nil answer: it does.
	Database func() *Database
	// Damage is the list of what the disk has damaged; nil: there is none.
	Damage DamageList
	// EndSessions ends those live sessions of an account whose sign-in gives no right any
	// more, and says how many.
	EndSessions accounts.EndSessions
	// Sessions are the open ones of accounts, with when they signed in; nil: there are
	// none.
	Sessions sessions.Open
	// Wake has what is retried try to connect, also to next hops that are left alone since they
	// could not be reached; nil: nobody delivers.
	Wake func()
	// Redirects gives queued messages other recipients; nil: nobody does.
	Redirects queue.Redirector
	// SigningKeys are the keys that sign mail.
	SigningKeys signing.SigningKeys
	// Callouts is what servers behind us said of recipients; nil: there is no such memory.
	Callouts callouts.Callouts
	// Screen is who is kept out on port 25; nil: nobody is.
	Screen screening.Screen
	// Inflow is what networks brought and mailboxes took; nil: nothing is bounded.
	Inflow screening.Inflow
	// Quota is what mailboxes hold and may hold; nil: nothing is bounded.
	Quota mailboxes.Quota
	// Directories tells how the directories fare that accounts and recipients come from; nil:
	// there are none.
	Directories func() []roll.Report
	// Server tells about the running server; nil, or a nil answer: none runs.
	Server func() *Server
	// Data is the folder whose disk Status tells of; "": of none.
	Data string
	// Certificate returns the one in force, Obtained how it goes with obtaining it and
	// ReturnPath how far the signing of return paths has come; nil: there is none.
	Certificate func() *x509.Certificate
	Obtained    func() *Obtained
	// Networks tells how trusted networks fare; nil: there are none.
	Networks func() []guard.Report
	// Tokens returns the routes whose mail waits for a token; nil: none ever does.
	Tokens     func() []TokenTrouble
	ReturnPath func() (*ReturnPath, error)
	// Notices tells how it goes with telling the administrator of incidents by mail; nil, or a nil
	// answer: everything was told.
	Notices func(context.Context) (*notice.State, error)
	// Webhook tells how it goes with telling another program of incidents; nil, or a nil answer:
	// none is told.
	Webhook func(context.Context) (*webhook.State, error)
	// Greeting is our own name and the text for strangers in the banner; nil: there is neither.
	Greeting incidents.Greeting
	Logger   *slog.Logger // nil: nothing is logged
	// Write records facts that accompany no other change.
	Write call.Record
	// Backup copies the data folder; nil: it cannot be copied.
	Backup *stream.Source
	// Reload reads the configuration again; nil: there is none.
	Reload func(ctx context.Context, by string) (Reloaded, error)
}

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
	op.queueActions = queue.New(queue.Options{Queue: o.Queue, Wake: o.Wake, Redirects: o.Redirects, Forwarding: domains.Forwarding(o.Book), Write: o.Write, Now: o.Now})
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
		Queued: op.QueuedFor, HoldDomain: op.HoldDomain, Reaches: accounts.Reaches(o.Watch), ContactReplaced: o.ContactReplaced, Now: o.Now,
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
