package callout

import (
	"context"
	"net/netip"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/named"
)

// Servers are the servers behind us as they stand now: where mail is delivered and who is
// asked about recipients.
type Servers struct {
	// InForce returns the way to them, and who asks them.
	InForce func() (*named.Set[directory.Server], *Asker)
}

// Target returns the way to a server; what that refuses is not known to be taken any more.
func (s Servers) Target(server directory.Server) nexthop.Target {
	set, asker := s.InForce()
	return asker.Learning(server.String(), set.Target(server))
}

// Ask returns what is known of an address at the server of a domain, or asks it, for a
// client; the zero client is this server itself.
func (s Servers) Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) Answer {
	set, asker := s.InForce()
	t, err := set.Find(d.Server)
	if err != nil {
		return Answer{Why: err.Error()}
	}
	return asker.Ask(ctx, d.Server.String(), t, client, a)
}

// Asks reports whether the server of a domain is being asked about an address right now.
func (s Servers) Asks(d directory.Domain, a mail.Address) bool {
	_, asker := s.InForce()
	return asker.Asks(d.Server.String(), a)
}

// Offer delivers a job to a server while its sender waits, and returns one outcome for
// each recipient.
func (s Servers) Offer(ctx context.Context, server directory.Server, j nexthop.Job) []mail.Outcome {
	return s.Target(server).Deliver(ctx, j)
}

// International reports whether the server of a domain takes international addresses;
// known is false where it was not met yet or cannot be.
func (s Servers) International(ctx context.Context, d directory.Domain, a mail.Address) (takes, known bool) {
	set, _ := s.InForce()
	t, err := set.Find(d.Server)
	if err != nil {
		return false, false
	}
	return t.International(ctx, a)
}
