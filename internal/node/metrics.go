package node

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/fact"
	"sallyport/internal/kit/listen"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// openMetrics makes the counters where they are served, and lets them see the store.
func (n *Node) openMetrics() (err error) {
	if len(n.config().Metrics.Listen) == 0 {
		return nil
	}
	n.metrics, err = metrics.New(metrics.Options{Version: n.o.Version, Limits: metrics.DefaultLimits(), State: n.state})
	n.store = timedStore{n.store, n.metrics}
	return err
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

// timedStore counts and times changes of the store.
type timedStore struct {
	store.Store
	set *metrics.Set
}

// Apply implements store.Store.
func (s timedStore) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	began := time.Now()
	r, err := s.Store.Apply(ctx, tx, d)
	if ctx.Err() == nil {
		s.set.Commit(d, time.Since(began), err)
	}
	return r, err
}

// Checkpoint implements store.Checkpointer where the store below does.
func (s timedStore) Checkpoint(ctx context.Context, dir string) error {
	at, ok := s.Store.(store.Checkpointer)
	if !ok {
		return errors.New("this store cannot be copied")
	}
	return at.Checkpoint(ctx, dir)
}

// state reads what is not counted. It is called once for each scrape.
func (n *Node) state(ctx context.Context) metrics.State {
	queue, log := n.spool.Stats(), n.trace.Stats()
	v := metrics.State{
		Open: n.admission.Open(), Messages: queue.Entries, Held: queue.Held, Active: queue.Claims, Octets: queue.Octets,
		Facts: log.Facts, Sequenced: log.Sequenced, Signed: log.Signed, SignedAt: log.SignedAt, Skipped: log.Skipped,
	}
	v.Capped = n.capped(ctx)
	v.Connections, v.TurnedAway = n.admission.Counts()
	if started := n.started.Load(); started != nil {
		v.Started = *started
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(n.config().Data, &disk); err == nil {
		v.DiskFree = disk.Bavail * uint64(disk.Bsize)
	}
	v.DiskLow, v.MemoryRefused = n.diskLow(), n.memory.Use().Refused
	if oldest, ok := n.oldest(ctx); ok {
		v.Oldest = max(n.o.Now().Sub(oldest), time.Millisecond)
	}
	if leaf := n.leaf(); leaf != nil {
		v.CertificateExpires = leaf.NotAfter
	}
	return v
}

// oldest returns when the oldest message that is not held was received.
func (n *Node) oldest(ctx context.Context) (at time.Time, ok bool) {
	free := false
	err := n.spool.List(ctx, spool.Filter{Held: &free, Limit: 1}, func(e spool.Entry) (bool, error) {
		at, ok = e.Received, true
		return false, nil
	})
	return at, ok && err == nil
}

// leaf is the certificate that the doors present; nil: none.
func (n *Node) leaf() *x509.Certificate {
	c := n.now().tls
	if c == nil || len(c.Certificates) == 0 {
		return nil
	}
	return c.Certificates[0].Leaf
}

func (n *Node) listenMetrics(ctx context.Context) (err error) {
	n.metricsAt, err = n.listenAll(ctx, "metrics.listen", n.config().Metrics.Listen, listen.TCP)
	return err
}

func (n *Node) unbindMetrics() {
	_ = listen.Close(n.metricsAt)
	n.metricsAt = nil
}

// metricsParts serves the metrics, at every address that they have.
func (n *Node) metricsParts() []part {
	if len(n.metricsAt) == 0 {
		return nil
	}
	return []part{{"metrics", func(ctx context.Context) error { return n.metrics.Serve(ctx, n.log, n.metricsAt...) }}}
}
