// Package doctor judges what was gathered about a server and its surroundings, and
// says in words what is wrong and what helps.
//
// It promises that each check is a function of Facts alone, so that every finding can
// be tested and repeated; that what could not be found out is said to be unknown, and is
// never taken for fine; and that a finding which is wrong names a remedy.
package doctor

import (
	"net/netip"
	"time"
)

// State says how bad a finding is. The zero State is Unknown.
type State uint8

const (
	Unknown State = iota // it could not be found out
	Fine
	Note    // nothing is wrong, and it may help to know
	Warning // it works, and will not for ever or not everywhere
	Wrong   // mail suffers
)

// String returns the state in a word.
func (s State) String() string {
	switch s {
	case Fine:
		return "fine"
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Wrong:
		return "wrong"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is the end of one check.
type Finding struct {
	Check   string `json:"check"`   // "dns", "ports", …
	Subject string `json:"subject"` // what it is about: a name, a path, an address
	State   State  `json:"state"`
	What    string `json:"what"`
	Remedy  string `json:"remedy,omitempty"`
}

// Lookup is what the DNS answered to one question.
type Lookup struct {
	Values []string
	Absent bool   // the DNS says that there is nothing
	Error  string // it could not be found out; "" and no Values and not Absent: not asked
}

// known reports whether the question has an answer.
func (l Lookup) known() bool { return len(l.Values) > 0 || l.Absent }

// Facts are everything that the checks look at.
type Facts struct {
	Now      time.Time
	Hostname string
	Host     Lookup         // addresses of Hostname
	Own      []netip.Addr   // addresses of this host, and those that the configuration says are ours
	Reverse  []ReverseFacts // of the public ones of Host
	Domains  []DomainFacts
	Resolver ResolverFacts
	Ports    []PortFacts
	Outbound *OutboundFacts // nil: not tried
	Behind   []BehindFacts  // the servers behind us, and next hops
	Provider *ProviderFacts // whose tokens sign our people in; nil: nobody's
	Tokens   []TokenFacts   // who gives the tokens that sign us in at next hops
	Helpers  []HelperFacts  // those who are asked about the content of mail
	// Directories are the servers of those that accounts and recipients come from.
	Directories []DirectoryFacts
	Networks    []NetworkFacts // that sign in as accounts
	TLS         TLSFacts
	Clock       ClockFacts
	Disk        DiskFacts
	Files       []FileFacts
	Limits      LimitFacts
	Queue       QueueFacts
	Server      ServerFacts
	Telling     TellingFacts
	Mailboxes   []MailboxFacts // that are nearly full
	Damage      []DamageFacts  // that nobody has acknowledged yet
	// Others are the findings of features that judge themselves, such as the keys that
	// sign mail and what the DNS shows of them.
	Others []Finding
}

// ReverseFacts are about one address of ours.
type ReverseFacts struct {
	Address netip.Addr
	Names   Lookup   // of the address
	Back    []string // addresses of those names
}

// DomainFacts are what the DNS says about a domain of ours.
type DomainFacts struct {
	Name    string
	MX      Lookup              // hosts, best first
	MXHosts map[string][]string // their addresses
	SPF     Lookup              // texts at the domain
	DMARC   Lookup              // texts at _dmarc
	MTASTS  Lookup              // texts at _mta-sts
	TLSRPT  Lookup              // texts at _smtp._tls
	// Senders are our addresses that mail of the domain leaves from, as its SPF record sees them.
	Senders []SenderFacts
}

// SenderFacts are what the SPF record of a domain says of one address.
type SenderFacts struct {
	Address string
	Passes  bool
	Verdict string // in the word of RFC 7208
	Broken  string // the record counts for nothing, and why
	Unknown string // why nobody can tell
}

// ResolverFacts are about the recursive servers.
type ResolverFacts struct {
	Error   string   // it cannot be used
	Invents []string // addresses for a name that cannot exist
	Asked   bool     // that name was asked for, with an answer
	Secure  State    // Fine: it validates; Note: it does not
}

// PortFacts are about one configured listener.
type PortFacts struct {
	Door     string
	Address  string
	Greeting string // of who answers there; for submissions after TLS
	Error    string // nobody answers
	Held     bool   // by systemd, which starts the server when somebody connects
	Free     bool   // nobody listens there, and it can be bound
	BindErr  string // why it cannot be bound
	Denied   bool   // to whoever asks; root or the server may all the same
}

// OutboundFacts are about reaching another host's port 25.
type OutboundFacts struct {
	To    string
	Error string
}

// BehindFacts are about a server that we pass mail on to.
type BehindFacts struct {
	For      string // whose mail: "domain example.org", "route *"
	At       string
	Greeting string
	Error    string
}

// ProviderFacts are about an OpenID provider.
type ProviderFacts struct {
	Issuer string
	Error  string // why it cannot be used; "": it says who it is, and has keys
}

// TokenFacts are about an authorization server.
type TokenFacts struct {
	For   string // whose mail: "route *"
	At    string // its host
	Tried bool   // a token was asked for; else it was only looked whether it is there
	Error string // why none was given; "": one was, or it is there
	// Waits is why the running server has none at present; "": it has, or none runs.
	Waits string
}

// NetworkFacts is how a trusted network fares in the running server.
type NetworkFacts struct {
	Name, Account string
	Closed        bool   // until a person opens it
	Why           string // it does not count; "": it does
}

// DirectoryFacts are about one server of a directory, and what the running server has of the
// directory.
type DirectoryFacts struct {
	Name   string // of its table
	Server string // host:port
	Failed string // the step that failed: "connect", "TLS", "bind", "base" or "search"; "": none
	Error  string
	Found  bool // at least one person
	Policy bool // it tells of password policies
	Pages  bool // it gives long lists in pages
	Clear  bool // it is asked without TLS

	// What follows is of the first server of each directory alone.
	Known    bool      // a server, or the data folder, was asked
	Listed   time.Time // zero: never
	Fault    string    // why there is no newer list
	Disputed []string
	Doubtful []string
}

// HelperFacts are about a program that is asked about the content of messages.
type HelperFacts struct {
	For    string // "rspamd", "milter NAME"
	At     string
	Error  string // it does not answer
	Defers bool   // mail that it cannot see is deferred, and not taken without it
}

// TLSFacts are about the certificate.
type TLSFacts struct {
	Configured          bool
	File                string
	Error               string // of reading it or its key
	Names               []string
	NotBefore, NotAfter time.Time
	Chain               string // why a client would not trust it; "" it would
	CoversHostname      bool
	Lacks               []string // names that it should bear, beside the host name
	// Authority is who gives it, by the URL of its directory; "": it comes from files.
	Authority string
	Pending   bool      // it was not obtained yet
	Fault     string    // why the last attempt to obtain one failed; "": it did not
	Next      time.Time // of the next attempt after a fault
}

// ClockFacts are what the kernel says about its clock.
type ClockFacts struct {
	Known  bool
	Synced bool
	Error  time.Duration // the most that it may be wrong
}

// DiskFacts are about the disk of the data folder.
type DiskFacts struct {
	Path                    string
	Error                   string
	Free, Total, MinFree    uint64
	InodesFree, InodesTotal uint64
	SyncError               string
	Denied, Full            bool // that error: whoever asks may not write there, or there is no room
	SyncTook                time.Duration
}

// FileFacts are about one file or folder.
type FileFacts struct {
	Path    string
	What    string
	Error   string
	Mode    uint32
	Owner   string
	Ours    bool // it belongs to the owner of the data folder, or to root
	Secret  bool // nobody else may read it
	OwnOnly bool // not even the group
	// Exposed says why a socket's clients would take the server for a stranger; of a
	// socket only that is told.
	Exposed string
}

// LimitFacts are the bounds of process and kernel.
type LimitFacts struct {
	Files       uint64 // open files that the process may have; 0: not known
	FilesOf     string // whose limit: "the running server", "this shell"
	Connections int    // limits.connections
	Backlog     int    // net.core.somaxconn; 0: not known
	LocalPorts  int    // size of net.ipv4.ip_local_port_range; 0: not known
}

// QueueFacts are about what waits.
type QueueFacts struct {
	Known          bool
	Why            string // it is not known
	Root           bool   // who looked was root
	Messages, Held int
	Oldest         time.Duration // of what is not held
	HeldFor        []HeldFacts   // the commonest reasons of what is held
}

// HeldFacts are about what is held for one reason.
type HeldFacts struct {
	Reason   string
	Messages int
	Oldest   time.Duration
}

// TellingFacts are about who was not told of incidents.
type TellingFacts struct {
	// Inside is the account that alone gets the postmaster's mail, and whose owner is told nowhere outside; "": there is none.
	Inside  string
	Untold  int    // changes of incidents that the administrator was not told of, since nobody is
	Webhook string // who else is told; "": nobody
	Waiting int    // changes that were not told
	Fault   string // why; "": it is under way
}

// MailboxFacts are about a mailbox, or all mailboxes of a domain, that is nearly full.
type MailboxFacts struct {
	Whose  string // an account, or a domain
	Domain bool
	Share  int    // hundredths of what it may hold
	Quota  string // in words
}

// DamageFacts are about something that the disk has damaged.
type DamageFacts struct {
	Number           int
	File, What, Lost string
	Aside            string // the file as it was found; "": nothing was put aside
}

// ServerFacts are about the running server.
type ServerFacts struct {
	Running bool
	PID     int
	Version string // "": not known
	Here    string // version of this program
	// Database is why its database takes nothing; nil: it does. Missing is what it could not tell
	// of itself.
	Database *DatabaseFacts
	Missing  []string
	Fault    string // it runs, and cannot say how it fares
	Holds    bool   // none answers, and another process has the data folder open
	Unasked  string // why nobody could ask whether one runs
}

// DatabaseFacts are about a database that takes nothing.
type DatabaseFacts struct {
	Since time.Time
	Cause string // what the disk answered first
	Full  bool   // it waits for space; else it failed, and is opened anew
	Tries int    // in vain
	Last  string // what came of the latest
}

// Check judges one thing.
type Check func(Facts) []Finding

// Checks returns every check in the order in which it is told.
func Checks() []Check {
	return []Check{
		checkServer, checkDatabase, checkResolver, checkHost, checkReverse, checkDomains, checkPorts,
		checkOutbound, checkBehind, checkProvider, checkTokens, checkNetworks, checkHelpers, checkDirectories,
		checkTLS, checkClock, checkDisk, checkDamage, checkFiles, checkLimits, checkQueue, checkTelling,
		checkMailboxes, others,
	}
}

func others(f Facts) []Finding { return f.Others }

// Examine runs every check.
func Examine(f Facts) []Finding {
	var all []Finding
	for _, c := range Checks() {
		all = append(all, c(f)...)
	}
	return all
}
