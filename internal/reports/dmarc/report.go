package dmarc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/format"
	"sallyport/internal/store"
)

// Options say who answers for reports, and how they are written.
type Options struct {
	Resolver     dnsx.Resolver
	Mail         *daily.Sender
	Organisation string
	Extra        string // further contact; "": none
	Daily        int    // reports that leave in one day
	Octets       int64  // of one report, compressed; the rarest rows are left out beyond
}

// Adopt puts options in force; nil: nobody answers for reports.
func (r *Reports) Adopt(o *Options) {
	if o == nil {
		r.Reports.Adopt(nil, 0)
		return
	}
	r.Reports.Adopt(&form{*o, r.limits.Addresses, r.log}, o.Daily)
}

type form struct {
	Options
	addresses int // to which a report goes
	log       *slog.Logger
}

// Hand hands the report about a domain over as mail, to where the domain asks for it now.
func (f *form) Hand(ctx context.Context, d daily.Due, t tally, mark []store.Mutation) (done bool, err error) {
	to, err := f.destinations(ctx, d.Domain)
	if err != nil {
		return false, err
	}
	if len(t.Rows) == 0 || len(to) == 0 {
		return true, nil // it asks for none any more, or not where it may
	}
	m, err := f.build(d, t)
	if err != nil {
		return true, err
	}
	m.To, m.Also = to, mark
	_, err = f.Mail.Send(ctx, m)
	return err == nil || errors.Is(err, daily.ErrRefused) || errors.Is(err, daily.ErrMail), err
}

// build writes the report of a domain as mail. RFC 9990 §3.5.2.
func (f *form) build(d daily.Due, t tally) (daily.Mail, error) {
	submitter := f.Mail.Account().Domain().ASCII()
	unique := d.ID(submitter)
	doc := format.Report{
		Organisation: f.Organisation, Contact: f.Mail.Account().String(), Extra: f.Extra, ID: unique + "@" + submitter,
		Begin: d.Day, End: d.Last(), Policy: t.Policy, Records: slices.Clone(t.Rows),
	}
	slices.SortStableFunc(doc.Records, func(a, b format.Record) int { return cmp.Compare(b.Row.Count, a.Row.Count) })
	gz, err := doc.Compress()
	for err == nil && int64(len(gz)) > f.Octets && len(doc.Records) > 1 {
		doc.Records = doc.Records[:len(doc.Records)/2]
		gz, err = doc.Compress()
	}
	if err == nil && int64(len(gz)) > f.Octets {
		err = fmt.Errorf("a report of %d octets is larger than dmarc_report.size", len(gz))
	}
	if err != nil {
		return daily.Mail{}, err
	}
	if left := t.Lost + len(t.Rows) - len(doc.Records); left > 0 {
		f.log.Info("a DMARC report is not whole", "domain", d.Domain.ASCII(), "count", left)
	}
	return daily.Mail{
		Subject: d.Subject(submitter, doc.ID), Type: "mixed", Rule: RuleDMARCReport,
		Parts: []daily.Part{
			d.Text("mail in the name of", submitter, "RFC 9990"),
			{Type: "application/gzip", Name: d.File(submitter, unique, "xml"), Data: gz, Base64: true},
		},
	}, nil
}

// destinations are where the reports about a domain go: what its record asks for now,
// where that may be.
func (f *form) destinations(ctx context.Context, d mail.Domain) ([]mail.Address, error) {
	record, ok, err := f.record(ctx, "_dmarc."+d.ASCII())
	if err != nil || !ok {
		return nil, err
	}
	var out []mail.Address
	for _, a := range addresses(record.Aggregate) {
		allowed, err := f.allowed(ctx, d, a)
		if err != nil {
			return nil, err
		}
		for _, a := range allowed {
			if len(out) < f.addresses && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out, nil
}
