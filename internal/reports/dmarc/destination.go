package dmarc

import (
	"context"
	"net/url"
	"strings"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// addresses are those of the mailto URIs of a record, in their order. Others are of
// no use: RFC 9990 knows mail alone.
func addresses(uris []string) (out []mail.Address) {
	for _, uri := range uris {
		scheme, rest, _ := strings.Cut(uri, ":")
		if !strings.EqualFold(scheme, "mailto") {
			continue
		}
		rest, _, _ = strings.Cut(rest, "?")
		text, err := url.PathUnescape(rest)
		if err != nil {
			continue
		}
		a, err := mail.ParseAddress(text, mail.ASCII)
		if err != nil || a.Domain().IsZero() {
			continue
		}
		out = append(out, a)
	}
	return out
}

// record returns the one DMARC record at a name; false: there is none, or several.
func (f *form) record(ctx context.Context, name string) (dmarc.Record, bool, error) {
	all, err := f.records(ctx, name)
	if err != nil || len(all) != 1 {
		return dmarc.Record{}, false, err
	}
	return all[0], true, nil
}

func (f *form) records(ctx context.Context, name string) (out []dmarc.Record, err error) {
	n, err := dnsx.ParseName(name)
	if err != nil {
		return nil, nil // too long for the DNS: there can be none
	}
	a, err := f.Resolver.TXT(ctx, n)
	if err != nil {
		if dnsx.Permanent(err) {
			return nil, nil
		}
		return nil, err
	}
	for _, text := range a.Data {
		if rec, ok := dmarc.Parse(text); ok {
			out = append(out, rec)
		}
	}
	return out, nil
}

// allowed returns where the report about a domain goes in the place of an address
// that its record names: there, elsewhere at that host, or nowhere. RFC 9990 §4.
func (f *form) allowed(ctx context.Context, about mail.Domain, to mail.Address) ([]mail.Address, error) {
	host := to.Domain()
	same, err := f.sameOrganization(ctx, about, host)
	if err != nil {
		return nil, err
	}
	if same {
		return []mail.Address{to}, nil
	}
	all, err := f.records(ctx, about.ASCII()+"._report._dmarc."+host.ASCII())
	if err != nil || len(all) == 0 {
		return nil, err
	}
	for _, rec := range all {
		if len(rec.Aggregate) == 0 {
			continue
		}
		// It may lead elsewhere at that host, and nowhere else.
		instead := addresses(rec.Aggregate)
		for _, a := range instead {
			if a.Domain() != host {
				return nil, nil
			}
		}
		return instead, nil
	}
	return []mail.Address{to}, nil
}

func (f *form) sameOrganization(ctx context.Context, a, b mail.Domain) (bool, error) {
	if a == b {
		return true, nil
	}
	one, err := f.organization(ctx, a)
	if err != nil {
		return false, err
	}
	two, err := f.organization(ctx, b)
	return one == two, err
}

// organization finds the organizational domain by the tree walk. RFC 9989 §4.10.2.
func (f *form) organization(ctx context.Context, d mail.Domain) (mail.Domain, error) {
	w := dmarc.NewWalk(d)
	for {
		at, more := w.Next()
		if !more {
			return w.Organization(), nil
		}
		n, err := dnsx.ParseName("_dmarc." + at.ASCII())
		if err != nil {
			w = w.Add(nil)
			continue
		}
		answer, err := f.Resolver.TXT(ctx, n)
		if err != nil && !dnsx.Permanent(err) {
			return mail.Domain{}, err
		}
		w = w.Add(answer.Data)
	}
}
