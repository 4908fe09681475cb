// Package dmarc reports to other domains what came here in their name: DMARC aggregate
// reports. RFC 9990.
//
// Collector counts messages of each UTC day by policy domain and by what is alike
// about them, in bounded memory and in the store; beyond the bounds it counts what is
// lost. Reporter builds one report for each domain that asks, the day after, and hands
// it over as mail.
//
// It promises that a domain gets one report a day at most, at two addresses at most;
// that nobody gets one who does not ask for it, by the record of the domain itself or,
// for another's, of the destination; that not more reports leave in a day than is
// allowed; and that a report is marked as sent in the act that queues it.
package dmarc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/mail"
	"sallyport/internal/reports/format"
	"sallyport/internal/store"
)

// Limits bounds collecting and reporting.
type Limits struct {
	Domains   int           // of one day that are kept
	Rows      int           // of one domain and day that are kept; messages of further kinds are only counted
	Fresh     int           // rows of all domains that wait in memory for the store
	DayOctets int64         // of one day that are kept in the store
	Flush     time.Duration // how often what was counted goes into the store; a crash loses no more than this
	Look      time.Duration // how often it is looked for reports to send
	Spread    time.Duration // the reports of a day go out within this time after midnight
	Retry     time.Duration // after midnight, until when a report is tried
	Send      time.Duration // for the questions and the queueing of one report
	Addresses int           // to which a domain's report goes. RFC 9990 §3.5 leaves it to us
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Domains: 5000, Rows: 500, Fresh: 20_000, DayOctets: 64 << 20, Flush: time.Minute, Look: 10 * time.Minute,
		Spread: 4 * time.Hour, Retry: 24 * time.Hour, Send: time.Minute, Addresses: 2,
	}
}

const (
	// keyPrefix begins the keys of what is counted: day and domain follow.
	keyPrefix = "y/d/"
	// sentPrefix begins the keys of how many reports left on a day.
	sentPrefix = "y/e/"
	dayFormat  = "2006-01-02"
)

// Collector counts messages. It is safe for concurrent use.
type Collector struct {
	store  store.Store
	limits Limits
	now    func() time.Time
	log    *slog.Logger

	mu    sync.Mutex
	fresh map[string]*tally // not in the store yet, by key
	rows  int               // of fresh
	lost  int               // messages of domains beyond the bounds
}

// NewCollector returns a Collector that keeps what it counts in the store.
func NewCollector(s store.Store, l Limits, now func() time.Time, log *slog.Logger) *Collector {
	return &Collector{store: s, limits: l, now: now, log: log, fresh: map[string]*tally{}}
}

// Add counts one message on the day that it is now, if the place of its policy asks
// for reports by mail.
func (c *Collector) Add(at dmarc.Place, rec format.Record) {
	if at.Domain.IsZero() || !asks(at.Record) {
		return
	}
	key := keyPrefix + c.now().UTC().Format(dayFormat) + "/" + at.Domain.ASCII()
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
	t.Policy = published(at)
	before := len(t.Rows)
	most := min(c.limits.Rows, before+c.limits.Fresh-c.rows)
	t.add(rec, most)
	c.rows += len(t.Rows) - before
}

// asks reports whether a record asks for reports by mail, which are the only ones.
func asks(r dmarc.Record) bool {
	for _, uri := range r.Aggregate {
		if len(uri) > len(mailto) && strings.EqualFold(uri[:len(mailto)], mailto) {
			return true
		}
	}
	return false
}

const mailto = "mailto:"

// published is the policy as a report tells it. RFC 9990 §3.1.1.6: what is not stated
// has its default.
func published(at dmarc.Place) format.Policy {
	r := at.Record
	p := format.Policy{Domain: at.Domain.ASCII(), Discovery: "treewalk", P: r.Policy.String(), ADKIM: "r", ASPF: "r", Testing: "n", FO: r.FailureOpt}
	if r.Subdomains != dmarc.PolicyAbsent {
		p.SP = r.Subdomains.String()
	}
	if r.Missing != dmarc.PolicyAbsent {
		p.NP = r.Missing.String()
	}
	if r.StrictDKIM {
		p.ADKIM = "s"
	}
	if r.StrictSPF {
		p.ASPF = "s"
	}
	if r.Testing {
		p.Testing = "y"
	}
	return p
}

// tally is what came in the name of one policy domain on one day.
type tally struct {
	Policy format.Policy   `json:"policy"` // as it was last
	Rows   []format.Record `json:"rows"`
	Lost   int             `json:"lost,omitempty"` // messages that found no row

	index map[string]int // of Rows, by what is alike
}

// alike is a row without its number.
func alike(r format.Record) string {
	r.Row.Count = 0
	b, err := json.Marshal(r)
	if err != nil {
		return "" // of plain texts it cannot be
	}
	return string(b)
}

