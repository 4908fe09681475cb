package tls

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/store"
)

// document is a report as RFC 8460 §4.4 writes it.
type document struct {
	Organisation string    `json:"organization-name"`
	Range        dateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	ID           string    `json:"report-id"`
	Policies     []entry   `json:"policies"`
}

type dateRange struct {
	Start string `json:"start-datetime"`
	End   string `json:"end-datetime"`
}

type entry struct {
	Policy  policy   `json:"policy"`
	Summary summary  `json:"summary"`
	Details []detail `json:"failure-details,omitempty"`
}

type policy struct {
	Type   string   `json:"policy-type"`
	String []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	Hosts  []string `json:"mx-host,omitempty"`
}

type summary struct {
	Success int `json:"total-successful-session-count"`
	Failure int `json:"total-failure-session-count"`
}

// Options say who answers for reports, and how they are written.
type Options struct {
	Resolver dnsx.Resolver
	Mail     *daily.Sender
	// Post hands a report over by HTTPS; see Poster.
	Post         func(ctx context.Context, url string, gz []byte) error
	Organisation string
}

// Adopt puts options in force; nil: nobody answers for reports.
func (r Reports) Adopt(o *Options) {
	if o == nil {
		r.Reports.Adopt(nil, 0)
		return
	}
	r.Reports.Adopt(&form{*o, r.limits.Octets}, r.limits.Mails)
}

type form struct {
	Options
	octets int
}

// Hand asks where the reports about a domain go and hands this one over; a domain that
// asks for none gets none. One place that takes it is enough.
func (f *form) Hand(ctx context.Context, d daily.Due, t tally, mark []store.Mutation) (done bool, err error) {
	n, err := dnsx.ParseName("_smtp._tls." + d.Domain.ASCII())
	if err != nil {
		return true, nil // too long for the DNS: it asks for none
	}
	a, err := f.Resolver.TXT(ctx, n)
	if err != nil {
		if dnsx.Permanent(err) {
			return true, nil
		}
		return false, err
	}
	places, err := FindRecord(a.Data)
	if err != nil {
		return true, nil // it asks for none, or says so in no way that can be read
	}
	m, gz, err := f.build(d, t)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, p := range places {
		err := f.hand(ctx, p, m, mark, gz)
		if err == nil {
			return true, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", p, err))
	}
	return false, errors.Join(errs...)
}

func (f *form) hand(ctx context.Context, p Destination, m daily.Mail, mark []store.Mutation, gz []byte) error {
	if p.URL != "" {
		return f.Post(ctx, p.URL, gz)
	}
	m.To, m.Also = []mail.Address{p.Mail}, mark
	_, err := f.Mail.Send(ctx, m)
	return err
}

// build writes the report of a domain, as mail and as what stands in it.
func (f *form) build(d daily.Due, t tally) (daily.Mail, []byte, error) {
	doc := f.document(d, t)
	gz, err := compress(doc)
	if err == nil && len(gz) > f.octets {
		for i := range doc.Policies {
			doc.Policies[i].Details = nil
		}
		gz, err = compress(doc)
	}
	if err != nil {
		return daily.Mail{}, nil, err
	}
	submitter := f.Mail.Account().Domain().ASCII()
	return daily.Mail{
		Subject: d.Subject(submitter, doc.ID+"@"+submitter),
		Fields: []daily.Field{
			{Name: "TLS-Report-Domain", Value: d.Domain.ASCII()}, {Name: "TLS-Report-Submitter", Value: submitter},
			{Name: "TLS-Required", Value: "No"}, // RFC 8689 §3: it must arrive where TLS is what fails
		},
		Type: `report; report-type="tlsrpt"`, Rule: RuleTLSReport, TLS: mail.TLSOptional,
		Parts: []daily.Part{
			d.Text("the TLS of mail to", submitter, "RFC 8460"),
			{Type: "application/tlsrpt+gzip", Name: d.File(submitter, doc.ID[:8], "json"), Data: gz, Base64: true},
		},
	}, gz, nil
}

func (f *form) document(d daily.Due, t tally) document {
	doc := document{
		Organisation: f.Organisation, Contact: f.Mail.Account().String(), ID: d.ID(f.Organisation),
		Range: dateRange{d.Day.Format(time.RFC3339), d.Last().Format(time.RFC3339)},
	}
	for _, p := range t.Policies {
		doc.Policies = append(doc.Policies, entry{
			Policy:  policy{Type: string(p.Kind), String: p.Policy, Domain: d.Domain.ASCII(), Hosts: p.Hosts},
			Summary: summary{p.Success, p.Failure}, Details: p.Details,
		})
	}
	return doc
}

func compress(doc document) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(doc); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
