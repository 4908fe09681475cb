package tls

import (
	"log/slog"
	"time"

	"sallyport/internal/reports/daily"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy"
)

// Limits bounds collecting and reporting, beside daily.Limits.
type Limits struct {
	Domains   int   // of one day that are kept; sessions of further ones are only counted
	DayOctets int64 // of one day that are kept in the store
	Mails     int   // reports that leave as mail in one day
	Octets    int   // of one report, compressed; a larger one is sent without details
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{Domains: 10_000, DayOctets: 256 << 20, Mails: 10_000, Octets: 10 << 20}
}

// The keys of what is counted, and of how many reports left on a day.
const (
	keyPrefix  = string(store.SpaceTLSResults)
	sentPrefix = string(store.SpaceTLSSent)
)

// Reports are the TLS reports of this server. They are safe for concurrent use.
type Reports struct {
	*daily.Reports[tally]
	limits Limits
}

// NewReports returns Reports that keep what they count in the store. passed is the time by which a report was tried for
// long, whatever the clock was set to.
func NewReports(s store.Store, l Limits, d daily.Limits, now, passed func() time.Time, log *slog.Logger) Reports {
	return Reports{limits: l, Reports: daily.NewReports(daily.ReportsOptions[tally]{
		Store: s, Limits: d, Room: daily.Room{Domains: l.Domains, Octets: l.DayOctets}, Now: now, Passed: passed, Logger: log,
		Kind: daily.Kind[tally]{Name: "TLS", Counted: keyPrefix, Sent: sentPrefix, Merge: (*tally).merge, Weight: tally.weight},
	})}
}

// Add counts one session.
func (r Reports) Add(s tlspolicy.Session) {
	// What one domain takes is bounded by itself.
	r.Count(s.Domain, func(t *tally, _ int) int {
		t.add(s)
		return 0
	})
}
