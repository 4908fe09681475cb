// Package metering builds the server's metrics: it counts facts and what the store does, reads
// from every package what is not counted, and tells when a disk is low.
package metering

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/identity"
	"sallyport/internal/node/letters"
	"sallyport/internal/node/outflow"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/watching"
	"sallyport/internal/operate"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/store"
	"sallyport/internal/trust/guard"
)

// Rooms are what is read from.
type Rooms struct {
	settings.World
	Config   func() config.Config
	Started  func() *time.Time // nil: the server does not run
	Data     *datafolder.Folder
	Doors    *doors.Doors
	Identity *identity.Identity
	Letters  *letters.Letters
	Outflow  *outflow.Outflow
	Watchers *watching.Watchers
	Operator *operate.Operator
}

// Metering is that of one server.
type Metering struct {
	set *metrics.Set // nil: figures are served nowhere
	to  atomic.Pointer[Rooms]
}

// New makes the counters where a configuration has them served.
func New(cfg config.Config, version string) (m *Metering, err error) {
	m = &Metering{}
	if len(cfg.Metrics.Listen) > 0 {
		m.set, err = metrics.New(metrics.Options{Version: version, Limits: metrics.DefaultLimits(), State: m.state})
	}
	return m, err
}

// On reports whether figures are served.
func (m *Metering) On() bool { return m.set != nil }

// Watched returns what lets the counters see the store; nil: they need not.
func (m *Metering) Watched() func(store.Store) store.Store {
	if m.set == nil {
		return nil
	}
	return m.set.Timed
}

// Observer returns who sees facts as they happen, beside another who does; nil: nobody.
func (m *Metering) Observer(other func(fact.Fact)) func(fact.Fact) {
	if m.set == nil {
		return other
	}
	return func(f fact.Fact) {
		m.set.Fact(f)
		if other != nil {
			other(f)
		}
	}
}

// Read has figures read from rooms from now on.
func (m *Metering) Read(r Rooms) { m.to.Store(&r) }

// Serve serves the figures until ctx ends.
func (m *Metering) Serve(ctx context.Context, listeners []net.Listener) error {
	return m.set.Serve(ctx, m.to.Load().Logger, listeners...)
}

// WatchDisks tells when a disk is low, and when it is not any more, until ctx ends.
func (m *Metering) WatchDisks(ctx context.Context) {
	r := m.to.Load()
	alarm := operate.DiskAlarm{Write: r.Data.Trace.Write, Now: r.Now, Logger: r.Logger}
	r.Data.Disks.Watch(ctx, func(dir string, c diskspace.Change) { alarm.Changed(ctx, dir, c) })
}

// leastAge is the age that is told of the oldest message where there is one, however new: no age at
// all is an empty queue.
const leastAge = time.Millisecond

// state reads what is not counted. It is called once for each scrape.
func (m *Metering) state(ctx context.Context) metrics.State {
	s := m.to.Load()
	if s == nil {
		return metrics.State{}
	}
	var err error
	queue, log, met := s.Data.Spool.Stats(), s.Data.Trace.Stats(), s.Doors.Count()
	v := metrics.State{
		Open: met.Posting + met.Reading, Reading: met.Reading, Connections: met.Entered,
		TurnedAway: met.TurnedAway, Messages: queue.Entries, Held: queue.Held, Active: queue.Claims,
		Octets: queue.Octets,
		Facts:  log.Facts, Sequenced: log.Sequenced, Signed: log.Signed, SignedAt: log.SignedAt, Skipped: log.Skipped,
	}
	if capped, err := s.Operator.Capped(ctx); err == nil {
		v.Capped = len(capped)
	} else {
		s.Logger.Warn("the capped accounts are not known", "err", err)
	}
	_, v.Filling, v.Full = s.Data.Quota.Filled()
	v.Tokenless = len(s.Outflow.Tokenless())
	trusted := s.Watchers.Networks.Count()
	v.NetworksOpen, v.NetworksWaiting, v.NetworksClosed = trusted[guard.StateOpen], trusted[guard.StateWaiting], trusted[guard.StateClosed]
	v.Guessed = s.Data.Accounts.CountGuessedAt()
	if v.Ending, err = s.Operator.CountEnding(ctx); err != nil {
		s.Logger.Warn("the certificates that end are not known", "err", err)
	}
	if v.Incidents, err = s.Watchers.Incidents.Log.Count(ctx); err != nil {
		s.Logger.Warn("the open incidents are not known", "err", err)
	}
	if hook, err := s.Letters.Webhook.State(ctx); err != nil {
		s.Logger.Warn("what the webhook was not told of is not known", "err", err)
	} else if hook != nil {
		v.WebhookWaiting, v.WebhookTold, v.WebhookFailed = hook.Waiting, hook.Delivered, hook.Failed
	}
	if started := s.Started(); started != nil {
		v.Started = *started
	}
	v.DiskFree, _, _ = diskspace.Usage(s.Config().Data) // 0: it is not known
	v.DiskLow, v.MemoryRefused = s.Data.Disks.IsLow(), s.Doors.Memory().Use().Refused
	_, v.Damaged = s.Data.Damage.Open()
	if oldest, ok := s.Operator.Oldest(ctx); ok {
		v.Oldest = max(s.Now().Sub(oldest), leastAge)
	}
	if leaf := s.Identity.Leaf(); leaf != nil {
		v.CertificateExpires = leaf.NotAfter
	}
	return v
}
