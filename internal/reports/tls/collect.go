package tls

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy"
)

// Limits bounds collecting and reporting.
type Limits struct {
	Domains int           // of one day that are kept; sessions of further ones are only counted
	Flush   time.Duration // how often what was counted goes into the store; a crash loses no more than this
	Look    time.Duration // how often it is looked for reports to send
	Spread  time.Duration // the reports of a day go out within this time after midnight. RFC 8460 §4.1
	Retry   time.Duration // after midnight, until when a report is tried. RFC 8460 §3
	Octets  int           // of one report, compressed; a larger one is sent without details
	Send    time.Duration // for handing over one report
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Domains: 10_000, Flush: time.Minute, Look: 10 * time.Minute, Spread: 4 * time.Hour, Retry: 24 * time.Hour,
		Octets: 10 << 20, Send: 2 * time.Minute,
	}
}

// keyPrefix begins the keys of what is counted: day and domain follow.
const keyPrefix = "y/r/"

const dayFormat = "2006-01-02"

// Collector counts sessions. It is safe for concurrent use.
type Collector struct {
	store  store.Store
	limits Limits
	now    func() time.Time
	log    *slog.Logger

	mu    sync.Mutex
	fresh map[string]*tally // not in the store yet, by key
	lost  int               // sessions of domains beyond the bound
}

// NewCollector returns a Collector that keeps what it counts in the store.
func NewCollector(s store.Store, l Limits, now func() time.Time, log *slog.Logger) *Collector {
	return &Collector{store: s, limits: l, now: now, log: log, fresh: map[string]*tally{}}
}

// Add counts one session, on the day that it is now. RFC 8460 §4.1: days are UTC.
func (c *Collector) Add(s tlspolicy.Session) {
	if s.Domain.IsZero() {
		return
	}
	key := keyPrefix + c.now().UTC().Format(dayFormat) + "/" + s.Domain.ASCII()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.fresh[key]
	if t == nil {
		if len(c.fresh) >= c.limits.Domains {
			c.lost++
			return
		}
		t = &tally{}
		c.fresh[key] = t
	}
	t.add(s)
}

// Run moves what was counted into the store until ctx ends, and once more then.
func (c *Collector) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.Flush(context.WithoutCancel(ctx))
			return
		case <-time.After(c.limits.Flush):
			c.Flush(ctx)
		}
	}
}

// Flush moves what was counted into the store.
func (c *Collector) Flush(ctx context.Context) {
	c.mu.Lock()
	fresh, lost := c.fresh, c.lost
	c.fresh, c.lost = map[string]*tally{}, 0
	c.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	kept := c.count(ctx)
	for key, t := range fresh {
		if err := c.keep(ctx, key, *t, kept); err != nil {
			c.log.Warn("TLS results not kept", "domain", key[len(keyPrefix):], "err", err)
			lost++
		}
	}
	if lost > 0 {
		c.log.Warn("TLS results of some domains are not counted", "count", lost)
	}
}

// errFull says that a day has as many domains as are kept.
var errFull = errors.New("tls: too many domains in one day")

// count returns how many domains each day has.
func (c *Collector) count(ctx context.Context) map[string]int {
	days := map[string]int{}
	err := c.store.Scan(ctx, store.Prefix([]byte(keyPrefix)), func(key, _ []byte) (bool, error) {
		day, _, _ := strings.Cut(string(key[len(keyPrefix):]), "/")
		days[day]++
		return true, nil
	})
	if err != nil {
		c.log.Warn("TLS results cannot be counted", "err", err)
	}
	return days
}

func (c *Collector) keep(ctx context.Context, key string, t tally, kept map[string]int) error {
	old, err := c.store.Get(ctx, []byte(key))
	day, _, _ := strings.Cut(key[len(keyPrefix):], "/")
	switch {
	case errors.Is(err, store.ErrNotFound) && kept[day] >= c.limits.Domains:
		return errFull
	case errors.Is(err, store.ErrNotFound):
		kept[day]++
	case err != nil:
		return err
	default:
		// What cannot be read is begun anew.
		if before, err := decodeTally(old); err == nil {
			before.merge(t)
			t = before
		}
	}
	value, err := t.encode()
	if err != nil {
		return err
	}
	_, err = c.store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: value}}}, store.Lazy)
	return err
}

// waiting is a domain's tally of a day that is over.
type waiting struct {
	key    string
	day    time.Time
	domain mail.Domain
	tally  tally
}

// over calls fn for every tally of a day before today.
func (c *Collector) over(ctx context.Context, fn func(waiting) error) error {
	today := c.now().UTC().Format(dayFormat)
	return c.store.Scan(ctx, store.Range{From: []byte(keyPrefix), To: []byte(keyPrefix + today)}, func(key, value []byte) (bool, error) {
		day, name, _ := strings.Cut(string(key[len(keyPrefix):]), "/")
		w := waiting{key: string(key)}
		var err, bad error
		w.day, err = time.Parse(dayFormat, day)
		w.domain, bad = mail.ParseDomain(name)
		if w.tally, bad = decoded(value, bad); err != nil || bad != nil {
			c.forget(ctx, w.key)
			return true, nil
		}
		return true, fn(w)
	})
}

// read returns a tally as it stands now.
func (c *Collector) read(ctx context.Context, key string) (tally, error) {
	return decoded(c.store.Get(ctx, []byte(key)))
}

func decoded(value []byte, err error) (tally, error) {
	if err != nil {
		return tally{}, err
	}
	return decodeTally(value)
}

func (c *Collector) forget(ctx context.Context, key string) {
	_, err := c.store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Delete: true}}}, store.Lazy)
	if err != nil {
		c.log.Warn("TLS results not forgotten", "domain", key[len(keyPrefix):], "err", err)
	}
}
