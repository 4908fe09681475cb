package node

import (
	"context"
	"errors"

	"sallyport/internal/nexthop/token"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

// buildWays makes every way by which mail leaves.
func (n *Node) buildWays(ctx context.Context, next, last *generation) error {
	o, err := settings.Ways(next.cfg, n.o.World)
	o.Journal, o.Exchangers.Store, o.Exchangers.Report = n.data.Trace, n.data.Store, n.tlsResults.Add
	o.Tokens.Tell = n.tellOfToken
	var former *ways.Ways
	if last != nil {
		former = last.ways
	}
	var faulty error
	next.ways, faulty = ways.Build(ctx, o, former)
	return errors.Join(err, settings.WaysFaults(next.cfg, faulty))
}

// tellOfToken tells that an endpoint gives no token any more, or one again.
func (n *Node) tellOfToken(ctx context.Context, e token.Endpoint, fault error) {
	operate.TokenAlarm{Write: n.data.Trace.Write, Now: n.o.Now, Logger: n.log}.Changed(ctx, settings.RoutesOf(n.config(), e), fault)
}

// tokenTroubles are the routes whose mail waits for a token.
func (n *Node) tokenTroubles() (all []operate.TokenTrouble) {
	for _, t := range n.now().ways.Troubles() {
		all = append(all, operate.TokenTrouble{Routes: settings.RoutesOf(n.config(), t.At), Since: t.Since, Fault: t.Err.Error()})
	}
	return all
}

// ways are those in force.
func (n *Node) ways() ways.Current { return func() *ways.Ways { return n.now().ways } }
