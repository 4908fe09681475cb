package node

import (
	"context"
	"slices"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter"
	"sallyport/internal/filter/sender"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
)

// buildAuthentication makes the way to other domains' records. As long as the same
// servers are asked, what they said stays known.
func (n *Node) buildAuthentication(_ context.Context, next, last *generation) error {
	if last != nil && slices.Equal(next.cfg.MX.DNS, last.cfg.MX.DNS) {
		next.keys = last.keys
		return nil
	}
	resolver, err := settings.Resolver(next.cfg, n.o.World)
	if err != nil {
		return next.cfg.Fault("mx.dns", err.Error(), "")
	}
	next.keys = sender.NewKeys(resolver)
	return nil
}

// keysOfOthers is the way to the keys of others, as it stands now.
func (n *Node) keysOfOthers() sender.Keys { return n.now().keys }

// ours reports whether a domain is ours now.
func (n *Node) ours(d mail.Domain) bool { return n.book.Snapshot().IsOurs(d) }

// signer signs what our accounts send, and our own reports.
func (n *Node) signer() sender.Signer {
	return sender.Signer{
		On: func() bool { return n.config().DKIM.Sign }, Ours: n.ours, Keys: n.data.Ring.Signing,
		Lasts: func() time.Duration { return n.config().DKIM.Lasts }, Now: n.o.Now, Logger: n.log,
	}
}

// inspectors are asked at end of data in this order: who a stranger really is comes
// before what others make of it, and signing comes last. Each asks the configuration
// in force.
func (n *Node) inspectors() []intake.Inspector {
	all := []intake.Inspector{
		sender.NewAuthenticator(sender.Authenticator{
			Hostname: n.config().Hostname, Ours: n.ours, Policy: func() sender.Policy { return settings.Sender(n.config().Authentication) }, Resolver: func() dnsx.Resolver { return n.now().keys.Resolver },
			Keys: n.keysOfOthers, Observe: n.observeSender, Now: n.o.Now,
		}),
		n.bounces(),
	}
	all = append(all, filter.Inspectors(config.MaxMilters, func() *filter.Checks { return n.now().checks })...)
	return append(all, n.signer())
}
