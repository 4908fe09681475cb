// Package verdict judges what an audit saw of a mail server, and says whether it relays, what
// else is wrong with it, why that matters and how it is mended.
//
// Whether a server relays and whether it is as strict as ours are two questions. A server is
// closed when it refuses every recipient elsewhere, for good or for now, in whatever words. It
// relays when it takes one. Where its answer to RCPT cannot tell, that is a verdict of its own.
package verdict

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// Kind is what a door is for. The zero Kind is none.
type Kind uint8

const (
	SMTP        Kind = iota + 1 // port 25: the world
	Submission                  // port 587: STARTTLS, then people sign in
	Submissions                 // port 465: TLS from the first octet
)

// String returns the word that stands behind an address on the command line.
func (k Kind) String() string {
	switch k {
	case SMTP:
		return "smtp"
	case Submission:
		return "submission"
	case Submissions:
		return "submissions"
	}
	return "none"
}

// Said is one command and what came back.
type Said struct {
	Verb    string     // in lower case; end for a message, tls for a handshake
	Line    string     // the command as it was sent; octets of ours, not printable
	Sent    string     // the same, printable
	Outcome string     // the code of the reply, or what came instead of one
	Reply   mail.Reply // zero: none
}

// Took reports whether the server took what was said.
func (s Said) Took() bool { return s.Reply.OK() }

// Form is one row of the catalogue as it was asked of a door.
type Form struct {
	ID     string
	Source string // where the form is known from
	TLS    bool   // asked inside TLS
	Shown  bool   // with a client certificate of nobody's
	Said   []Said
	Fault  string   // why it could not be asked
	Laxer  []string // in what it was answered otherwise than our own server would
}

// Names are what the audit took the server's names to be.
type Names struct {
	Host  mail.Domain
	Local mail.Domain   // the domain that its own forms are tried with
	Own   []mail.Domain // every name that may be its own
	Taken []mail.Domain // those of which it takes mail for the postmaster
	Away  mail.Domain   // a domain that cannot exist, or is nobody's
}

// Door is what was seen at one address and port.
type Door struct {
	At    netip.AddrPort
	Kind  Kind
	Fault string // why nothing was asked; the rest is zero then
	Own   bool   // it was asked from 127.0.0.1, whom servers trust

	Greeting string
	Names    Names
	Clear    []string // what EHLO lists before TLS
	Hidden   []string // what it lists inside
	Forms    []Form
	Nobodies map[string]Said // by the domain ("" for none): RCPT for a name that nobody has
	Probes   map[string][]Said
	TLS      TLS
	Messages []Message // completed or tried with an address of the auditor's own
	Smuggled Smuggling
	Bounce   Bounce
	Timings  []Timing
	Still    bool // it answered a fresh connection at the end
	Early    bool // it takes no MAIL without signing in, so not every form was asked
}

// Message is one that was offered for an address of the auditor's own.
type Message struct {
	To    string
	Form  string // the row whose form was used
	Said  []Said
	Mark  string // the word in its subject
	Whole bool   // it was taken
	Back  *Back  // it arrived; nil: it did not, or nobody listened
}

// Bounce is what became of a message for a name that nobody has, from an address of the
// auditor's own.
type Bounce struct {
	From, To string // "": none was tried
	Mark     string // the word in its subject
	Said     []Said
	Whole    bool          // it was taken
	Awaited  time.Duration // how long somebody listened for what comes back; 0: nobody did
	Back     *Back         // nil: nothing came
}

// Back is a message that came to an address of the auditor's own. Its texts are printable.
type Back struct {
	From, Subject string // the envelope sender, and the field
	After         time.Duration
}

// Timing is how long a door took to answer about a name that is there, and about names that
// nobody has, asked in turns.
type Timing struct {
	Verb          string // what was asked: rcpt, auth
	There, Nobody []time.Duration
	Said          []Said // one of the name that is there, one of a name that nobody has
}

// Smuggling is what became of ends of data that are none.
type Smuggling struct {
	Asked  bool
	Why    string // why it was not
	Tried  []string
	Ended  string // the sequence at which the server took the message to end
	Answer Said
	Mark   string
}

// TLS is what was seen of a door's TLS.
type TLS struct {
	Asked     bool // TLS was offered, or is there from the first octet
	Fault     string
	Version   string
	Old       []string // versions older than 1.2 that it speaks
	Weak      []string // cipher suites known to be broken that it takes
	Injected  []Said   // what was said when a command came with STARTTLS
	Surplus   bool     // and it was obeyed inside TLS
	WantsCert bool     // it asks clients for a certificate
	Cert      Certificate
}

// Certificate is the server's.
type Certificate struct {
	Seen      bool
	Names     []string
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	Key       string // "RSA 1024"
	WeakKey   bool
	Signature string
	WeakSig   bool // by a broken hash
	Untrusted string
	Matches   bool // one of the names that were asked for
	AskedFor  string
}

// Server is everything that was seen of one that was named on the command line.
type Server struct {
	Asked   string // as the auditor wrote it
	Refused string // why it was not audited
	Advice  string // what would change that
	Doors   []Door
	Began   time.Time
	Took    time.Duration
}
