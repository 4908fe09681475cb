package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
	"sallyport/internal/tlspolicy"
)

// search is one search for a connection to a destination: what it tried, and the
// faults that it met.
type search struct {
	t       *Targets
	to      destination
	id      mail.ID
	rule    Rule
	hosts   int             // that were looked at
	tries   int             // connections that failed
	facts   tlspolicy.Facts // what is known of the destination; its host is not set
	signed  bool            // the host names came with DNSSEC
	alias   dnsx.Name       // where the domain's records stand, if elsewhere
	skipped bool            // something was not tried, so that nothing is final

	temporary pool.Failure // the last fault that may pass; zero: none
	permanent pool.Failure // the last one that will not
}

// endpoint is an address that passed the check, and the host that it belongs to.
type endpoint struct {
	host host
	addr netip.Addr
	tls  secured
}

// search begins a search for a job.
func (t *Targets) search(to destination, j nexthop.Job) *search {
	return &search{
		t: t, to: to, id: j.ID, rule: Rule{Own: t.o.Own(), Allow: t.o.AllowPrivate},
		facts: tlspolicy.Facts{Domain: to.domain, Demand: to.demand},
	}
}

// open finds a connection for the destination, or says why there is none.
func (t *Targets) open(whole context.Context, to destination, j nexthop.Job) (*client.Client, pool.Failure) {
	ctx, cancel := context.WithTimeoutCause(whole, t.o.Limits.Search, client.ErrTimeout)
	defer cancel()
	s := t.search(to, j)
	c := s.run(ctx)
	switch {
	case c != nil:
		return c, pool.Failure{}
	case whole.Err() != nil:
		return nil, pool.Failure{Reply: mail.R(451, "4.3.2", "the delivery was interrupted"), Remote: to.String()}
	}
	return nil, s.failure()
}

// begin finds out what the destination demands, and which hosts take mail for it: none where that is
// noted as a fault.
func (s *search) begin(ctx context.Context) plan {
	known := s.learn(ctx)
	p, r := s.plan(ctx)
	s.facts.STS = known()
	if !r.IsZero() {
		s.notes(r, s.to.String())
		return nil
	}
	return p
}

// run goes from the best exchangers to the worst until there is a connection; nil
// when there is none.
func (s *search) run(ctx context.Context) *client.Client {
	p := s.begin(ctx)
	for i, group := range p {
		group = s.some(group)
		if len(group) == 0 || s.tired(ctx) {
			return nil
		}
		ends, ours := s.resolve(ctx, group)
		// RFC 5321 §5.1: what is no better than ourselves is not tried.
		if ours {
			s.notes(mail.R(554, "5.4.6", "mail for "+s.to.String()+" loops back: an address of its mail exchanger is ours"), s.to.String())
			return nil
		}
		if c := s.first(ctx, ends, i < len(p)-1); c != nil {
			return c
		}
	}
	return nil
}

// tired reports whether the search has cost what it may; what is left is skipped.
func (s *search) tired(ctx context.Context) bool {
	tired := s.tries >= s.t.o.Limits.Tries || ctx.Err() != nil
	s.skipped = s.skipped || tired
	return tired
}

// some returns as many hosts of a group as may still be looked at.
func (s *search) some(group []host) []host {
	n := min(len(group), s.t.o.Limits.Hosts-s.hosts)
	s.hosts += n
	s.skipped = s.skipped || n < len(group)
	return group[:n]
}

// plan finds out which hosts take mail for the destination.
func (s *search) plan(ctx context.Context) (plan, mail.Reply) {
	if s.to.literal.IsValid() {
		return plan{{{literal: s.to.literal}}}, mail.Reply{}
	}
	own := s.t.o.names()
	a, err := s.t.o.Resolver.MX(ctx, dnsx.NameOf(s.to.domain))
	switch {
	case err == nil:
		s.signed, s.facts.NameSecured = a.Secure, a.Secure
		s.aliased(a.Name)
		return exchangers(a.Data, own, s.id)
	case errors.Is(err, dnsx.ErrNoData):
		// RFC 5321 §5.1: a domain without MX is its own, with preference 0.
		s.signed, s.facts.NameSecured = secureDenial(err), true
		return exchangers([]dnsx.MX{{Host: dnsx.NameOf(s.to.domain)}}, own, s.id)
	case errors.Is(err, dnsx.ErrNoName):
		return nil, mail.R(550, "5.1.2", "there is no such domain: "+words(err))
	}
	return nil, mail.R(451, "4.4.3", "the DNS does not answer: "+words(err))
}

// resolve returns the addresses that may be dialled, of all hosts of one
// preference, and whether one of these hosts is this server.
func (s *search) resolve(ctx context.Context, group []host) (ends []endpoint, ours bool) {
	answers := make([]dnsx.Answer[netip.Addr], len(group))
	errs := make([]error, len(group))
	ways := make([]secured, len(group))
	var wg sync.WaitGroup
	for i, h := range group {
		if h.literal.IsValid() {
			answers[i].Data = []netip.Addr{h.literal}
			ways[i] = s.judge(ctx, h, answers[i])
			continue
		}
		wg.Go(func() {
			answers[i], errs[i] = s.t.o.Resolver.Addresses(ctx, h.name)
			if errs[i] == nil {
				ways[i] = s.judge(ctx, h, answers[i])
			}
		})
	}
	wg.Wait()
	for i, h := range group {
		if errs[i] != nil {
			s.unresolved(h, errs[i])
			continue
		}
		good, found := s.admitted(h, answers[i].Data)
		ours = ours || found
		if v := ways[i].verdict; v.Level == tlspolicy.LevelRefused {
			s.refused(ways[i], h)
			continue
		}
		for _, ip := range spread(good, s.id, s.t.o.Limits.Addresses) {
			ends = append(ends, endpoint{h, ip, ways[i].once()})
		}
	}
	return ends, ours
}

