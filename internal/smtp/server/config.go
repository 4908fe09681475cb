package server

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
)

// Config is what the engine is told about one listener. It is not changed while a
// server uses it.
type Config struct {
	Kind     Kind
	Hostname mail.Domain // in the greeting and the reply to EHLO
	// TLS is used for STARTTLS and implicit TLS. Nil: no STARTTLS; required for
	// KindSubmissions, unless Awaiting.
	TLS *tls.Config
	// Awaiting: the certificate has yet to come. Until then connections are turned away,
	// except on KindMX, which needs none.
	Awaiting bool
	Limits   Limits
	Logger   *slog.Logger
	// Now is the clock; the deadlines of sockets follow it.
	Now func() time.Time
	// Mechanisms returns the SASL mechanisms to offer on a connection, which is under TLS.
	// Nil: no AUTH.
	Mechanisms func(Channel) []string
	// Unoffered says why a mechanism is not offered on a connection, to the client; nil, or
	// "": there is nothing to say.
	Unoffered func(c Channel, mechanism string) string
	// Clear reports whether who is at the other end may hand in mail in clear text; nil:
	// nobody may. It is asked before each command, on KindSubmission alone.
	Clear func(Conn) bool
	// Admission counts connections and handshakes together with other listeners;
	// nil: alone.
	Admission *Admission
	// Memory bounds the large buffers of connections, together with what else of mail
	// is held that is not judged yet; nil: nothing does.
	Memory *allowance.Budget
	// UserID says who is at the other end of a connection, as the kernel knows; a
	// connection of which it does not know is closed. On KindSendmail alone.
	UserID func(net.Conn) (uid uint32, ok bool)
	// Balancers lists the networks of the balancers. A connection from one of them
	// must begin with a header of the PROXY protocol, and is closed without a word
	// if it does not; from anywhere else such a header is no SMTP.
	Balancers []netip.Prefix
	// Notice is added to the greeting; may be empty.
	Notice string
	// Unserved is told of each connection that ends before there is a Session that could be. It must be quick; nil:
	// nobody is.
	Unserved func(Unserved)
}

// Unserved is a connection that ended before it had a Session.
type Unserved struct {
	Kind   Kind
	Conn   string     // its identifier; "": it was turned away before it had one
	Remote netip.Addr // the client, or the balancer where it had not said whom it brings
	Rule   string     // by which it was turned away; "": it was not
	Reply  mail.Reply // with which it was; zero: without a word
	Why    string     // in words of ours: why it ended, or what it lacked; "": the rule says it
}

// Channel is what decides which mechanisms a connection is offered.
type Channel struct {
	Remote netip.AddrPort
	TLS    *tls.ConnectionState
	Plus   bool // SASL can be bound to it
}

var (
	errKind     = errors.New("server: the listener has no kind")
	errHostname = errors.New("server: the server has no host name")
	errNoTLS    = errors.New("server: submissions needs a TLS configuration")
	errUserID   = errors.New("server: the sendmail door, and no other, asks for user ids")
	errNeeds    = errors.New("server: logger, clock and backend are required")
)

// closed reports whether nobody can be served yet.
func (c Config) closed() bool {
	return c.Awaiting && (c.Kind == KindSubmission || c.Kind == KindSubmissions)
}

// Of returns what a door of kind k is told of a configuration of the whole server. The
// kernel keeps the sendmail door from everybody outside, so that neither TLS nor a sign-in
// would add to what it says.
func (c Config) Of(k Kind) Config {
	c.Kind, c.Limits = k, c.Limits.Of(k)
	if k == KindSendmail {
		c.TLS, c.Awaiting, c.Balancers = nil, false, nil
	} else {
		c.UserID = nil
	}
	if k != KindSubmission && k != KindSubmissions {
		c.Mechanisms, c.Unoffered = nil, nil
	}
	if k != KindSubmission {
		c.Clear = nil
	}
	return c
}

// check says what is missing: an engine that was told too little must not run.
func (c Config) check(b Backend) error {
	switch {
	case c.Kind != KindMX && c.Kind != KindSubmission && c.Kind != KindSubmissions && c.Kind != KindSendmail:
		return errKind
	case c.Hostname.IsZero():
		return errHostname
	case c.Kind == KindSubmissions && c.TLS == nil && !c.Awaiting:
		return errNoTLS
	case (c.Kind == KindSendmail) != (c.UserID != nil):
		return errUserID
	case c.Logger == nil || c.Now == nil || b == nil:
		return errNeeds
	}
	return c.Limits.check()
}
