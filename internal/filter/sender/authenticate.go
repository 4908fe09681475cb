package sender

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/auth/results"
	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/workers"
	"sallyport/internal/mail"
)

// Own says what becomes of mail from outside that names one of our own domains as its
// author and bears no signature of that domain. The zero value refuses it.
type Own uint8

const (
	OwnRefuse Own = iota
	OwnJunk
	OwnDMARC // as the domain's own DMARC policy says
)

// Policy is what is done about mail from outside. The zero Policy checks nothing.
type Policy struct {
	Check bool
	Apply bool // what DMARC policies ask for is done; else it is only noted
	Own   Own
	// Time bounds the wait for everything that is asked for one message. What others did
	// not answer by then counts as not known, and keeps no message but those in our name.
	// What we had no room to ask, or no name server that answers, keeps every message whose
	// author is not known otherwise.
	Time time.Duration
	// Relays take mail from the world and hand it on to us: what they bring is held against who gave it to them.
	Relays []netip.Prefix
}

// Authenticator finds out who really sent what strangers bring to the MX door, by
// SPF, DKIM and DMARC, says so in an Authentication-Results field, and does what the
// policy of the author's domain asks for. It is an intake.Inspector.
type Authenticator struct {
	Hostname mail.Domain
	// Ours reports whether a domain is ours now.
	Ours func(mail.Domain) bool
	// Policy, Resolver and Keys are asked once for each message.
	Policy   func() Policy
	Resolver func() dnsx.Resolver
	Keys     func() Keys
	DKIM     dkim.Limits
	SPF      spf.Limits
	// Observe is told of each message that a policy applies to, for reports; it must
	// not block. nil: nobody is.
	Observe func(Observation)
	// Crew runs what is asked at the same time.
	Crew *workers.Crew
	Now  func() time.Time
}

// crewLinger is how long a goroutine that asks the DNS for a message is kept.
const crewLinger = 2 * time.Second

// NewAuthenticator returns a with the default limits of mail from outside, and a crew of its
// own. One signature of a domain that passes says all that its others could.
func NewAuthenticator(a Authenticator) Authenticator {
	a.DKIM, a.SPF, a.Crew = dkim.DefaultLimits(), spf.DefaultLimits(), workers.New(crewLinger)
	a.DKIM.Enough = 1
	return a
}

// Observation is what reports to domain owners are made of. RFC 9990.
type Observation struct {
	Peer     netip.Addr // that SPF was asked about
	Envelope mail.ReversePath
	SPF      spf.Result
	SPFBy    mail.Domain // that SPF was asked about
	DKIM     []dkim.Result
	DMARC    dmarc.Result
	// Done is what was done, which may be less than DMARC.Disposition.
	Done dmarc.Policy
	// Override says why, in a word of RFC 9990; "": it was done.
	Override string
}

var _ intake.Inspector = Authenticator{}

// Name implements intake.Inspector.
func (Authenticator) Name() string { return "authentication" }

// Begin implements intake.Inspector.
func (a Authenticator) Begin(m intake.Message) intake.Look {
	p := a.Policy()
	if !p.Check || m.Door != gate.DoorMX || !m.Account.IsZero() {
		return nil
	}
	author := authorOf(m.Header, a.Ours)
	return &authentication{
		a: a, m: m, policy: p, dns: a.Resolver(), keys: a.Keys(),
		check: dkim.NewCheckFor(m.Header, a.DKIM, author.rank), author: author, origin: originOf(m, p.Relays),
	}
}

// authentication is one message under judgement.
type authentication struct {
	a      Authenticator
	m      intake.Message
	policy Policy
	dns    dnsx.Resolver
	keys   Keys
	check  *dkim.Check
	author author
	origin origin
}

// Body implements intake.Look.
func (g *authentication) Body(p []byte) { g.check.Body(p) }

// Judge implements intake.Look.
func (g *authentication) Judge(ctx context.Context, _ intake.Content) intake.Finding {
	ctx, cancel := context.WithTimeout(ctx, g.policy.Time)
	defer cancel()
	share := dnsx.NewShare(g.m.Peer)
	r := g.find(share.Context(ctx))
	r.exhausted, r.mute = share.Exhausted(), share.Mute()
	f := g.decide(r)
	f.Notes = append(append(f.Notes, g.origin.notes()...), r.notes(g.author)...)
	f.Fields = results.Field(g.a.Hostname, r.results(g))
	f.Author = g.proved(r)
	return f
}

// found is everything that was found out about a message.
type found struct {
	spf   spf.Result
	spfBy mail.Domain
	// hello is what SPF says of the client's name, where the sender is another.
	hello   spf.Result
	helloBy mail.Domain // zero: it was not asked about
	dkim    []dkim.Result
	dmarc   dmarc.Result
	shown   bool // the author that dmarc is about need not be meant
	// exhausted: we had no room or nobody to ask, so that what is not known might be.
	exhausted bool
	mute      bool // for want of a name server of ours that answers
}