// unresolved notes a host without an address. Only what the DNS states is final.
func (s *search) unresolved(h host, err error) {
	if dnsx.Permanent(err) {
		s.notes(mail.R(550, "5.4.4", "the mail exchanger has no address: "+words(err)), h.text())
		return
	}
	s.notes(mail.R(451, "4.4.3", "the DNS does not answer: "+words(err)), h.text())
}

// admitted keeps the addresses that the rule admits.
func (s *search) admitted(h host, addrs []netip.Addr) (good []netip.Addr, ours bool) {
	for _, ip := range addrs {
		switch why := s.rule.Check(ip); why {
		case "":
			good = append(good, ip)
		case RefuseOurs:
			ours = true
		default:
			s.notes(mail.R(550, "5.4.4", fmt.Sprintf("the address of the mail exchanger is not dialled: %s", why)),
				remote(h, ip, s.t.o.Port))
		}
	}
	return good, ours
}

// first tries one address after the other until one of them takes part. more: there are others behind them.
func (s *search) first(ctx context.Context, ends []endpoint, more bool) *client.Client {
	for i, e := range ends {
		if s.tired(ctx) {
			return nil
		}
		c, err := s.try(ctx, e, more || i < len(ends)-1)
		if err == nil && s.secures(e, c) {
			return c
		}
		if err == nil {
			continue
		}
		where := remote(e.host, e.addr, s.t.o.Port)
		s.t.o.Logger.Info("mail exchanger does not serve", "queue", s.id.String(),
			"destination", s.to.String(), "remote", where, "err", err)
		// A family that this host does not speak costs nothing: it costs no try, and
		// says less than what failed otherwise.
		foreign := shortage.OfFamily(err, e.addr)
		if !foreign {
			s.tries++
		}
		if !foreign || s.temporary.Reply.IsZero() {
			s.notes(s.unserved(e, where, err), where)
		}
	}
	return nil
}

// try calls one address. Where there are others, it has half of the time that is left: one that takes the
// connection and then says nothing would else have all of it, in each attempt, and the others none.
func (s *search) try(ctx context.Context, e endpoint, others bool) (*client.Client, error) {
	if end, ok := ctx.Deadline(); ok && others {
		half, cancel := context.WithTimeoutCause(ctx, time.Until(end)/2, client.ErrTimeout)
		defer cancel()
		ctx = half
	}
	return s.call(e).Open(ctx)
}

func failureReply(where string, err error) mail.Reply {
	if errors.Is(err, errTooManyOpen) {
		return mail.R(451, "4.3.2", errTooManyOpen.Error())
	}
	return pool.ReplyFor(where, err)
}

// call is the one place where an address is dialled: the very value that was
// checked, never a name.
func (s *search) call(e endpoint) pool.Call {
	o := s.t.o
	where := remote(e.host, e.addr, o.Port)
	return pool.Call{
		Dial:    func(ctx context.Context) (net.Conn, error) { return s.t.dial(ctx, netip.AddrPortFrom(e.addr, o.Port)) },
		Connect: o.Limits.Connect,
		SMTP: client.Options{
			Hello: o.Hello, Host: e.host.name.String(), Timeouts: o.Timeouts, Limits: o.SMTP,
			TLS: s.policy(e),
		},
		WithoutTLS: func(err error) {
			s.report(e, nil, err)
			o.Logger.Warn("TLS failed, going on without", "queue", s.id.String(), "destination", s.to.String(), "remote", where, "err", err)
		},
	}
}

// notes keeps the last fault of each kind: those that can pass, and those that
// will not.
func (s *search) notes(r mail.Reply, remote string) {
	if r.Class() == mail.ClassPermanent {
		s.permanent = pool.Failure{Reply: r, Remote: remote}
		return
	}
	s.temporary = pool.Failure{Reply: r, Remote: remote}
}

// failure is the verdict of a search that found nothing: final only if nothing
// that was met can pass.
func (s *search) failure() pool.Failure {
	switch {
	case !s.temporary.Reply.IsZero():
		return s.temporary
	case s.skipped:
		return pool.Failure{
			Reply:  mail.R(451, "4.4.1", "none of the mail exchangers that were tried can be reached"),
			Remote: s.to.String(),
		}
	case !s.permanent.Reply.IsZero():
		return s.permanent
	}
	return pool.Failure{Reply: mail.R(451, "4.4.0", "no mail exchanger was found"), Remote: s.to.String()}
}

// remote is who speaks in outcomes: "mx.example [192.0.2.1]:25".
func remote(h host, ip netip.Addr, port uint16) string {
	where := fmt.Sprintf("[%s]:%d", ip, port)
	if h.literal.IsValid() {
		return where
	}
	return h.text() + " " + where
}

// words are those of an error of the DNS, for a reply.
func words(err error) string {
	var q *dnsx.LookupError
	if errors.As(err, &q) {
		return mail.Printable(q.Question, mail.AddressShown) + ": " + mail.Printable(q.Err.Error(), mail.TextShown)
	}
	return mail.Printable(err.Error(), mail.TextShown)
}
