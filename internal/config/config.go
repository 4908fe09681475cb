package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/directory"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/mail"
	"sallyport/internal/screen/dnsbl"
)

// Config is the whole configuration, parsed and checked. Paths are absolute, or
// relative to the process as the path given to Load was.
type Config struct {
	File       string       // the path given to Load
	Hostname   mail.Domain  // our own name: banner, EHLO, Received
	Data       string       // the data folder
	Postmaster mail.Address // where postmaster@ of a domain without its own goes; zero: a role mailbox each
	Notice     string       // text for strangers in banner and refusals, printable ASCII
	Detail     byte         // parts alice+lists into alice and lists; 0: off
	Literals   []netip.Addr // own addresses, listening ones too, whose literals are ours (for postmaster alone)

	Listen         Listen
	TLS            TLS
	ACME           ACME
	Proxy          Proxy
	Domains        []Domain // in the order of the file
	Aliases        []Alias
	Routes         []Route
	LDAP           []LDAP // in the order of the file
	Callout        Callout
	MX             MX
	Forward        Forward
	Budget         Budget
	Hijack         Hijack
	Webhook        Webhook
	OIDC           OIDC
	DKIM           DKIM
	Authentication Authentication
	Limits         Limits
	Retry          Retry
	Maildir        Maildir
	Trace          Trace
	Auth           Auth
	Metrics        Metrics

	TLSPolicy   TLSPolicy
	Autoconfig  Autoconfig
	DMARCReport DMARCReport
	ReturnPath  ReturnPath
	Submission  Submission

	// Content checks.
	Rspamd  Rspamd
	Milters []Milter // in the order of the file
	Bounces bounce.Policy
	// Who is kept out on port 25, by our list and by those of others in the order of the file.
	Screen Screen
	// Inflow bounds what networks bring and mailboxes take.
	Inflow inflow.Limits
	// Mailbox bounds what mailboxes hold.
	Mailbox Mailbox
	DNSBL   []dnsbl.List

	Networks []Network // that sign in as accounts, in the order of the file

	// Sendmail says who of this host's users may send, and as whom.
	Sendmail Sendmail
	// Helpers says who may ask and do nothing else.
	Helpers Helpers
	// CheckPassword says which server beside us may ask who signs in.
	CheckPassword CheckPassword

	positions map[string]Position
	written   map[string]string // what each value says, by its key
}

// Listen holds the listening addresses of each door. Port 0 takes any free port.
type Listen struct {
	MX          []netip.AddrPort // the world, in
	Submission  []netip.AddrPort // our people, STARTTLS then AUTH
	Submissions []netip.AddrPort // our people, TLS from the first octet
	IMAP        []netip.AddrPort // mailboxes, STARTTLS then sign-in
	IMAPS       []netip.AddrPort // mailboxes, TLS from the first octet
	POP3        []netip.AddrPort // mailboxes, STLS then sign-in
	POP3S       []netip.AddrPort // mailboxes, TLS from the first octet
}

// Door is where one kind of connection is taken.
type Door struct {
	Name     string // of its key below listen
	At       []netip.AddrPort
	Implicit bool // TLS comes first
	SignIn   bool // nobody gets anywhere without signing in, and so without TLS
	Reads    bool // mailboxes are read there
}

// Doors returns every door in the order in which they are listed, also those that are nowhere.
func (l Listen) Doors() []Door {
	return []Door{
		{Name: "mx", At: l.MX},
		{Name: "submission", At: l.Submission, SignIn: true}, {Name: "submissions", At: l.Submissions, Implicit: true, SignIn: true},
		{Name: "imap", At: l.IMAP, SignIn: true, Reads: true}, {Name: "imaps", At: l.IMAPS, Implicit: true, SignIn: true, Reads: true},
		{Name: "pop3", At: l.POP3, SignIn: true, Reads: true}, {Name: "pop3s", At: l.POP3S, Implicit: true, SignIn: true, Reads: true},
	}
}

// TLS names the server's certificate chain and key, both PEM. Both are empty
// where there is no TLS, which only a server without submission may be.
type TLS struct {
	Cert, Key string
}

// Route is the next hop of a foreign domain.
type Route struct {
	directory.Route
	Others        []Hop  // further hosts for the same mail
	Token         Token  // zero: no token signs in
	Cert, CertKey string // files of the certificate that is shown; "": none
	Connections   int    // the most connections at once
	Messages      int    // the most messages on one connection
}

// Token is where the access token of a route comes from.
type Token struct {
	URL, CA                 string
	Client                  string
	SecretFile, RefreshFile string
	Scope                   string
	Header                  bool // the client's credentials stand in the header of a request
}

// Name returns the domain as the file has it; "*": every domain without a route of its own.
func (r Route) Name() string {
	if r.Domain.IsZero() {
		return "*"
	}
	return r.Domain.ASCII()
}

// MX says how domains without a route are reached.
type MX struct {
	Delivery bool             // by their mail exchangers; else not at all
	DNS      []netip.AddrPort // recursive servers; none: the system's
	Private  []netip.Prefix   // that may be dialled although they are not public
}

