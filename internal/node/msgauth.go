package node

import (
	"context"
	"slices"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/spf"
	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/filter"
	"sallyport/internal/filter/sender"
	"sallyport/internal/intake"
	"sallyport/internal/keyring"
	"sallyport/internal/kit/workers"
	"sallyport/internal/mail"
)

// keyTime bounds the wait for the public keys of one message; it is well within the
// time of all inspectors, so that a domain whose DNS is silent makes results temporary and
// defers nothing.
const keyTime = 20 * time.Second

// crewLinger is how long a goroutine that asks the DNS for a message is kept.
const crewLinger = 2 * time.Second

// buildAuthentication makes the way to other domains' records. As long as the same
// servers are asked, what they said stays known.
func (n *Node) buildAuthentication(_ context.Context, next, last *generation) error {
	if last != nil && slices.Equal(next.cfg.MX.DNS, last.cfg.MX.DNS) {
		next.keys = last.keys
		return nil
	}
	resolver, err := newResolver(next.cfg, n.o)
	if err != nil {
		return next.cfg.Fault("mx.dns", err.Error(), "")
	}
	next.keys = sender.Keys{Resolver: resolver, Time: keyTime}
	return nil
}

func (n *Node) openRing(ctx context.Context, _ keys) (err error) {
	n.ring, err = keyring.Open(ctx, n.store, keyring.Options{
		Limits: keyring.DefaultLimits(), Overlap: func() time.Duration { return n.config().DKIM.Overlap },
		Find: n.findKeys, Facts: n.keyFacts, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
	return err
}

func (n *Node) findKeys(ctx context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found {
	return n.now().keys.Find(ctx, names)
}

// keyFacts records what became of a signing key.
func (n *Node) keyFacts(c keyring.Change) [][]byte {
	what, domain := c.Key.Name.String()+": "+c.What, c.Key.Name.Domain.ASCII()
	which := []fact.Pair{{Name: "selector", Value: c.Key.Name.Selector}, {Name: "state", Value: c.Key.State.String()}}
	if c.Bad {
		lost := fact.Alarm{At: n.o.Now(), Rule: "dkim-key-lost", Text: what, Message: fact.Message{Account: domain}, Evidence: which}
		return fact.EncodeAll(lost.Fact())
	}
	return fact.EncodeAll(fact.KeyChanged{At: n.o.Now(), Rule: "dkim-key", Domain: domain, Change: what, Evidence: which}.Fact())
}

// inspectors are asked at end of data in this order: who a stranger really is comes
// before what others make of it, and signing comes last. Each asks the configuration
// in force.
func (n *Node) inspectors() []intake.Inspector {
	all := []intake.Inspector{
		sender.Authenticator{
			Hostname: n.config().Hostname, Ours: func(d mail.Domain) bool { return n.book.Snapshot().IsOurs(d) },
			Policy: n.senderPolicy, Resolver: func() dnsx.Resolver { return n.now().keys.Resolver }, Keys: func() sender.Keys { return n.now().keys },
			DKIM: verifyLimits(), SPF: spf.DefaultLimits(), Observe: n.observeSender, Crew: workers.New(crewLinger), Now: n.o.Now,
		},
	}
	all = append(all, n.bounces())
	all = append(all, filter.Inspectors(config.MaxMilters, func() *filter.Checks { return n.now().checks })...)
	return append(all, sender.Signer{
		On:   func() bool { return n.config().DKIM.Sign },
		Ours: func(d mail.Domain) bool { return n.book.Snapshot().IsOurs(d) }, Keys: n.ring.Signing,
		Lasts: func() time.Duration { return n.config().DKIM.Lasts }, Now: n.o.Now, Logger: n.log,
	})
}

// verifyLimits are those of mail from outside: one signature of a domain that passes
// says all that its others could.
func verifyLimits() dkim.Limits {
	l := dkim.DefaultLimits()
	l.Enough = 1
	return l
}

// senderPolicy is the one in force. What is not known is the strictest.
func (n *Node) senderPolicy() sender.Policy {
	c := n.config().Authentication
	p := sender.Policy{Check: c.Check, Apply: c.Apply, Own: sender.OwnRefuse, Time: c.Time}
	switch c.Own {
	case config.OwnJunk:
		p.Own = sender.OwnJunk
	case config.OwnDMARC:
		p.Own = sender.OwnDMARC
	}
	return p
}
