// Package tls reports to other domains how the TLS of mail to them fared. RFC 8460.
//
// Reports counts the sessions of each UTC day by policy domain, and Form builds one
// report for each domain that asks for them and hands it over by mail or HTTPS;
// reports/daily does what all reports have in common. The record, the tally and the
// report are functions of values.
//
// It promises that nothing is sent before it is configured; that a domain gets one
// report a day at most, to two places at most; that no session of a report is itself
// reported; and that what it costs is bounded, whatever domains and results there are.
package tls

import (
	"errors"
	"net/url"
	"strings"

	"sallyport/internal/mail"
)

const (
	recordLead      = "v=TLSRPTv1"
	maxRecordOctets = 1024 // of a record that is read
	// MaxDestinations bounds to how many places a domain gets its reports.
	MaxDestinations = 2
)

var (
	// ErrNoRecord says that a domain asks for no reports.
	ErrNoRecord = errors.New("there is no TLSRPT record")
	// ErrRecord says that the record, or their number, breaks the rules.
	ErrRecord = errors.New("the TLSRPT record is not valid")
)

// Destination is a place for reports; one of its fields is set.
type Destination struct {
	Mail mail.Address
	URL  string // https
}

// String returns the destination as a URI.
func (d Destination) String() string {
	if d.URL != "" {
		return d.URL
	}
	return "mailto:" + d.Mail.String()
}

// FindRecord returns the destinations of the one record among the texts of
// _smtp._tls.domain. RFC 8460 §3: texts that do not begin as a record are not looked
// at, and more than one record is as bad as none.
func FindRecord(texts []string) ([]Destination, error) {
	var found []string
	for _, t := range texts {
		if isRecord(t) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNoRecord
	case 1:
		return ParseRecord(found[0])
	}
	return nil, ErrRecord
}

func isRecord(text string) bool {
	rest, ok := strings.CutPrefix(text, recordLead)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// ParseRecord reads a record. Destinations of a kind that is not known are passed
// over; without a known one it is ErrRecord. RFC 8460 §3.
func ParseRecord(text string) ([]Destination, error) {
	if len(text) > maxRecordOctets || !isRecord(text) {
		return nil, ErrRecord
	}
	var all []Destination
	given := false
	for _, f := range strings.Split(text, ";")[1:] {
		name, value, ok := strings.Cut(strings.Trim(f, " \t"), "=")
		if name == "" && !ok {
			continue
		}
		if !ok || name == "" || value == "" {
			return nil, ErrRecord
		}
		if name != "rua" || given {
			continue // RFC 8460 §3: unknown fields are passed over
		}
		given = true
		for uri := range strings.SplitSeq(value, ",") {
			if d, ok := destination(strings.Trim(uri, " \t")); ok && len(all) < MaxDestinations {
				all = append(all, d)
			}
		}
	}
	if len(all) == 0 {
		return nil, ErrRecord
	}
	return all, nil
}

func destination(uri string) (Destination, bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	switch strings.ToLower(scheme) {
	case "mailto":
		rest, _, _ = strings.Cut(rest, "?")
		text, err := url.PathUnescape(rest)
		if err != nil {
			return Destination{}, false
		}
		a, err := mail.ParseAddress(text, mail.ASCII)
		if _, literal := a.Literal(); err != nil || literal {
			return Destination{}, false
		}
		return Destination{Mail: a}, true
	case "https":
		u, err := url.Parse(uri)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			return Destination{}, false
		}
		return Destination{URL: u.String()}, true
	}
	return Destination{}, false
}
