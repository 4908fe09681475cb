package node

import (
	"context"
	"crypto/tls"

	"sallyport/internal/tlspolicy/mtasts"
)

// ownPolicy is the MTA-STS policy of every domain of ours.
func (n *Node) ownPolicy() mtasts.Policy {
	c := n.config()
	return mtasts.Own(c.Hostname, c.TLSPolicy.Mode, c.TLSPolicy.MaxAge)
}

// policyParts serves our own policy, at every address that it has.
func (n *Node) policyParts() []part {
	at := n.listeners.Of(servicePolicies)
	if len(at) == 0 {
		return nil
	}
	return []part{{"MTA-STS policy", func(ctx context.Context) error {
		return mtasts.Serve(ctx, n.ours, n.ownPolicy, func() *tls.Config { return n.now().tls }, n.log, at...)
	}}}
}
