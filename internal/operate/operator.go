package operate

import (
	"context"
	"crypto/x509"
	"io"
	"iter"
	"log/slog"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/budget"
	"sallyport/internal/callout"
	"sallyport/internal/directory/book"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/operate/backup"
	"sallyport/internal/screen/policy"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
	"sallyport/internal/trust/guard"
)

// Accounts is what an Operator needs of package accounts.
type Accounts interface {
	Add(ctx context.Context, a mail.Address, password string, s accounts.Sending, facts [][]byte, with ...store.Planner) (accounts.Account, error)
	SetPassword(ctx context.Context, a mail.Address, password string, facts [][]byte) (accounts.Account, error)
	TrustPassword(ctx context.Context, a mail.Address, facts [][]byte) (accounts.Account, error)
	SetWithout(ctx context.Context, a mail.Address, names string, facts [][]byte) (accounts.Account, error)
	SetSending(ctx context.Context, a mail.Address, s accounts.Sending, facts [][]byte) (accounts.Account, error)
	SetQuota(ctx context.Context, a mail.Address, octets, messages int64, facts [][]byte) (accounts.Account, error)
	Remove(ctx context.Context, a mail.Address, facts [][]byte, with ...store.Planner) error
	Rename(ctx context.Context, from, to mail.Address, facts [][]byte, with ...store.Planner) (accounts.Account, error)
	Moved(ctx context.Context, from mail.Address) error
	Names(a mail.Address) []accounts.FormerName
	Holder(a mail.Address, at time.Time) mail.Address
	Get(a mail.Address) (accounts.Account, error)
	List(ctx context.Context) ([]accounts.Account, error)
}

// Queue is what an Operator needs of package spool.
type Queue interface {
	Get(ctx context.Context, id mail.ID) (spool.Entry, error)
	List(ctx context.Context, f spool.Filter, fn func(spool.Entry) (more bool, err error)) error
	Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error)
	Release(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	Retry(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	Remove(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
	Shown(t time.Time) time.Time
	Holding(account mail.Address, reason string) store.Planner
	Vacating(account mail.Address) store.Planner
	ReleaseAccount(ctx context.Context, account mail.Address, facts ...[]byte) error
	AccountHeld(account mail.Address) (reason string, held bool)
	Stats() spool.Stats
}

// Trace is what an Operator needs of package trace.
type Trace interface {
	Verify(ctx context.Context) (trace.VerifyReport, error)
	Stats() trace.Stats
	ProveAll(ctx context.Context, seqs []uint64) ([]trace.Proof, error)
	Key() trace.Key
}

// Facts is what an Operator needs of package trace/query.
type Facts interface {
	Query(ctx context.Context, q query.Query) (query.Answer, error)
}

// Options are what an Operator acts on. All are needed but EndSessions, Server,
// Reload and what Status tells.
type Options struct {
	Accounts Accounts
	// Credentials are what the accounts sign in with.
	Credentials Credentials
	// Guesses knows whose passwords are being guessed; nil: nobody does.
	Guesses Guesses
	// DeviceCA signs the certificates of devices.
	DeviceCA DeviceCA
	Queue    Queue
	Trace    Trace
	Facts    Facts
	Book     *book.Book
	// Incidents contains accounts and sets them free.
	Incidents incident.Keeper
	// ContactReplaced is told that a former contact waits to be told; nil: nobody is. It must
	// not block.
	ContactReplaced func()
	// Mailboxes keep mail, and Mail is the same ones as those see them who read.
	Mailboxes Mailboxes
	Mail      *mailbox.Root
	// Renaming plans what else is kept of an account under its address.
	Renaming func(from, to mail.Address) []store.Planner
	// Naming returns what the configuration says of an address, each with where it stands; nil:
	// there is none.
	Naming func(meant func(mail.Address) bool) []string
	// Watch is told what of accounts is changed, and whom they wrote to before; nil: nobody is.
	Watch Watcher
	// Binding says how senders are bound, and Findings keeps what was met while binding only
	// reports.
	Binding  func() bind.Mode
	Findings Findings
	// Ledger counts recipients, and Allowance says how many an account may have.
	Ledger    Ledger
	Allowance func(accounts.Account) budget.Limits
	Now       func() time.Time
	// Trouble is why the database takes nothing at present; nil: it always does.
	Trouble func() (store.Trouble, bool)
	// Damage is the list of what the disk has damaged; nil: there is none.
	Damage DamageList
	// EndSessions ends those live sessions of an account whose sign-in gives no right any
	// more, and says how many.
	EndSessions func(account mail.Address) int
	// Sessions are the open ones of accounts, with when they signed in; nil: there are
	// none.
	Sessions func() iter.Seq2[time.Time, fact.Session]
	// Wake has what is retried try to connect, also to next hops that are left alone since they could not be
	// reached; nil: nobody delivers.
	Wake func()
	// Redirects gives queued messages other recipients; nil: nobody does.
	Redirects Redirector
	// SigningKeys are the keys that sign mail.
	SigningKeys SigningKeys
	// Callouts is what servers behind us said of recipients; nil: there is no such memory.
	Callouts func() *callout.Asker
	// Screen is who is kept out on port 25; nil: nobody is.
	Screen func() *policy.Screen
	// Inflow is what networks brought and mailboxes took; nil: nothing is bounded.
	Inflow Inflow
	// Quota is what mailboxes hold and may hold; nil: nothing is bounded.
	Quota Quota
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
	// Notices tells how it goes with telling the administrator of incidents by mail; nil, or a nil answer: he was
	// told of everything.
	Notices func(context.Context) (*notice.State, error)
	// Webhook tells how it goes with telling another program of incidents; nil, or a nil answer: none is told.
	Webhook func(context.Context) (*webhook.State, error)
	// Greeting is our own name and the text for strangers in the banner; nil: there is neither.
	Greeting func() (mail.Domain, string)
	Logger   *slog.Logger // nil: nothing is logged
	// Write records facts that accompany no other change.
	Write func(ctx context.Context, facts ...fact.Fact) error
	// Backup copies the data folder; nil: it cannot be copied.
	Backup *backup.Source
	// Reload reads the configuration again; nil: there is none.
	Reload func(ctx context.Context, by string) (Reloaded, error)
}

// Operator is the actions. Callers are checked by Handler; who holds an Operator
// may do everything.
type Operator struct{ o Options }

// New returns an Operator.
func New(o Options) *Operator {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Operator{o: o}
}

// Caller is who acts, as the kernel or the process itself knows. The zero Caller
// is nobody, and is refused.
type Caller struct {
	UID   uint32
	Known bool
}

// name is who it is, in words.
func (c Caller) name() string { return "uid " + utoa(c.UID) }

// RuleOperator is the rule of all that an operator does.
const RuleOperator = incident.RuleOperator

// doneBy is the evidence of something that by does, and what else there is of it.
func doneBy(by Caller, more ...fact.Pair) []fact.Pair {
	return append([]fact.Pair{{Name: "by uid", Value: utoa(by.UID)}}, more...)
}

// because is why an operator does something, in his words.
func because(reason string) fact.Pair { return fact.Pair{Name: "reason", Value: reason} }
