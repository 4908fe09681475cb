package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	inner "sallyport/internal/nexthop/behind"
	smtpclient "sallyport/internal/smtp/client"
)

// inners holds one target for each server behind us, and what they said about
// recipients. Every Hop comes from the directory, so that nothing is dialled that
// the operator did not name.
type inners struct {
	cfg      config.Config
	o        Options
	verifier *callout.Verifier

	mu      sync.Mutex
	targets map[directory.Hop]behind
	closed  bool
}

// behind is a target, and what it was made of.
type behind struct {
	*inner.Target
	made string
}

// buildInners makes the targets of the configuration, so that a fault in it shows at
// once, and takes over those that are the same, and what was learnt of recipients.
func (n *Node) buildInners(_ context.Context, next, last *generation) (err error) {
	former := &inners{}
	if last != nil {
		former = last.inners
	}
	in := &inners{cfg: next.cfg, o: n.o, targets: map[directory.Hop]behind{}}
	next.inners = in
	if in.verifier = former.verifier; in.verifier == nil || former.cfg.Callout != next.cfg.Callout {
		in.verifier, err = callout.New(callout.Options{
			Limits: calloutLimits(next.cfg), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log, Learnt: n.learntCatchall,
		})
		if err != nil {
			return next.cfg.Fault("callout", err.Error(), "")
		}
	}
	in.inherit(former)
	var errs []error
	for _, d := range next.cfg.Domains {
		if !d.Deliver.Behind() {
			continue
		}
		if _, err := in.open(domainOf(d).Hop); err != nil {
			errs = append(errs, next.cfg.Fault("domain."+d.Name.ASCII()+".deliver", err.Error(), ""))
		}
	}
	return errors.Join(errs...)
}

// inherit takes over the targets that would be made in the same way, also those of
// domains that were added at run time.
func (in *inners) inherit(former *inners) {
	former.mu.Lock()
	defer former.mu.Unlock()
	for h, t := range former.targets {
		if _, pem, err := loadRoots(h.CA); err == nil && t.made == in.madeOf(h, pem) {
			in.targets[h] = t
		}
	}
}

func (in *inners) madeOf(h directory.Hop, pem []byte) string {
	return fmt.Sprintf("%s %+v %q", in.cfg.Hostname, in.limits(h), pem)
}

// open returns the target of a server behind us, and makes it where there is none.
func (in *inners) open(h directory.Hop) (*inner.Target, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if t, ok := in.targets[h]; ok {
		return t.Target, nil
	}
	if in.closed {
		return nil, fmt.Errorf("the server stops")
	}
	roots, pem, err := loadRoots(h.CA)
	if err != nil {
		return nil, err
	}
	o := inner.Options{
		LMTP: h.LMTP, Network: "tcp", Address: h.String(), Host: h.Host, Hello: in.cfg.Hostname, TLS: hopTLS(h.TLS), Roots: roots,
		Dial: in.o.Dial, Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Limits: in.limits(h), Now: in.o.Now, Logger: in.o.Logger,
	}
	if h.Path != "" {
		o.Network, o.Host = "unix", "localhost"
	}
	t, err := inner.New(o)
	if err != nil {
		return nil, err
	}
	in.targets[h] = behind{t, in.madeOf(h, pem)}
	return t, nil
}

// innerTarget returns the way to a server behind us as it stands now.
func (n *Node) innerTarget(h directory.Hop) nexthop.Target { return n.now().inners.target(h) }

// servers asks the servers behind us as they stand now.
type servers struct{ n *Node }

// Ask asks the server behind a domain about a recipient.
func (s servers) Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) callout.Answer {
	return s.n.now().inners.Ask(ctx, client, d, a)
}

// Offer gives a message to a server behind us while its sender waits.
func (s servers) Offer(ctx context.Context, h directory.Hop, j nexthop.Job) []mail.Outcome {
	return s.n.now().inners.target(h).Deliver(ctx, j)
}

