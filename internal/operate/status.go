package operate

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/operate/accounts"
	"sallyport/internal/operate/alarms"
	"sallyport/internal/operate/screening"
	"sallyport/internal/operate/tracing"
	"sallyport/internal/trust/guard"
)

// Server is the running server.
type Server struct {
	Version string              `json:"version,omitempty"`
	PID     int                 `json:"pid"`
	Started time.Time           `json:"started"`
	Listen  map[string][]string `json:"listen"` // addresses as bound, by door
	// Generation numbers the configuration in force, from 1 at the start.
	Generation int `json:"generation"`
	// CertificateEnds is when the certificate in force does; zero: there is none.
	CertificateEnds time.Time `json:"certificate_ends,omitzero"`
}

// Status is the state of everything in figures.
type Status struct {
	Hostname string   `json:"hostname"`
	Domains  []string `json:"domains"`
	Server   *Server  `json:"server,omitempty"` // nil: no server runs
	Accounts int      `json:"accounts"`
	Frozen   int      `json:"frozen"`
	// Incidents are those that are open.
	Incidents int `json:"incidents"`
	// Notices is what the administrator was not told of incidents by mail; nil: nothing.
	Notices *notice.State `json:"notices,omitempty"`
	// Inside is the account that alone gets what the postmaster is told, and whose owner is told nowhere outside.
	Inside string `json:"told_inside,omitempty"`
	// Webhook is how it goes with telling another program of incidents; nil: none is told.
	Webhook *webhook.State `json:"webhook,omitempty"`
	// Capped are the accounts that may write to nobody more for now.
	Capped []Capped `json:"capped,omitempty"`
	// Limited are the networks and mailboxes that met a bound of [inflow] within the last hour,
	// the latest first.
	Limited []screening.Limited `json:"limited,omitempty"`
	// Filling are the mailboxes that are nearly full; nil: none is.
	Filling *Filling `json:"filling,omitempty"`
	// Guessed is how many accounts somebody guesses at, and GuessedAt the first of them, those
	// with the most tries.
	Guessed   int                `json:"guessed,omitempty"`
	GuessedAt []accounts.Guessed `json:"guessed_at,omitempty"`
	// Binding is how senders are bound; nil: they are, and there is nothing to review.
	Binding *BindingMode `json:"binding,omitempty"`
	// Networks are those that sign in as accounts.
	Networks []guard.Report `json:"networks,omitempty"`
	// Directories are those that accounts and recipients come from; NotTheirs are the first of the
	// further addresses that they give to accounts and that are somebody else's, or nobody's to have.
	Directories []roll.Report `json:"directories,omitempty"`
	NotTheirs   []string      `json:"not_theirs,omitempty"`

	// Database is why the database takes nothing at present; nil: it does.
	Database *Database `json:"database,omitempty"`
	// Missing is what could not be told of the rest, and why.
	Missing []Missing `json:"missing,omitempty"`

	// Damage is what the disk has damaged and nobody has acknowledged yet; nil: nothing.
	Damage *Damaged `json:"damage,omitempty"`

	Queue  QueueStats    `json:"queue"`
	Trace  tracing.Stats `json:"trace"`
	Health Health        `json:"health"`
}

// Health is what tells trouble before it comes.
type Health struct {
	Oldest             time.Time `json:"oldest,omitzero"` // when the oldest message that is not held was received
	DiskFree           uint64    `json:"disk_free"`       // octets, for the server's user
	DiskTotal          uint64    `json:"disk_total"`
	DiskLow            bool      `json:"disk_low,omitempty"`           // less than limits.min_free: mail waits
	CertificateBegins  time.Time `json:"certificate_begins,omitzero"`  // zero: there is no certificate
	CertificateExpires time.Time `json:"certificate_expires,omitzero"` // the same
	// ReturnPath is how far the signing of return paths has come; nil: none are signed.
	ReturnPath *ReturnPath `json:"return_path,omitempty"`
	// Obtained is nil where the certificate comes from files, or where there is to be none.
	Obtained *Obtained `json:"obtained,omitempty"`
	// Ending are the certificates with which people sign in that end soon; nil: none does.
	Ending *Ending `json:"ending,omitempty"`
	// Authority is the one that signs certificates of devices, where its key cannot be used
	// or it ends soon; nil: neither, or there is none.
	Authority *DeviceAuthority `json:"authority,omitempty"`
	// Tokens are the routes whose mail waits for a token, the oldest trouble first.
	Tokens []TokenTrouble `json:"tokens,omitempty"`
}