// Limits are the named bounds of sessions, messages and queue. Octets are octets,
// durations are durations; docs/config.md tells each.
type Limits struct {
	// Sessions.
	Connections           int           // at once, over all listeners
	ConnectionsPerNetwork int           // at once, from one IPv4 /24 or IPv6 /64; wider ones have twice and four times that
	Handshakes            int           // TLS handshakes at once
	HandshakeTimeout      time.Duration // of one TLS handshake
	GreetDelay            time.Duration // silence before the banner on the mx door
	CommandTimeout        time.Duration // waiting for a command
	DataTimeout           time.Duration // waiting for a block of data
	MinDataRate           int64         // octets per second of message data, averaged
	SessionTime           time.Duration // whole session
	ShutdownGrace         time.Duration // for data in progress at shutdown
	Transactions          int           // in one session
	Recipients            int           // in one transaction
	Errors                int           // refused commands in one session
	UnknownCommands       int           // unknown verbs in one session
	JunkCommands          int           // commands that move no mail, in a row
	AuthFailures          int           // failed sign-ins in one session
	SessionsPerAccount    int           // at once, signed in as one account to send

	// Those who read.
	ReadingConnections           int
	ReadingConnectionsPerNetwork int
	ReadingSessionsPerAccount    int

	// Messages.
	MessageSize  int64 // octets of one message
	HeaderSize   int64 // octets of one header section
	HeaderFields int   // fields of one header section
	Hops         int   // Received fields before a message counts as looping

	// Aliases.
	AliasTargets int // recipients that one address may expand to
	AliasDepth   int // aliases behind each other

	// Queue.
	InlineSize             int64 // octets of a body kept inside the index
	QueueMessages          int
	QueueSize              int64
	QueueMessagesByAccount int
	MinFree                int64 // octets of disk that mail leaves free
	UnjudgedMemory         int64 // octets of memory for mail that is not judged yet
	Memory                 int64 // octets of memory that the process tries to stay within; 0: found out

	// Delivery.
	ActiveMessages      int // messages in memory for delivery at once
	DeliveriesPerDomain int // attempts at once, to one destination
}

// Free is how many octets of disk mail leaves free.
func (l Limits) Free() uint64 { return uint64(max(l.MinFree, 0)) }

// Retry is the schedule of repeated attempts.
type Retry struct {
	First  time.Duration // from acceptance to the second attempt
	Max    time.Duration // the longest pause
	Factor float64       // each pause by the one before
	Jitter float64       // the share of a pause that is chance
	Expire time.Duration // after which a message is returned. RFC 5321 §4.5.4.1
	Warn   time.Duration // after which its sender is told that it still waits; 0: never
}

// Maildir says where mailboxes are kept.
type Maildir struct {
	Root string // one folder a domain beneath it, one a mailbox beneath that
}

// Trace says what is kept of what happened, and for how long.
type Trace struct {
	Origin          string        // the name of the log in its signed checkpoints
	Keep            time.Duration // facts about accepted mail and accounts
	KeepStrangers   time.Duration // facts about refused strangers
	CheckpointEvery time.Duration // how often a changed log is signed
}

// Auth holds the bounds of signing in.
type Auth struct {
	Mechanisms     []string      // SASL mechanisms to offer, the names in capitals; nil: all
	CacheTTL       time.Duration // for which a password once verified is remembered
	CacheEntries   int
	Hashing        int           // password hashes at once; 0: half the processors
	Waiting        int           // sign-ins that may wait for hashing
	WaitTime       time.Duration // for which one waits
	GuessesPerTime int           // wrong passwords for an account from unknown networks in GuessTime
	// GuessesPerNetwork are those from one network, GuessesPerServer all, in GuessTime.
	GuessesPerNetwork int
	GuessesPerServer  int
	GuessTime         time.Duration
	WrongFor          time.Duration // for which a wrong password that is tried again is no new guess
	ScramRounds       int           // PBKDF2 iterations of new passwords. RFC 7677 §4
	ArgonMemory       int64         // octets of argon2id for new passwords. RFC 9106 §4
	ArgonRounds       int           // passes of argon2id for new passwords
}

// StoreDir is the folder of the embedded store.
func (c Config) StoreDir() string { return filepath.Join(c.Data, "store") }

// KeysDir is the folder of the keys that the server makes for itself.
func (c Config) KeysDir() string { return filepath.Join(c.Data, "keys") }

// TokensDir is the folder of the refresh tokens that the server was given.
func (c Config) TokensDir() string { return filepath.Join(c.Data, "tokens") }

// CheckpointDir is the folder into which signed checkpoints are exported.
func (c Config) CheckpointDir() string { return filepath.Join(c.Data, "trace") }

// Socket is the path of the operator's socket.
func (c Config) Socket() string { return filepath.Join(c.Data, "sallyport.sock") }

// At returns where a key stands in the file, for messages about its value:
// "hostname", `domain.local.test`, `route.*.to`, "listen.mx[0]". A key that was
// not given answers with the file alone.
func (c Config) At(key string) Position {
	if p, ok := c.positions[key]; ok {
		return p
	}
	return Position{File: c.File}
}
