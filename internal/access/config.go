package access

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/pop3"
	"sallyport/internal/signin"
)

// Limits bounds what those who read may make the server hold, do or wait for.
type Limits struct {
	Door door.Limits // of their connections before anybody speaks
	IMAP imap.Limits // of what is spoken at imap and imaps; see there
	POP3 pop3.Limits // of what is spoken at pop3 and pop3s; see there
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{Door: door.DefaultReaderLimits(), IMAP: imap.DefaultLimits(), POP3: pop3.DefaultLimits()}
}

// Config is what the doors are told by a configuration. It is not changed while it is used.
type Config struct {
	Hostname mail.Domain
	// TLS is the whole server's; nil: there is none, and no door may be open unless Awaiting.
	TLS *tls.Config
	// Awaiting: the certificate has yet to come. Until then connections are turned away.
	Awaiting bool
	Limits   Limits
	// Balancers lists the networks of the balancers; see door.Entrance.
	Balancers []netip.Prefix
	Version   string // is told to mail programs that ask; may be empty
}

// Accounts is what access needs of accounts.
type Accounts interface {
	// Offered returns the mechanisms for one client; plus: SASL can be bound to its TLS.
	Offered(p accounts.Peer, plus bool) []string
}

// Journal is what access needs of the trace.
type Journal interface {
	Stranger(f fact.Fact)
}

// Options are what the doors work with, whatever the configuration; all are required.
type Options struct {
	Desk      *signin.Desk // where people sign in
	Accounts  Accounts
	Journal   Journal
	Admission *door.Admission
	// Mailboxes opens those of an account; the session closes them.
	Mailboxes func(ctx context.Context, account mail.Address) (*mailbox.User, error)
	// Quota says what the mailbox of an account holds and may hold.
	Quota  func(ctx context.Context, account mail.Address) (quota.Held, error)
	Memory *allowance.Budget // bounds long commands, together with what else is held
	Now    func() time.Time
	Logger *slog.Logger
}

var (
	errKind     = errors.New("access: the door has no kind")
	errHostname = errors.New("access: the server has no host name")
	errNoTLS    = errors.New("nobody can sign in without TLS: this door needs a certificate")
)

// check says what is missing: a door that was told too little must not open.
func (c Config) check(k Kind) error {
	switch {
	case !k.valid():
		return errKind
	case c.Hostname.IsZero():
		return errHostname
	case c.TLS == nil && !c.Awaiting:
		return errNoTLS
	}
	return c.Limits.Door.Check()
}
