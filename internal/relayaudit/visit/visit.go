// Package visit asks a mail server from outside everything that an audit wants to know, and
// judges nothing: package verdict does.
//
// It brings nobody mail. Recipients elsewhere are at names that nobody has, each transaction is
// reset before its message begins, and a chunk is sent only where there is no recipient. It asks
// slowly, one question after the other, in short sessions. Only for an address that the auditor
// owns it completes one message.
package visit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

// Limits bound what an audit does to a server, and how long it waits.
type Limits struct {
	Pace     time.Duration     // between two questions, and between two connections
	Session  int               // questions of one session: fewer than the wrong commands that servers bear
	Busy     int               // tries of a question to which a server says: not now
	Rest     time.Duration     // before the second try; twice as long before each further one
	Lull     time.Duration     // how long an answer to an end of data that is none is awaited
	LastLull time.Duration     // the same behind the last of them
	Names    int               // domains that are tried as the server's own
	Pairs    int               // times that RCPT is timed with a name that is there, and as often with one that nobody has
	SignIns  int               // the same with wrong passwords
	Await    time.Duration     // how long what comes back to an address of the auditor's own is awaited
	Probe    relayaudit.Limits // of each connection and reply
}

// DefaultLimits suit servers anywhere.
func DefaultLimits() Limits {
	return Limits{
		Pace: 50 * time.Millisecond, Session: 8, Busy: 4, Rest: time.Second, Lull: 400 * time.Millisecond, LastLull: 10 * time.Second,
		Names: 8, Pairs: 40, SignIns: 16, Await: time.Minute, Probe: relayaudit.DefaultVisitLimits(),
	}
}

// Options say how servers are audited.
type Options struct {
	Client  string        // our name in EHLO
	Source  netip.Addr    // the address of ours to ask from; zero: any
	Away    []mail.Domain // in place of the reserved names elsewhere
	Domains []mail.Domain // known to be the server's own
	Deliver []string      // addresses of the auditor's own
	// Account is an address of the auditor's own at the server, at which signing in with wrong passwords
	// is timed; zero: that is not tried.
	Account mail.Address
	// Await waits until a message that holds mark came to an address of Deliver, for at most so long;
	// nil: nobody listens.
	Await  func(ctx context.Context, mark string, most time.Duration) (from, subject string, came bool)
	Shown  []tls.Certificate // certificates that no server knows, tried one after the other
	Roots  *x509.CertPool    // nil: the system's
	Limits Limits
	Step   func(done, planned int) // told of progress; may be called from several goroutines
}

// Endpoint is a door to be asked.
type Endpoint struct {
	At   netip.AddrPort
	Kind verdict.Kind
}

// Subject is a server to be audited: what the auditor called it, and where it is.
type Subject struct {
	Asked   string
	Host    string   // the name that was asked for; "": an address was
	Reverse []string // names of its addresses, as far as they lead back
	Doors   []Endpoint
}

// reserved are domains elsewhere: the first cannot exist, the others are nobody's and take no
// mail. RFC 2606 §2, §3.
var reserved = [...]string{"sallyport-audit.invalid", "example.org", "example.com"}

// Server asks one server everything.
func Server(ctx context.Context, s Subject, o Options, now func() time.Time) verdict.Server {
	seen := verdict.Server{Asked: s.Asked, Began: now()}
	rows, err := relayRows()
	if err != nil {
		seen.Refused = err.Error() // a fault of ours, which a test excludes
		return seen
	}
	delivered := false
	for _, e := range s.Doors {
		v := visitor{ctx: ctx, o: o, s: s, rows: rows, nobody: nobodyName()}
		v.d = verdict.Door{
			At: e.At, Kind: e.Kind,
			Nobodies: map[string]verdict.Said{}, Probes: map[string][]verdict.Said{},
		}
		v.d.Own = fromItself(e.At.Addr(), v.source())
		v.mayDeliver = e.Kind == verdict.SMTP && !delivered
		v.door()
		delivered = delivered || v.mayDeliver && v.d.Fault == ""
		seen.Doors = append(seen.Doors, v.d)
	}
	seen.Took = now().Sub(seen.Began)
	return seen
}