// add counts the messages of a row, in a row of its own if there are fewer than most.
func (t *tally) add(r format.Record, most int) {
	if t.index == nil {
		t.index = map[string]int{}
		for i, known := range t.Rows {
			t.index[alike(known)] = i
		}
	}
	r.Row.Count = max(r.Row.Count, 1)
	key := alike(r)
	if i, ok := t.index[key]; ok {
		t.Rows[i].Row.Count += r.Row.Count
		return
	}
	if len(t.Rows) >= most {
		t.Lost += r.Row.Count
		return
	}
	t.index[key] = len(t.Rows)
	t.Rows = append(t.Rows, r)
}

// merge adds what a later tally counted.
func (t *tally) merge(o tally, most int) {
	t.Policy = o.Policy
	t.Lost += o.Lost
	for _, r := range o.Rows {
		t.add(r, most)
	}
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
	c.fresh, c.rows, c.lost = map[string]*tally{}, 0, 0
	c.mu.Unlock()
	if len(fresh) == 0 && lost == 0 {
		return
	}
	kept := c.measure(ctx)
	for key, t := range fresh {
		if err := c.keep(ctx, key, *t, kept); err != nil {
			c.log.Warn("messages of a domain are not reported", "domain", key[len(keyPrefix):], "err", err)
			for _, r := range t.Rows {
				lost += r.Row.Count
			}
		}
	}
	if lost > 0 {
		c.log.Warn("messages of some domains are not reported", "count", lost)
	}
}

// errFull says that a day has as much as is kept.
var errFull = errors.New("dmarc: too much in one day")

// kept is what the store holds of one day.
type kept struct {
	domains int
	octets  int64
}

func (c *Collector) measure(ctx context.Context) map[string]kept {
	days := map[string]kept{}
	err := c.store.Scan(ctx, store.Prefix([]byte(keyPrefix)), func(key, value []byte) (bool, error) {
		day, _, _ := strings.Cut(string(key[len(keyPrefix):]), "/")
		k := days[day]
		days[day] = kept{k.domains + 1, k.octets + int64(len(value))}
		return true, nil
	})
	if err != nil {
		c.log.Warn("what is to be reported cannot be counted", "err", err)
	}
	return days
}

func (c *Collector) keep(ctx context.Context, key string, t tally, all map[string]kept) error {
	day, _, _ := strings.Cut(key[len(keyPrefix):], "/")
	k := all[day]
	old, err := c.store.Get(ctx, []byte(key))
	switch {
	case errors.Is(err, store.ErrNotFound) && k.domains >= c.limits.Domains:
		return errFull
	case errors.Is(err, store.ErrNotFound):
		k.domains++
	case err != nil:
		return err
	default:
		var before tally
		if json.Unmarshal(old, &before) == nil { // what cannot be read is begun anew
			before.merge(t, c.limits.Rows)
			t = before
		}
	}
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	k.octets += int64(len(value) - len(old))
	if k.octets > c.limits.DayOctets {
		return errFull
	}
	_, err = c.store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: value}}}, store.Lazy)
	if err == nil {
		all[day] = k
	}
	return err
}

// waiting is a domain's tally of a day that is over.
type waiting struct {
	key    string
	day    time.Time
	domain mail.Domain
}

// over returns what is kept of days before today; what cannot be read is forgotten.
func (c *Collector) over(ctx context.Context) (all []waiting, err error) {
	today := c.now().UTC().Format(dayFormat)
	err = c.store.Scan(ctx, store.Range{From: []byte(keyPrefix), To: []byte(keyPrefix + today)}, func(key, _ []byte) (bool, error) {
		day, name, _ := strings.Cut(string(key[len(keyPrefix):]), "/")
		at, err := time.Parse(dayFormat, day)
		d, bad := mail.ParseDomain(name)
		if err != nil || bad != nil {
			c.forget(ctx, string(key))
			return true, nil
		}
		all = append(all, waiting{string(key), at, d})
		return true, nil
	})
	return all, err
}

func (c *Collector) load(ctx context.Context, w waiting) (t tally, err error) {
	value, err := c.store.Get(ctx, []byte(w.key))
	if err == nil {
		err = json.Unmarshal(value, &t)
	}
	return t, err
}

func (c *Collector) forget(ctx context.Context, key string) {
	_, err := c.store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Delete: true}}}, store.Lazy)
	if err != nil {
		c.log.Warn("what was to be reported is not forgotten", "domain", key[len(keyPrefix):], "err", err)
	}
}

// sent returns how many reports left on a day, and the mutations that say that one
// more did, and that a tally is reported.
func (c *Collector) sent(ctx context.Context, now time.Time, w waiting) (n int, mark []store.Mutation, err error) {
	key := []byte(sentPrefix + now.UTC().Format(dayFormat))
	value, err := c.store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return 0, nil, err
	default:
		if n, err = strconv.Atoi(string(value)); err != nil {
			return 0, nil, err
		}
	}
	mark = []store.Mutation{{Key: key, Value: []byte(strconv.Itoa(n + 1))}, {Key: []byte(w.key), Delete: true}}
	return n, append(mark, store.Mutation{Key: []byte(sentPrefix + now.UTC().AddDate(0, 0, -7).Format(dayFormat)), Delete: true}), nil
}
