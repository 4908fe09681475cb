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
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/operate/queue"
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

// Options are what an Operator acts on, each among what it belongs to. All are needed that do not say
// what nil means, but for EndSessions.
type Options struct {
	People
	Messages
	Domains
	Strangers
	Journal
	Condition
	Upkeep

	Now    func() time.Time
	Logger *slog.Logger // nil: nothing is logged
}

// People are the accounts, and what is known and decided of them.
type People struct {
	Accounts accounts.Accounts
	// Credentials are what the accounts sign in with.
	Credentials *credentials.Identity
	// DeviceCA signs the certificates of devices.
	DeviceCA credentials.DeviceCA
	// Guesses knows whose passwords are being guessed; nil: nobody does.
	Guesses Guesses
	// EndSessions ends those live sessions of an account whose sign-in gives no right any
	// more, and says how many.
	EndSessions accounts.EndSessions
	// Sessions are the open ones of accounts, with when they signed in; nil: there are
	// none.
	Sessions sessions.Open
	// Incidents contains accounts and sets them free.
	Incidents incidents.Keeper
	// Greeting is our own name and the text for strangers in the banner; nil: there is neither.
	Greeting incidents.Greeting
	// Watch is told what of accounts is changed, and whom they wrote to before; nil: nobody is.
	Watch accounts.Watcher
	// Binding says how senders are bound, and Findings keeps what was met while binding only
	// reports.
	Binding  domains.HowBound
	Findings Findings
	// Ledger counts recipients, and Allowance says how many an account may have.
	Ledger    accounts.Ledger
	Allowance accounts.Allowing
	// Renaming plans what else is kept of an account under its address.
	Renaming accounts.Renaming
	// Naming returns what the configuration says of an address, each with where it stands; nil:
	// there is none.
	Naming accounts.Naming
	// ContactReplaced is told that a former contact waits to be told; nil: nobody is. It must
	// not block.
	ContactReplaced func()
}

// Messages are the queue and the mailboxes.
type Messages struct {
	Queue Queue
	// Wake has what is retried try to connect, also to next hops that are left alone since they
	// could not be reached; nil: nobody delivers.
	Wake func()
	// Redirects gives queued messages other recipients; nil: nobody does.
	Redirects queue.Redirector
	// WhyWaits says why a message waits beside its next hops; nil: nothing does.
	WhyWaits queue.WhyWaits
	// Mailboxes keep mail, and Mail is the same ones as those see them who read.
	Mailboxes accounts.Mailboxes
	Mail      *mailboxes.Root
	// Quota is what mailboxes hold and may hold; nil: nothing is bounded.
	Quota mailboxes.Quota
}

// Domains are the directory, and what is kept of our domains beside it.
type Domains struct {
	Book *domains.Book // the directory
	// SigningKeys are the keys that sign mail.
	SigningKeys signing.SigningKeys
	// Callouts is what servers behind us said of recipients; nil: there is no such memory.
	Callouts callouts.Callouts
}

// Strangers is what is known of those who bring mail.
type Strangers struct {
	// Screen is who is kept out on port 25; nil: nobody is.
	Screen screening.Screen
	// Inflow is what networks brought and mailboxes took; nil: nothing is bounded.
	Inflow screening.Inflow
}

// Journal is where what happens is recorded, and read.
type Journal struct {
	Trace Trace
	Facts tracing.Facts
	// Write records facts that accompany no other change.
	Write call.Record
}

// Condition is what Status tells of the server itself.
type Condition struct {
	// Server tells about the running server; nil, or a nil answer: none runs.
	Server func() *Server
	// Data is the folder whose disk Status tells of; "": of none.
	Data string
	// DiskLow tells whether mail waits for room on a disk; nil: it never does.
	DiskLow func() bool
	// Database tells why the database takes nothing at present; nil, or a nil answer: it does.
	Database func() *Database
	// Damage is the list of what the disk has damaged; nil: there is none.
	Damage DamageList
	// Certificate returns the one in force, Obtained how it goes with obtaining it and
	// ReturnPath how far the signing of return paths has come; nil: there is none.
	Certificate func() *x509.Certificate
	Obtained    func() *Obtained
	ReturnPath  func() (*ReturnPath, error)
	// Networks tells how trusted networks fare; nil: there are none.
	Networks func() []guard.Report
	// Tokens returns the routes whose mail waits for a token; nil: none ever does.
	Tokens func() []TokenTrouble
	// Directories tells how the directories fare that accounts and recipients come from; nil:
	// there are none.
	Directories func() []roll.Report
	// Notices tells how it goes with telling the administrator of incidents by mail; nil, or a nil
	// answer: everything was told.
	Notices func(context.Context) (*notice.State, error)
	// Inside is the account that alone gets what the postmaster is told, and whose owner is told nowhere outside; nil or "":
	// there is none.
	Inside func() string
	// Webhook tells how it goes with telling another program of incidents; nil, or a nil answer:
	// none is told.
	Webhook func(context.Context) (*webhook.State, error)
}

// Upkeep is what keeps the server going.
type Upkeep struct {
	// Backup copies the data folder; nil: it cannot be copied.
	Backup *stream.Source
	// Reload reads the configuration again; nil: there is none.
	Reload func(ctx context.Context, by string) (Reloaded, error)
}
