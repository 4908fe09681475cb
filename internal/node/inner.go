package node

import (
	"context"
	"fmt"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/deliver"
	"sallyport/internal/deliver/inner"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/smtpc"
	"sallyport/internal/trace"
	"sallyport/internal/verify"
)

// inners holds one target for each server behind us, and what they said about
// recipients. Every Hop comes from the directory, so that nothing is dialled that
// the operator did not name.
type inners struct {
	cfg      config.Config
	o        Options
	verifier *verify.Verifier

	mu      sync.Mutex
	targets map[directory.Hop]*inner.Target
	closed  bool
}

// openInners makes the targets of the configuration, so that a fault in it shows at
// the start.
func (n *Node) openInners(_ context.Context, _ keys) (err error) {
	n.inners = &inners{cfg: n.cfg, o: n.o, targets: map[directory.Hop]*inner.Target{}}
	n.inners.verifier, err = verify.New(verify.Options{
		Limits: calloutLimits(n.cfg), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log, Learnt: n.learntCatchall,
	})
	if err != nil {
		return err
	}
	for _, d := range n.cfg.Domains {
		if !d.Deliver.Behind() {
			continue
		}
		hop := domainOf(d).Hop
		if _, err := n.inners.open(hop); err != nil {
			return fmt.Errorf("%s: %w", n.cfg.At("domain."+d.Name.ASCII()+".deliver"), err)
		}
	}
	return nil
}

// open returns the target of a server behind us, and makes it where there is none.
func (in *inners) open(h directory.Hop) (*inner.Target, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if t, ok := in.targets[h]; ok {
		return t, nil
	}
	if in.closed {
		return nil, fmt.Errorf("the server stops")
	}
	roots, err := loadRoots(h.CA)
	if err != nil {
		return nil, err
	}
	o := inner.Options{
		LMTP: h.LMTP, Network: "tcp", Address: h.String(), Host: h.Host, Hello: in.cfg.Hostname, TLS: hopTLS(h.TLS), Roots: roots,
		Dial: in.o.Dial, Timeouts: smtpc.DefaultTimeouts(), SMTP: smtpc.DefaultLimits(), Limits: in.limits(h), Now: in.o.Now, Logger: in.o.Logger,
	}
	if h.Path != "" {
		o.Network, o.Host = "unix", "localhost"
	}
	t, err := inner.New(o)
	if err != nil {
		return nil, err
	}
	in.targets[h] = t
	return t, nil
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
func (in *inners) target(h directory.Hop) deliver.Target {
	t, err := in.open(h)
	if err != nil {
		in.o.Logger.Error("a server behind us cannot be used", "behind", h.String(), "err", err)
		return unusable{}
	}
	return t
}

// unusable defers: what is wrong with the configuration can be mended.
type unusable struct{}

func (unusable) Deliver(_ context.Context, j deliver.Job) []mail.Outcome {
	return j.All(mail.R(451, "4.3.5", "the server behind this domain cannot be used as it is configured"), "sallyport")
}

// Ask asks the server behind a domain about a recipient.
func (in *inners) Ask(ctx context.Context, d directory.Domain, a mail.Address) verify.Answer {
	t, err := in.open(d.Hop)
	if err != nil {
		return verify.Answer{Why: err.Error()}
	}
	return in.verifier.Ask(ctx, d.Hop.String(), t, a)
}

func (in *inners) close() {
	if in == nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, t := range in.targets {
		_ = t.Close()
	}
	if in.verifier != nil {
		in.verifier.Close()
	}
}

// learntCatchall tells the operator that a server takes any address of a domain, so
// that no callout protects it.
func (n *Node) learntCatchall(d mail.Domain, remote string, catchall bool) {
	f := trace.Fact{At: n.o.Now(), Kind: trace.KindAlarm, Rule: "server-behind-takes-anybody", Remote: remote,
		Text: "the server behind " + d.String() + " takes any recipient, so that asking it protects nobody: give the domain a recipients_file, or mend that server"}
	if !catchall {
		f.Rule, f.Text = "server-behind-knows-recipients", "the server behind "+d.String()+" does not take any recipient any more"
	}
	n.log.Warn(f.Text, "remote", remote)
	if err := n.trace.Write(context.Background(), f); err != nil {
		n.log.Error("fact not recorded", "kind", string(f.Kind), "err", err)
	}
}

func calloutLimits(cfg config.Config) verify.Limits {
	c, l := cfg.Callout, verify.DefaultLimits()
	l.Timeout, l.PositiveTTL, l.Grace, l.NegativeTTL = c.Timeout, c.PositiveTTL, c.Grace, c.NegativeTTL
	l.Entries, l.Rate, l.Waiting = c.Entries, c.Rate, c.Waiting
	return l
}

// hopTLS maps what is not known to the strictest mode.
func hopTLS(m directory.TLS) smtpc.TLSMode {
	switch m {
	case directory.TLSNone:
		return smtpc.TLSNone
	case directory.TLSOpportunistic:
		return smtpc.TLSOpportunistic
	case directory.TLSImplicit:
		return smtpc.TLSImplicit
	}
	return smtpc.TLSRequired
}