// find asks everything at once that does not depend on something else.
func (g *authentication) find(ctx context.Context) found {
	var r found
	walks, existences := make([]dmarc.Walk, len(g.author.judged)), make([]dmarc.Existence, len(g.author.judged))
	var all sync.WaitGroup
	meanwhile := func(f func()) {
		all.Add(1)
		g.a.Crew.Go(func() {
			defer all.Done()
			f()
		})
	}
	meanwhile(func() { r.spf, r.spfBy = g.spf(ctx) })
	meanwhile(func() { r.hello, r.helloBy = g.spfOfHello(ctx) })
	for i, c := range g.author.judged {
		meanwhile(func() {
			// At once, since who chooses the sender may have its lookup take all the time there is.
			walks[i] = g.walk(ctx, c.walk())
			existences[i] = g.existence(ctx, walks[i])
		})
	}
	if g.check.Signed() {
		r.dkim = g.check.Results(g.a.Now(), g.keys.Find(ctx, g.check.Names()))
	}
	all.Wait()
	results := make([]dmarc.Result, len(walks))
	for i, w := range walks {
		results[i] = dmarc.Judge(g.facts(ctx, w, existences[i], r))
	}
	r.dmarc, r.shown = g.author.judge(results)
	return r
}

// spf checks the envelope sender, or the client's name where there is none.
// RFC 7208 §2.4.
func (g *authentication) spf(ctx context.Context) (spf.Result, mail.Domain) {
	if from, ok := g.m.Envelope.From.Address(); ok {
		return g.spfOf(ctx, from.Local(), from.Domain())
	}
	return g.spfOf(ctx, "", g.helloName())
}

// spfOfHello checks the client's name beside a sender. RFC 7208 §2.3. It is told and
// decides nothing: many an honest host greets with a name whose record leaves it out, and
// DMARC goes by it only where there is no sender.
func (g *authentication) spfOfHello(ctx context.Context) (spf.Result, mail.Domain) {
	by := g.helloName()
	if _, ok := g.m.Envelope.From.Address(); !ok || by.IsZero() || g.origin.fault != "" {
		return spf.Result{}, mail.Domain{}
	}
	return g.spfOf(ctx, "", by)
}

// helloName is what the client calls itself, if that is a name in the DNS with several
// labels; others have no record. RFC 7208 §4.3. The dot of the root at its end says
// nothing that the name does not. RFC 1034 §3.1
func (g *authentication) helloName() mail.Domain {
	d, err := mail.ParseDomain(strings.TrimSuffix(g.origin.hello, "."))
	if err != nil || !strings.Contains(d.ASCII(), ".") {
		return mail.Domain{}
	}
	return d
}

func (g *authentication) spfOf(ctx context.Context, local string, by mail.Domain) (spf.Result, mail.Domain) {
	if g.origin.fault != "" {
		return g.origin.unknown(), by
	}
	q := spf.Query{IP: g.origin.peer, Hello: g.origin.hello, Local: local, Domain: by.ASCII(), Receiver: g.a.Hostname.ASCII(), Now: g.a.Now()}
	return spf.Check(ctx, spf.FromDNS(g.dns), q, g.a.SPF), by
}

// walk goes up the tree. RFC 9989 §4.10. A DNS that does not answer leaves it
// undecided where that matters.
func (g *authentication) walk(ctx context.Context, w dmarc.Walk) dmarc.Walk {
	for {
		d, more := w.Next()
		if !more {
			return w
		}
		n, err := dnsx.ParseName("_dmarc." + d.ASCII())
		if err != nil {
			w = w.Add(nil) // too long for the DNS: there can be none
			continue
		}
		answer, err := g.dns.TXT(ctx, n)
		if err != nil && !dnsx.Permanent(err) {
			w = w.Unanswered()
			continue
		}
		w = w.Add(answer.Data)
	}
}

// facts puts together what DMARC is judged by, and asks what else that takes.
func (g *authentication) facts(ctx context.Context, author dmarc.Walk, e dmarc.Existence, r found) dmarc.Facts {
	f := dmarc.Facts{
		Author: author, Existence: e,
		SPF: dmarc.Mechanism{Domain: r.spfBy, Passed: r.spf.Verdict == spf.Pass, Temporary: r.spf.Verdict == spf.TempError},
	}
	organizations := map[mail.Domain]mail.Domain{}
	learn := func(m dmarc.Mechanism, dkim bool) {
		if _, known := organizations[m.Domain]; known || !m.Passed && !m.Temporary || !dmarc.NeedsOrganization(author, m.Domain, dkim) {
			return
		}
		if w := g.walk(ctx, dmarc.NewWalk(m.Domain)); w.Done() {
			organizations[m.Domain] = w.Organization()
		}
	}
	learn(f.SPF, false)
	for _, s := range r.dkim {
		m := dmarc.Mechanism{Domain: s.Domain(), Passed: s.Passed(), Temporary: s.Status == dkim.StatusTempError, Unseen: s.Unseen}
		f.DKIM = append(f.DKIM, m)
		learn(m, true)
	}
	f.Organization = func(d mail.Domain) (mail.Domain, bool) {
		org, ok := organizations[d]
		return org, ok
	}
	return f
}

// existence finds out whether the author's domain exists, where a policy asks.
// RFC 8020: a name that does not exist has nothing below it either.
func (g *authentication) existence(ctx context.Context, author dmarc.Walk) dmarc.Existence {
	place, ok := author.Policy()
	if !ok || author.Below() || place.Domain == author.Start() || place.Record.Missing == dmarc.PolicyAbsent {
		return dmarc.ExistenceUnknown
	}
	_, err := g.dns.TXT(ctx, dnsx.NameOf(author.Start()))
	switch {
	case err == nil:
		return dmarc.Exists
	case isNoName(err):
		return dmarc.Absent
	case dnsx.Permanent(err):
		return dmarc.Exists
	}
	return dmarc.ExistenceUnknown
}
