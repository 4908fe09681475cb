package node

import (
	"context"
	"errors"

	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/settings"
)

// buildWays makes every way by which mail leaves.
func (n *Node) buildWays(ctx context.Context, next, last *generation) error {
	o, err := settings.Ways(next.cfg, n.o.World)
	o.Journal, o.Exchangers.Store, o.Exchangers.Report = n.data.Trace, n.data.Store, n.tlsResults.Add
	var former *ways.Ways
	if last != nil {
		former = last.ways
	}
	var faulty error
	next.ways, faulty = ways.Build(ctx, o, former)
	return errors.Join(err, settings.WaysFaults(next.cfg, faulty))
}

// ways are those in force.
func (n *Node) ways() ways.Current { return func() *ways.Ways { return n.now().ways } }
