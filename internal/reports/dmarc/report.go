package dmarc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/format"
)

// Reporter sends the reports of days that are over.
type Reporter struct {
	Collector    *Collector
	Resolver     dnsx.Resolver
	Mail         *daily.Sender
	Organisation string
	Extra        string // further contact; "": none
	Daily        int    // reports that leave in one day
	Octets       int64  // of one report, compressed; the rarest rows are left out beyond
	Limits       Limits
	Now          func() time.Time
	Logger       *slog.Logger
}

// errDaily says that a day has had its reports.
var errDaily = errors.New("as many reports as are allowed in a day have left")

// Send sends every report that is due now.
func (r *Reporter) Send(ctx context.Context) {
	now := r.Now().UTC()
	all, err := r.Collector.over(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.Logger.Warn("what is to be reported cannot be read", "err", err)
		}
		return
	}
	for _, w := range all {
		// What was counted just before midnight needs its time to arrive.
		midnight := w.day.Add(24 * time.Hour)
		if now.Sub(midnight) < 2*r.Limits.Flush+delay(w, r.Limits.Spread) {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		done, err := r.one(ctx, now, w)
		if err != nil {
			r.Logger.Warn("a DMARC report is not sent", "domain", w.domain.ASCII(), "err", err)
		}
		if done || now.Sub(midnight) >= r.Limits.Retry {
			r.Collector.forget(ctx, w.key)
		}
		if errors.Is(err, errDaily) {
			return
		}
	}
}

// delay is how long after midnight a report goes out, so that not all of the world's
// arrive in one second.
func delay(w waiting, spread time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(w.key))
	return time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(spread))
}

// one asks where a report goes and hands it over; done: it is not to be tried again.
func (r *Reporter) one(ctx context.Context, now time.Time, w waiting) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Limits.Send)
	defer cancel()
	n, mark, err := r.Collector.sent(ctx, now, w)
	if err != nil {
		return false, err
	}
	if n >= r.Daily {
		return false, errDaily
	}
	to, err := r.destinations(ctx, w.domain)
	if err != nil {
		return false, err
	}
	t, err := r.Collector.load(ctx, w)
	if err != nil || len(t.Rows) == 0 || len(to) == 0 {
		return true, err // it asks for none any more, or not where it may
	}
	m, err := r.build(w, t)
	if err != nil {
		return true, err
	}
	m.To, m.Also = to, mark
	_, err = r.Mail.Send(ctx, m)
	return err == nil || errors.Is(err, daily.ErrRefused) || errors.Is(err, daily.ErrMail), err
}

// build writes the report of a domain as mail. RFC 9990 §3.5.2.
func (r *Reporter) build(w waiting, t tally) (daily.Mail, error) {
	submitter := r.Mail.Account().Domain().ASCII()
	sum := sha256.Sum256([]byte(submitter + " " + w.key))
	unique := hex.EncodeToString(sum[:16])
	doc := format.Report{
		Organisation: r.Organisation, Contact: r.Mail.Account().String(), Extra: r.Extra, ID: unique + "@" + submitter,
		Begin: w.day, End: w.day.Add(24*time.Hour - time.Second), Policy: t.Policy, Records: slices.Clone(t.Rows),
	}
	slices.SortStableFunc(doc.Records, func(a, b format.Record) int { return cmp.Compare(b.Row.Count, a.Row.Count) })
	gz, err := doc.Compress()
	for err == nil && int64(len(gz)) > r.Octets && len(doc.Records) > 1 {
		doc.Records = doc.Records[:len(doc.Records)/2]
		gz, err = doc.Compress()
	}
	if err == nil && int64(len(gz)) > r.Octets {
		err = fmt.Errorf("a report of %d octets is larger than dmarc_report.size", len(gz))
	}
	if err != nil {
		return daily.Mail{}, err
	}
	if left := t.Lost + len(t.Rows) - len(doc.Records); left > 0 {
		r.Logger.Info("a DMARC report is not whole", "domain", w.domain.ASCII(), "count", left)
	}
	domain := w.domain.ASCII()
	text := fmt.Sprintf("This is a report about mail in the name of %s\r\nthat came to %s on %s (UTC), as RFC 9990 describes it.\r\n", short(domain), short(submitter), w.day.Format(dayFormat))
	return daily.Mail{
		Subject: fmt.Sprintf("Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>", domain, submitter, doc.ID),
		Type:    "mixed", Rule: "dmarc-report",
		Parts: []daily.Part{
			{Type: "text/plain; charset=us-ascii", Data: []byte(text)},
			{Type: "application/gzip", Name: fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", submitter, domain, doc.Begin.Unix(), doc.End.Unix(), unique), Data: gz, Base64: true},
		},
	}, nil
}

// short keeps a line of the text within what a part without an encoding may have.
func short(domain string) string {
	if len(domain) > 30 {
		return domain[:27] + "..."
	}
	return domain
}

// destinations are where the reports about a domain go: what its record asks for now,
// where that may be.
func (r *Reporter) destinations(ctx context.Context, d mail.Domain) ([]mail.Address, error) {
	record, ok, err := r.record(ctx, "_dmarc."+d.ASCII())
	if err != nil || !ok {
		return nil, err
	}
	var out []mail.Address
	for _, a := range addresses(record.Aggregate) {
		allowed, err := r.allowed(ctx, d, a)
		if err != nil {
			return nil, err
		}
		for _, a := range allowed {
			if len(out) < r.Limits.Addresses && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out, nil
}