// fromItself reports whether a door is asked from an address that its server takes for its own host: what asks a
// loopback address without naming another source has that one, or 127.0.0.1.
func fromItself(at, source netip.Addr) bool {
	return at.IsLoopback() && (!source.IsValid() || source == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || source == netip.IPv6Loopback())
}

// visitor asks one door.
type visitor struct {
	ctx        context.Context
	o          Options
	s          Subject
	rows       []relayaudit.Case
	nobody     string // a local part that nobody has
	mayDeliver bool

	target relayaudit.Target
	d      verdict.Door
}

// door asks everything, in an order in which each question may use what was learnt before.
func (v *visitor) door() {
	away, _ := mail.ParseDomain(reserved[0]) // a test parses them all
	if len(v.o.Away) > 0 {
		away = v.o.Away[0]
	}
	v.d.Names.Away = away
	v.target = relayaudit.Target{
		MX: v.d.At, Submission: v.d.At, Submissions: v.d.At, Remote: away, Local: away, Second: away, Hostname: away,
		Client: v.o.Client, AnyCertificate: true, Limits: v.o.Limits.Probe,
	}
	v.target.Limits.RowPause = v.o.Limits.Pace
	if v.d.Fault = v.greet(); v.d.Fault != "" {
		return
	}
	v.tls()
	v.names()
	v.sender()
	v.nobodies()
	v.probes()
	v.forms()
	v.timings()
	if v.mayDeliver {
		v.deliver()
		v.bounce()
		v.smuggle()
	}
	v.d.Still = v.still()
}

// greet reads the greeting and what EHLO lists, before TLS and inside.
func (v *visitor) greet() (fault string) {
	r := v.ask(fmt.Sprintf("{GREETING} ⏎ EHLO %s", v.ehlo()), v.fresh(), relayaudit.Mode{})
	if r.Err != nil {
		return mail.Shown(r.Err.Error())
	}
	said := saidOf(r)
	if said[0].Reply.Code != 220 {
		return mail.Shown(fmt.Sprintf("its greeting: %s %s", said[0].Outcome, said[0].Reply.Text))
	}
	v.d.Greeting = said[0].Reply.Text
	if len(said) > 1 && said[1].Took() {
		v.d.Clear = keywords(said[1].Reply.Text)
	}
	if v.d.Kind == verdict.Submissions {
		v.d.Hidden, v.d.Clear = v.d.Clear, nil
		return ""
	}
	if !v.offers("STARTTLS") {
		return ""
	}
	r = v.ask(fmt.Sprintf("{GREETING} ⏎ EHLO %s ⏎ STARTTLS ⏎ {TLS} ⏎ EHLO %s", v.ehlo(), v.ehlo()), v.fresh(), relayaudit.Mode{})
	if said := saidOf(r); len(said) == 5 && said[4].Took() {
		v.d.Hidden = keywords(said[4].Reply.Text)
	}
	return ""
}

// offers reports whether EHLO lists a keyword before TLS.
func (v *visitor) offers(keyword string) bool {
	for _, k := range v.d.Clear {
		if strings.EqualFold(strings.Fields(k + " ")[0], keyword) {
			return true
		}
	}
	return false
}

func (v *visitor) ehlo() string {
	if v.o.Client != "" {
		return v.o.Client
	}
	return "client." + v.d.Names.Away.ASCII()
}

// still reports whether the door answers a fresh connection.
func (v *visitor) still() bool {
	r := v.ask("{GREETING} ⏎ QUIT", v.fresh(), relayaudit.Mode{})
	said := saidOf(r)
	return r.Err == nil && len(said) > 0 && said[0].Reply.Code == 220
}

// keywords returns the lines of an answer to EHLO behind the first.
func keywords(text string) []string {
	var words []string
	for _, l := range strings.Split(text, "\n")[1:] {
		if strings.TrimSpace(l) != "" {
			words = append(words, l)
		}
	}
	return words
}
