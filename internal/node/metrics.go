package node

import (
	"context"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/node/doors"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/store"
	"sallyport/internal/trust/guard"
)

// openMetrics makes the counters where they are served, and returns what lets them see the store.
func (n *Node) openMetrics() (watched func(store.Store) store.Store, err error) {
	if len(n.config().Metrics.Listen) == 0 {
		return nil, nil
	}
	n.metrics, err = metrics.New(metrics.Options{Version: n.o.Version, Limits: metrics.DefaultLimits(), State: n.state})
	return n.metrics.Timed, err
}

// observer returns who sees facts as they happen.
func (n *Node) observer() func(fact.Fact) {
	if n.metrics == nil {
		return n.o.Events
	}
	return func(f fact.Fact) {
		n.metrics.Fact(f)
		if n.o.Events != nil {
			n.o.Events(f)
		}
	}
}

// state reads what is not counted. It is called once for each scrape.
func (n *Node) state(ctx context.Context) metrics.State {
	queue, log, met := n.data.Spool.Stats(), n.data.Trace.Stats(), n.doors.Count()
	v := metrics.State{
		Open: met.Posting + met.Reading, Reading: met.Reading, Connections: met.Entered, TurnedAway: met.TurnedAway, Messages: queue.Entries, Held: queue.Held, Active: queue.Claims, Octets: queue.Octets,
		Facts: log.Facts, Sequenced: log.Sequenced, Signed: log.Signed, SignedAt: log.SignedAt, Skipped: log.Skipped,
	}
	v.Capped = n.capped(ctx)
	_, v.Filling, v.Full = n.data.Quota.Filled()
	v.Tokenless = len(n.tokenTroubles())
	trusted := n.networks.Count()
	v.NetworksOpen, v.NetworksWaiting, v.NetworksClosed = trusted[guard.StateOpen], trusted[guard.StateWaiting], trusted[guard.StateClosed]
	v.Guessed = n.data.Accounts.CountGuessedAt()
	var err error
	if v.Ending, err = n.operator.CountEnding(ctx); err != nil {
		n.log.Warn("the certificates that end are not known", "err", err)
	}
	if v.Incidents, err = n.incidents.Log.Count(ctx); err != nil {
		n.log.Warn("the open incidents are not known", "err", err)
	}
	if hook, err := n.webhook.State(ctx); err != nil {
		n.log.Warn("what the webhook was not told of is not known", "err", err)
	} else if hook != nil {
		v.WebhookWaiting, v.WebhookTold, v.WebhookFailed = hook.Waiting, hook.Delivered, hook.Failed
	}
	if started := n.started.Load(); started != nil {
		v.Started = *started
	}
	v.DiskFree, _, _ = diskspace.Usage(n.config().Data) // 0: it is not known
	v.DiskLow, v.MemoryRefused = n.data.Disks.IsLow(), n.doors.Memory().Use().Refused
	if oldest, ok := n.operator.Oldest(ctx); ok {
		v.Oldest = max(n.o.Now().Sub(oldest), time.Millisecond)
	}
	if leaf := n.leaf(); leaf != nil {
		v.CertificateExpires = leaf.NotAfter
	}
	return v
}

// metricsParts serves the metrics, at every address that they have.
func (n *Node) metricsParts() []part {
	at := n.doors.Of(doors.ServiceMetrics)
	if len(at) == 0 {
		return nil
	}
	return []part{{"metrics", func(ctx context.Context) error { return n.metrics.Serve(ctx, n.log, at...) }}}
}
