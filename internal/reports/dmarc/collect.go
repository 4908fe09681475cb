// Package dmarc reports to other domains what came here in their name: DMARC aggregate
// reports. RFC 9990.
//
// Reports counts messages of each UTC day by policy domain and by what is alike about
// them, and builds one report for each domain that asks, which it hands over as mail;
// reports/daily does what all reports have in common.
//
// It promises that a domain gets one report a day at most, at two addresses at most;
// that nobody gets one who does not ask for it, by the record of the domain itself or,
// for another's, of the destination; that not more reports leave in a day than is
// allowed; and that a report is marked as sent in the act that queues it.
package dmarc

import (
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/format"
	"sallyport/internal/store"
)

// Limits bounds collecting and reporting, beside daily.Limits.
type Limits struct {
	Domains   int   // of one day that are kept
	Rows      int   // of one domain and day that are kept; messages of further kinds are only counted
	Fresh     int   // rows of all domains that wait in memory for the store
	DayOctets int64 // of one day that are kept in the store
	Addresses int   // to which a domain's report goes. RFC 9990 §3.5 leaves it to us
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{Domains: 5000, Rows: 500, Fresh: 20_000, DayOctets: 64 << 20, Addresses: 2}
}

// The keys of what is counted, and of how many reports left on a day.
const (
	keyPrefix  = string(store.SpaceDMARC)
	sentPrefix = string(store.SpaceDMARCSent)
)

// Reports are the DMARC reports of this server. They are safe for concurrent use.
type Reports struct {
	*daily.Reports[tally]
	limits Limits
	log    *slog.Logger
}

// NewReports returns Reports that keep what they count in the store. passed is the time by which a report was tried for
// long, whatever the clock was set to.
func NewReports(s store.Store, l Limits, d daily.Limits, now, passed func() time.Time, log *slog.Logger) *Reports {
	return &Reports{limits: l, log: log, Reports: daily.NewReports(daily.ReportsOptions[tally]{
		Store: s, Limits: d, Room: daily.Room{Domains: l.Domains, Octets: l.DayOctets, Rows: l.Fresh}, Now: now, Passed: passed, Logger: log,
		Kind: daily.Kind[tally]{
			Name: "DMARC", Counted: keyPrefix, Sent: sentPrefix,
			Merge: func(t *tally, later tally) { t.merge(later, l.Rows) }, Weight: tally.weight,
		},
	})}
}

// Add counts one message, if the place of its policy asks for reports by mail.
func (r *Reports) Add(at dmarc.Place, rec format.Record) {
	if !asks(at.Record) {
		return
	}
	r.Count(at.Domain, func(t *tally, room int) int {
		t.Policy = published(at)
		before := len(t.Rows)
		t.add(rec, min(r.limits.Rows, before+room))
		return len(t.Rows) - before
	})
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

// weight is how many messages are counted.
func (t tally) weight() int {
	n := t.Lost
	for _, r := range t.Rows {
		n += r.Row.Count
	}
	return n
}