// Obtained is what there is of a certificate that an authority gives. RFC 8555
type Obtained struct {
	Authority string    `json:"authority"`       // URL of its directory
	Chain     string    `json:"chain,omitempty"` // PEM of the certificate in force; "": there is none yet
	Fault     string    `json:"fault,omitempty"` // why the last attempt failed; "": it did not
	Next      time.Time `json:"next,omitzero"`   // of the next attempt after a fault
}

// Status returns the state of everything. What cannot be told at present is named as missing, and
// the rest is told all the same.
func (op *Operator) Status(ctx context.Context, _ Caller, _ struct{}) (s Status, err error) {
	s.Hostname, s.Domains = op.Hosting()
	s.Queue, s.Trace, s.Database = op.QueueStats(), op.TraceStats(), op.database()
	if op.o.Server != nil {
		s.Server = op.o.Server()
	}
	counted, err := op.AccountsCounted(ctx)
	s.lacks("the accounts", err)
	s.Accounts, s.Frozen, s.Capped = counted.All, counted.Frozen, counted.Capped
	s.GuessedAt, s.Guessed = op.AccountsGuessed()
	s.Limited, s.Filling, s.Damage = op.Limited(), op.MailboxesFilling(), op.Damaged()
	if op.o.Networks != nil {
		s.Networks = op.o.Networks()
	}
	s.Binding = op.BindingReview()
	s.Incidents, err = op.IncidentsOpen(ctx)
	s.lacks("the open incidents", err)
	op.told(ctx, &s)
	s.Queue.Why, err = op.HeldReasons(ctx, s.Queue.Held)
	s.lacks("why messages are held", err)
	s.Directories, s.NotTheirs, err = op.directories(ctx)
	s.lacks("the addresses that directories may not give", err)
	s.Health = op.health(ctx)
	if s.Database != nil && s.Health.Oldest.IsZero() && s.Queue.Messages > s.Queue.Held {
		s.lacks("since when messages wait", errors.New(s.Database.Cause))
	}
	s.Health.Ending, err = op.Ending(ctx)
	s.lacks("the certificates that end soon", err)
	s.Health.Authority, err = op.Ailing(ctx)
	s.lacks("the authority for devices", err)
	return s, ctx.Err()
}

// told says who was not told of which incidents.
func (op *Operator) told(ctx context.Context, s *Status) {
	var err error
	if op.o.Notices != nil {
		s.Notices, err = op.o.Notices(ctx)
		s.lacks("of what the administrator was not told", err)
	}
	if op.o.Inside != nil {
		s.Inside = op.o.Inside()
	}
	if op.o.Webhook != nil {
		s.Webhook, err = op.o.Webhook(ctx)
		s.lacks("of what the webhook was not told", err)
	}
}

// mostNotTheirs is how many further addresses that are refused Status names.
const mostNotTheirs = 20

// directories tells how directories fare, and which further addresses are refused them.
func (op *Operator) directories(ctx context.Context) (all []roll.Report, refused []string, err error) {
	if op.o.Directories != nil {
		all = op.o.Directories()
	}
	if len(all) == 0 {
		return nil, nil, nil
	}
	refused, err = op.NotTheirs(ctx, mostNotTheirs)
	return all, refused, err
}

// health reads what tells trouble before it comes. What cannot be read is left out.
func (op *Operator) health(ctx context.Context) (h Health) {
	if at, ok := op.Oldest(ctx); ok {
		h.Oldest = at
	}
	if op.o.Data != "" {
		h.DiskFree, h.DiskTotal = alarms.Space(op.o.Data)
	}
	h.DiskLow = op.o.DiskLow != nil && op.o.DiskLow()
	if op.o.Certificate != nil {
		if leaf := op.o.Certificate(); leaf != nil {
			h.CertificateBegins, h.CertificateExpires = leaf.NotBefore, leaf.NotAfter
		}
	}
	if op.o.Obtained != nil {
		h.Obtained = op.o.Obtained()
	}
	if op.o.Tokens != nil {
		h.Tokens = op.o.Tokens()
	}
	if op.o.ReturnPath != nil {
		var err error
		if h.ReturnPath, err = op.o.ReturnPath(); err != nil {
			op.o.Logger.Error("it is not known since when return paths are signed", "err", err)
		}
	}
	return h
}
