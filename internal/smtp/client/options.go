package client

import (
	"crypto/tls"
	"errors"
	"time"

	"sallyport/internal/mail"
)

// Options says how to speak to one server. The zero Options are refused.
type Options struct {
	// LMTP speaks LMTP: LHLO, and after a message one reply for each recipient that
	// was accepted. RFC 2033
	LMTP     bool
	Hello    mail.Domain  // our name, for EHLO
	Host     string       // the server's name for Remote, as configured; may be empty
	TLS      TLSPolicy    // decided, always
	Auth     *Credentials // nil: do not sign in
	Timeouts Timeouts
	Limits   Limits
}

// TLSPolicy is a mode and, for every mode but mail.TLSNone, the configuration with the
// name and the authorities that the server's certificate must satisfy.
type TLSPolicy struct {
	Mode   mail.TLSMode
	Config *tls.Config
	// Unverified accepts any certificate where TLS is required: against listeners,
	// and for a domain whose records name no certificate that could be verified.
	Unverified bool
	// Failed says that TLS was offered and failed, and that this is the way without. A
	// server that demands TLS after all then puts nobody off for good.
	Failed bool
	// Name is the policy by which the connection was secured, for outcomes: "dane",
	// "mta-sts". "": none but the mode.
	Name string
}

// Credentials sign us in: a password, an access token, or a certificate alone. They need
// mail.TLSRequired or mail.TLSImplicit, and a server whose certificate verifies.
type Credentials struct {
	User string // needed with a password or a token
	// Password is for SCRAM, PLAIN and LOGIN.
	Password string
	// Token is an access token, for XOAUTH2 or OAUTHBEARER: RFC 6750, RFC 7628. One of
	// Password and Token stays empty.
	Token string
	// Certificate is presented to a server that asks for one in the handshake; nil: none.
	// Without Password and Token it signs us in, by EXTERNAL (RFC 4422, Appendix A) where
	// that is offered and by the handshake alone where not.
	Certificate *tls.Certificate
}

// bare reports whether the certificate alone signs us in.
func (c *Credentials) bare() bool { return c.Password == "" && c.Token == "" }

func (c *Credentials) check(p TLSPolicy) error {
	switch {
	case c == nil:
		return nil
	case p.Mode != mail.TLSRequired && p.Mode != mail.TLSImplicit || p.Unverified || p.Config.InsecureSkipVerify:
		return errors.New("client: credentials are only sent under TLS that is required and verified")
	case c.Password != "" && c.Token != "":
		return errors.New("client: a password or a token signs in, not both")
	case c.bare() && c.Certificate == nil, !c.bare() && c.User == "":
		return errors.New("client: a user with a password or a token, or a certificate, is needed to sign in")
	}
	return nil
}

// Timeouts bound every wait, each as a whole: a server that drips octets gains
// nothing. RFC 5321 §4.5.3.2 gives the minima, which the defaults follow.
type Timeouts struct {
	Greeting  time.Duration // §4.5.3.2.1, 5 minutes
	Hello     time.Duration // EHLO, HELO and the reply to STARTTLS
	TLS       time.Duration // the handshake, and the reply to STARTTLS where there is a way without
	Auth      time.Duration // each step of signing in
	Mail      time.Duration // §4.5.3.2.2, 5 minutes
	Rcpt      time.Duration // §4.5.3.2.3, 5 minutes, for each recipient
	Envelope  time.Duration // MAIL and all RCPT of a message together
	DataInit  time.Duration // §4.5.3.2.4, 2 minutes, the reply to DATA
	DataBlock time.Duration // §4.5.3.2.5, 3 minutes, each write
	DataDone  time.Duration // §4.5.3.2.6, 10 minutes, each reply to the end of data; with LMTP, all together have Envelope more
	Reset     time.Duration // RSET
	Quit      time.Duration // QUIT, whose reply nothing depends on
}

// DefaultTimeouts returns those of RFC 5321.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Greeting: 5 * time.Minute, Hello: 5 * time.Minute, TLS: time.Minute, Auth: time.Minute,
		Mail: 5 * time.Minute, Rcpt: 5 * time.Minute, Envelope: 15 * time.Minute,
		DataInit: 2 * time.Minute, DataBlock: 3 * time.Minute, DataDone: 10 * time.Minute,
		Reset: 20 * time.Second, Quit: 5 * time.Second,
	}
}

func (t Timeouts) valid() bool {
	return min(t.Greeting, t.Hello, t.TLS, t.Auth, t.Mail, t.Rcpt, t.Envelope,
		t.DataInit, t.DataBlock, t.DataDone, t.Reset, t.Quit) > 0
}

// Limits bound what a server can make us hold or do.
type Limits struct {
	ReplyLines     int // lines of one reply
	ReplyOctets    int // octets of one line of a reply, with CRLF
	ReplyText      int // octets of the text of a whole reply that are kept
	Pipeline       int // commands sent before their replies are read
	PipelineOctets int // octets of such commands; must fit into the sockets' buffers, RFC 2920 §3.1
	// MinRate is the fewest octets per second that a server must take of a
	// message, after the first Timeouts.DataBlock.
	MinRate int64
	// SCRAMIterations is the most hashing that a server may ask of us.
	SCRAMIterations int
}

// DefaultLimits returns the bounds of a client that nobody configured. They are
// above what RFC 5321 §4.5.3.1 lets a server send.
func DefaultLimits() Limits {
	return Limits{
		ReplyLines: 100, ReplyOctets: 4096, ReplyText: 16 << 10, Pipeline: 100, PipelineOctets: 16 << 10,
		MinRate: 4096, SCRAMIterations: 1_000_000,
	}
}

func (l Limits) valid() bool {
	return min(l.ReplyLines, l.ReplyOctets, l.ReplyText, l.Pipeline, l.PipelineOctets, l.SCRAMIterations) > 0 && l.MinRate > 0
}

func (o Options) check() error {
	switch {
	case o.Hello.IsZero():
		return errors.New("client: a name for EHLO is needed")
	case o.TLS.Mode == mail.TLSUndecided || o.TLS.Mode > mail.TLSImplicit:
		return errors.New("client: whether to use TLS is undecided")
	case o.TLS.Mode != mail.TLSNone && o.TLS.Config == nil:
		return errors.New("client: TLS needs a configuration")
	case !o.Timeouts.valid() || !o.Limits.valid():
		return errors.New("client: every timeout and limit must be positive")
	}
	return o.Auth.check(o.TLS)
}
