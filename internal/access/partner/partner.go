package partner

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
)

// Login is one try to sign in at the partner, as the partner tells of it.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Remote is the client's address; one that is not valid is refused.
	Remote netip.Addr `json:"remote"`
	// Service is what the client is there for: one of Services.
	Service string `json:"service"`
	// Mechanism is that of SASL, as the partner names it.
	Mechanism string `json:"mechanism"`
	// Secured: nobody overhears the client.
	Secured bool `json:"secured"`
	// Certificate: the partner checked a certificate of the client, which names the user.
	Certificate bool `json:"certificate"`
}

// Verdict says what the partner is to do. The zero Verdict lets nobody in.
type Verdict string

const (
	VerdictLater   Verdict = "later"   // nothing was decided: the client may try again
	VerdictRefused Verdict = "refused" // what was shown opens nothing
	VerdictIn      Verdict = "in"      // the client is Answer.Account
)

// Answer is what a Login comes to.
type Answer struct {
	Verdict Verdict `json:"verdict"`
	// Account is who signed in, as the account is written; "": nobody.
	Account string `json:"account,omitempty"`
	// Why is for the partner's log, where something is wrong with its configuration; else "".
	Why string `json:"why,omitempty"`
}

// Services are what a client of a partner may be there for: to read. Whoever sends comes to our own
// doors, where the gate is.
func Services() []string { return []string{"imap", "pop3", "sieve"} }

// DoorPrefix begins the name of the door at which facts say that somebody signed in: the service
// follows.
const DoorPrefix = "checkpassword-"

// RuleAsked is the rule of what a partner asks that nobody can be signed in for.
const RuleAsked = "partner-asked"

const (
	maxService = 16  // octets of a service or mechanism that are kept
	maxUser    = 320 // octets of a user's name that are kept
)

// Journal is what a Partner needs of the trace.
type Journal interface {
	Stranger(f fact.Fact)
}

// Options are what a Partner works with; all are required.
type Options struct {
	Desk    *signin.Desk
	Journal Journal
	Now     func() time.Time
	Rand    io.Reader // nil: crypto/rand.Reader
	Logger  *slog.Logger
}

// Partner judges sign-ins for a server beside us. It is safe for use by many goroutines.
type Partner struct{ o Options }

// New returns a Partner.
func New(o Options) *Partner {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Partner{o}
}

// SignIn judges one try. Its end, good or bad, is a fact.
func (p *Partner) SignIn(ctx context.Context, l Login) Answer {
	now := p.o.Now()
	id, err := mail.NewID(now, p.o.Rand)
	if err != nil {
		p.o.Logger.Error("a sign-in at a partner got no number", "err", err)
		return Answer{Verdict: VerdictLater}
	}
	g := &guest{login: l, id: id.String(), began: now}
	if why := l.unfit(); why != "" {
		p.refused(g, RuleAsked, mail.R(454, "4.7.0", "this cannot be judged"), why)
		return Answer{Verdict: VerdictLater, Why: why}
	}
	visit := p.o.Desk.Visit(g)
	g.visit = visit
	defer visit.Leave()
	mechanism, response := l.says()
	x, err := visit.Begin(mechanism)
	if err != nil {
		reply := accounts.Reply(err)
		p.refused(g, signin.RuleOf(err), reply, err.Error())
		return answerTo(reply, mail.Address{}, mail.ShownLine(err.Error(), maxUser))
	}
	_, done, reply := x.Next(ctx, response)
	if !done {
		x.Cancel()
		return Answer{Verdict: VerdictLater}
	}
	return answerTo(reply, visit.Proof().Address, "")
}

// unfit says why a try is none that can be judged; "": it can. What the partner leaves out is not
// guessed: without the client's address, guesses would be counted against the partner.
func (l Login) unfit() string {
	switch {
	case !l.Remote.IsValid() || l.Remote.IsUnspecified():
		return "the client's address is missing (TCPREMOTEIP)"
	case !slices.Contains(Services(), l.Service):
		return fmt.Sprintf("the service is none to read by: %s; it is one of %s, and who sends signs in at the submission doors",
			mail.Printable(l.Service, maxService), strings.Join(Services(), ", "))
	case !l.external() && strings.ContainsRune(l.User+l.Password, 0):
		return "user or password has a NUL"
	}
	return ""
}

// external reports whether the client signs in by its certificate alone. With any other mechanism
// the password counts, whatever certificate was shown.
func (l Login) external() bool { return l.Mechanism == accounts.MechExternal }

// says is the mechanism by which the client signs in, and what it says. EXTERNAL without a
// certificate that the partner checked is judged too, and opens nothing.
func (l Login) says() (mechanism string, response []byte) {
	if l.external() {
		return accounts.MechExternal, []byte(l.User)
	}
	return accounts.MechPlain, []byte("\x00" + l.User + "\x00" + l.Password)
}

// answerTo says a reply in the words of a partner: only 235 lets in, and what is no clear no is
// to be tried again.
func answerTo(r mail.Reply, account mail.Address, why string) Answer {
	switch r.Code {
	case 235:
		if account.IsZero() {
			return Answer{Verdict: VerdictLater}
		}
		return Answer{Verdict: VerdictIn, Account: account.String()}
	case 535, 501:
		return Answer{Verdict: VerdictRefused}
	}
	return Answer{Verdict: VerdictLater, Why: why}
}

// refused records what never came to a sign-in.
func (p *Partner) refused(g *guest, rule string, r mail.Reply, why string) {
	f := fact.Refused{At: p.o.Now(), Rule: rule, Session: g.Seen(accounts.Proof{}), Reply: r, Detail: mail.Printable(why, maxUser)}.Fact()
	p.o.Journal.Stranger(f)
}
