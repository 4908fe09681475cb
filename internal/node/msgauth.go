package node

import (
	"context"
	"time"

	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/msgauth/dkim"
	"sallyport/internal/msgauth/inspect"
	"sallyport/internal/msgauth/keyring"
	"sallyport/internal/trace"
)

// keyTime bounds the wait for the public keys of one message; it is well within the
// time of all inspectors, so that a silent DNS makes results temporary and defers
// nothing.
const keyTime = 20 * time.Second

// dkimParts are the keys that sign, and the way to those of others.
type dkimParts struct {
	ring *keyring.Ring
	keys inspect.Keys
}

func (n *Node) openAuthentication(ctx context.Context, _ keys) error {
	resolver, err := newResolver(n.cfg, n.o)
	if err != nil {
		return err
	}
	n.dkim.keys = inspect.Keys{Resolver: resolver, Time: keyTime}
	limits := keyring.DefaultLimits()
	limits.Overlap = n.cfg.DKIM.Overlap
	n.dkim.ring, err = keyring.Open(ctx, n.store, keyring.Options{
		Limits: limits, Find: n.dkim.keys.Find, Facts: n.keyFacts, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
	return err
}

// keyFacts records what became of a signing key.
func (n *Node) keyFacts(c keyring.Change) [][]byte {
	f := trace.Fact{At: n.o.Now(), Kind: trace.KindKey, Rule: "dkim-key", Text: c.Key.Name.String() + ": " + c.What}
	if c.Bad {
		f.Kind, f.Rule = trace.KindAlarm, "dkim-key-lost"
	}
	f.Account = c.Key.Name.Domain.ASCII() // so that addr:example.org finds it
	f = f.Evidenced("selector", c.Key.Name.Selector).Evidenced("state", c.Key.State.String())
	return trace.EncodeAll(f)
}

// inspectors are asked at end of data in this order: who a stranger really is comes
// before what others make of it, and signing comes last.
func (n *Node) inspectors() []intake.Inspector {
	var all []intake.Inspector
	if n.cfg.DKIM.Verify {
		all = append(all, inspect.Verifier{Limits: dkim.DefaultLimits(), Keys: n.dkim.keys, Now: n.o.Now})
	}
	if n.cfg.DKIM.Sign {
		all = append(all, inspect.Signer{
			Ours: func(d mail.Domain) bool { return n.dirs.snapshot().IsOurs(d) }, Keys: n.dkim.ring.Signing,
			Lasts: n.cfg.DKIM.Lasts, Now: n.o.Now, Logger: n.log,
		})
	}
	return all
}