// International tells whether the server behind a domain takes addresses beyond ASCII. One
// that was not spoken to yet is asked about a recipient, for its greeting.
func (s servers) International(ctx context.Context, d directory.Domain, a mail.Address) (takes, known bool) {
	t, err := s.n.now().inners.open(d.Hop)
	if err != nil {
		return false, false
	}
	if takes, known = t.International(); !known {
		_, _, _ = t.Ask(ctx, a) // whatever it says of the recipient
		takes, known = t.International()
	}
	return takes, known
}

// limits are those of the first domain with the server behind it; a domain that was
// added at run time has the defaults.
func (in *inners) limits(h directory.Hop) inner.Limits {
	l := inner.DefaultLimits()
	l.Questions = in.cfg.Callout.Connections
	for _, d := range in.cfg.Domains {
		if d.Deliver.Behind() && domainOf(d).Hop == h {
			l.Connections, l.Messages = d.Connections, d.Messages
			break
		}
	}
	l.Start = min(l.Start, l.Connections)
	return l
}

// target returns the way to a server behind us; where it cannot be made, one that
// defers everything.
func (in *inners) target(h directory.Hop) nexthop.Target {
	t, err := in.open(h)
	if err != nil {
		in.o.Logger.Error("a server behind us cannot be used", "behind", h.String(), "err", err)
		return unusable{}
	}
	return in.learns(h, t)
}

// unusable defers: what is wrong with the configuration can be mended.
type unusable struct{}

func (unusable) Deliver(_ context.Context, j nexthop.Job) []mail.Outcome {
	return j.All(mail.R(451, "4.3.5", "the server behind this domain cannot be used as it is configured"), "sallyport")
}

// Ask asks the server behind a domain about a recipient.
func (in *inners) Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) callout.Answer {
	t, err := in.open(d.Hop)
	if err != nil {
		return callout.Answer{Why: err.Error()}
	}
	return in.verifier.Ask(ctx, d.Hop.String(), t, client, a)
}

// retire ends what heir does not have.
func (in *inners) retire(heir *inners) {
	if in == nil || in == heir {
		return
	}
	kept := map[*inner.Target]bool{}
	if heir != nil {
		heir.mu.Lock()
		for _, t := range heir.targets {
			kept[t.Target] = true
		}
		heir.mu.Unlock()
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, t := range in.targets {
		if !kept[t.Target] {
			_ = t.Close()
		}
	}
	if in.verifier != nil && (heir == nil || heir.verifier != in.verifier) {
		in.verifier.Close()
	}
}

// learntCatchall tells the operator that a server takes any address of a domain, so
// that no callout protects it.
func (n *Node) learntCatchall(d mail.Domain, remote string, catchall bool) {
	f := fact.Fact{At: n.o.Now(), Kind: fact.KindAlarm, Rule: "server-behind-takes-anybody", Remote: remote,
		Text: "the server behind " + d.String() + " takes any recipient, so that asking it protects nobody: give the domain a recipients_file, or mend that server"}
	if !catchall {
		f.Rule, f.Text = "server-behind-knows-recipients", "the server behind "+d.String()+" does not take any recipient any more"
	}
	n.log.Warn(f.Text, "remote", remote)
	if err := n.trace.Write(context.Background(), f); err != nil {
		n.log.Error("fact not recorded", "kind", string(f.Kind), "err", err)
	}
}

func calloutLimits(cfg config.Config) callout.Limits {
	c, l := cfg.Callout, callout.DefaultLimits()
	l.Timeout, l.PositiveTTL, l.Grace, l.NegativeTTL = c.Timeout, c.PositiveTTL, c.Grace, c.NegativeTTL
	l.Entries, l.Rate, l.Waiting = c.Entries, c.Rate, c.Waiting
	return l
}

// hopTLS maps what is not known to the strictest mode.
func hopTLS(m directory.TLS) smtpclient.TLSMode {
	switch m {
	case directory.TLSNone:
		return smtpclient.TLSNone
	case directory.TLSOpportunistic:
		return smtpclient.TLSOpportunistic
	case directory.TLSImplicit:
		return smtpclient.TLSImplicit
	}
	return smtpclient.TLSRequired
}
