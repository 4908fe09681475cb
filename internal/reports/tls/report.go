package tls

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
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

// Reporter sends the reports of days that are over.
type Reporter struct {
	Collector *Collector
	Resolver  dnsx.Resolver
	Mail      *daily.Sender
	// Post hands a report over by HTTPS. RFC 8460 §5.4.
	Post         func(ctx context.Context, url string, gz []byte) error
	Organisation string
	Limits       Limits
	Now          func() time.Time
	Logger       *slog.Logger
}

// Run sends what is due until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	for {
		r.Send(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.Limits.Look):
		}
	}
}

// Send sends every report that is due now.
func (r *Reporter) Send(ctx context.Context) {
	now := r.Now().UTC()
	var due []waiting
	err := r.Collector.over(ctx, func(w waiting) error {
		// What was counted just before midnight needs its time to arrive.
		midnight := w.day.Add(24 * time.Hour)
		if now.Sub(midnight) >= 2*r.Limits.Flush+delay(w, r.Limits.Spread) {
			w.tally = tally{} // read again when its turn comes: a thousand domains' are not held at once
			due = append(due, w)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.Logger.Warn("TLS results cannot be read", "err", err)
	}
	for _, w := range due {
		if ctx.Err() != nil {
			return
		}
		var err error
		if w.tally, err = r.Collector.read(ctx, w.key); err == nil {
			err = r.sendOne(ctx, w)
		}
		if err != nil {
			r.Logger.Warn("a TLS report is not sent", "domain", w.key[len(keyPrefix):], "err", err)
		}
		// RFC 8460 §3: it is tried for 24 hours, and given up then.
		if err == nil || now.Sub(w.day) >= 24*time.Hour+r.Limits.Retry {
			r.Collector.forget(ctx, w.key)
		}
	}
}

// delay is how long after midnight a report goes out, so that not all of the world's
// arrive in one second. RFC 8460 §4.1.
func delay(w waiting, spread time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(w.key))
	return time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(spread))
}

// sendOne asks where the reports go and hands this one over; a domain that asks for
// none gets none. One place that takes it is enough.
func (r *Reporter) sendOne(ctx context.Context, w waiting) error {
	ctx, cancel := context.WithTimeout(ctx, r.Limits.Send)
	defer cancel()
	n, err := dnsx.ParseName("_smtp._tls." + w.domain.ASCII())
	if err != nil {
		return nil
	}
	a, err := r.Resolver.TXT(ctx, n)
	if err != nil {
		if dnsx.Permanent(err) {
			return nil
		}
		return err
	}
	places, err := FindRecord(a.Data)
	if err != nil {
		return nil // it asks for none, or says so in no way that can be read
	}
	m, gz, err := r.build(w)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range places {
		err := r.hand(ctx, p, m, gz)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", p, err))
	}
	return errors.Join(errs...)
}

func (r *Reporter) hand(ctx context.Context, p Destination, m daily.Mail, gz []byte) error {
	if p.URL != "" {
		return r.Post(ctx, p.URL, gz)
	}
	m.To = []mail.Address{p.Mail}
	_, err := r.Mail.Send(ctx, m)
	return err
}

// build writes the report of a domain, as mail and as what stands in it.
func (r *Reporter) build(w waiting) (daily.Mail, []byte, error) {
	doc := r.document(w)
	gz, err := compress(doc)
	if err == nil && len(gz) > r.Limits.Octets {
		for i := range doc.Policies {
			doc.Policies[i].Details = nil
		}
		gz, err = compress(doc)
	}
	if err != nil {
		return daily.Mail{}, nil, err
	}
	submitter := r.Mail.Account().Domain().ASCII()
	start, end := w.day.Unix(), w.day.Add(24*time.Hour).Unix()-1
	// RFC 8460 §5.1: the name tells who, about whom, and when.
	name := fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", submitter, w.domain.ASCII(), start, end, doc.ID[:8])
	text := fmt.Sprintf("This is a report about the TLS of mail to %s\r\non %s (UTC), as RFC 8460 describes it.\r\n", w.domain.ASCII(), w.day.Format(dayFormat))
	return daily.Mail{
		// RFC 8460 §5.3.
		Subject: fmt.Sprintf("Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s@%s>", w.domain.ASCII(), submitter, doc.ID, submitter),
		Fields: []daily.Field{
			{Name: "TLS-Report-Domain", Value: w.domain.ASCII()}, {Name: "TLS-Report-Submitter", Value: submitter},
			{Name: "TLS-Required", Value: "No"}, // RFC 8689 §3: it must arrive where TLS is what fails
		},
		Type: `report; report-type="tlsrpt"`, Rule: "tls-report", TLS: mail.TLSOptional,
		Parts: []daily.Part{
			{Type: "text/plain; charset=us-ascii", Data: []byte(text)},
			{Type: "application/tlsrpt+gzip", Name: name, Data: gz, Base64: true},
		},
	}, gz, nil
}

func (r *Reporter) document(w waiting) document {
	id := sha256.Sum256([]byte(r.Organisation + " " + w.key))
	doc := document{
		Organisation: r.Organisation, Contact: r.Mail.Account().String(), ID: hex.EncodeToString(id[:16]),
		Range: dateRange{w.day.Format(time.RFC3339), w.day.Add(24*time.Hour - time.Second).Format(time.RFC3339)},
	}
	for _, p := range w.tally.Policies {
		doc.Policies = append(doc.Policies, entry{
			Policy:  policy{Type: string(p.Kind), String: p.Policy, Domain: w.domain.ASCII(), Hosts: p.Hosts},
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
