package surroundings

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/internal/autoconfig"
	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate/doctor"
)

// examinePrograms looks whether mail programs find their settings in the DNS of each domain.
func examinePrograms(ctx context.Context, r dnsx.Resolver, cfg config.Config, domains []mail.Domain,
	wait time.Duration) (all []doctor.Finding) {
	for _, d := range domains {
		s := settings.Programs(cfg, d)
		if len(s.Doors) == 0 {
			continue
		}
		seen := programsSeen{}
		for _, want := range s.SRV() {
			have, err := asked(ctx, wait, want.Name,
				func(ctx context.Context, n dnsx.Name) (dnsx.Answer[dnsx.SRV], error) { return r.SRV(ctx, n) })
			if seen.err = err; err != nil {
				break
			}
			if len(have) > 0 {
				seen.services = append(seen.services, want.Name)
			}
			if !slices.ContainsFunc(have, func(h dnsx.SRV) bool { return h.Port == want.Port && strings.EqualFold(h.Target, want.Target) }) && (len(have) > 0 || want.Port != 0) {
				seen.lacks = append(seen.lacks, want.Name)
			}
		}
		all = append(all, seen.judge(d)...)
		if seen.err != nil {
			return all // the DNS is silent, and would be about the others
		}
		if len(cfg.Autoconfig.Listen) > 0 {
			name, text := s.TXT()
			have, err := asked(ctx, wait, name,
				func(ctx context.Context, n dnsx.Name) (dnsx.Answer[string], error) { return r.TXT(ctx, n) })
			all = append(all, judgeDigest(d, name, text, have, err))
			all = append(all, examineAsked(ctx, r, d, wait))
		}
	}
	return all
}

// asked is what the DNS has at a name; nothing there is no error.
func asked[T any](ctx context.Context, wait time.Duration, name string,
	ask func(context.Context, dnsx.Name) (dnsx.Answer[T], error)) ([]T, error) {
	n, err := dnsx.ParseName(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	a, err := ask(ctx, n)
	if errors.Is(err, dnsx.ErrNoName) || errors.Is(err, dnsx.ErrNoData) {
		return nil, nil
	}
	return a.Data, err
}

// programsSeen is what the DNS says of the services of a domain.
type programsSeen struct {
	services []string // that it has records of
	lacks    []string // that are not as they should be
	err      error    // that kept something from being looked up
}

// judge says what it means.
func (s programsSeen) judge(d mail.Domain) []doctor.Finding {
	remedy := "sallyport domain records " + d.ASCII() + " prints them"
	switch {
	case s.err != nil:
		return []doctor.Finding{{Check: "dns", Subject: d.ASCII(), State: doctor.Unknown, What: "its records for mail programs (SRV) could not be looked up: " + mail.PlainLine(s.err.Error(), mail.TextShown), Remedy: "try again"}}
	case len(s.services) == 0:
		return []doctor.Finding{{Check: "dns", Subject: d.ASCII(), State: doctor.Note, What: "has no records by which mail programs find this server (SRV)", Remedy: remedy}}
	case len(s.lacks) > 0:
		return []doctor.Finding{{Check: "dns", Subject: d.ASCII(), State: doctor.Warning, What: "its records for mail programs say something else than [listen]: " + strings.Join(s.lacks, ", "), Remedy: remedy}}
	}
	return []doctor.Finding{{Check: "dns", Subject: d.ASCII(), State: doctor.Fine, What: "mail programs find this server (SRV)"}}
}

// examineAsked looks whether the names lead anywhere under which programs ask for the settings of a domain.
func examineAsked(ctx context.Context, r dnsx.Resolver, d mail.Domain, wait time.Duration) doctor.Finding {
	f := doctor.Finding{
		Check: "dns", Subject: d.ASCII(), State: doctor.Fine,
		What: "the names lead somewhere under which mail programs ask for settings",
	}
	var nowhere []string
	for _, host := range autoconfig.Hosts(d) {
		have, err := asked(ctx, wait, host.ASCII(),
			func(ctx context.Context, n dnsx.Name) (dnsx.Answer[netip.Addr], error) { return r.Addresses(ctx, n) })
		if err != nil {
			f.State, f.What, f.Remedy = doctor.Unknown, host.ASCII()+" could not be looked up: "+mail.PlainLine(err.Error(), mail.TextShown), "try again"
			return f
		}
		if len(have) == 0 {
			nowhere = append(nowhere, host.ASCII())
		}
	}
	if len(nowhere) > 0 {
		f.State, f.What, f.Remedy = doctor.Note, "no address has "+strings.Join(nowhere, ", ")+", where mail programs ask for settings", "sallyport domain records "+d.ASCII()+" prints what leads there"
	}
	return f
}

// judgeDigest judges the record that vouches for the settings. Programs that know it refuse
// settings that it does not fit.
func judgeDigest(d mail.Domain, name, text string, have []string, err error) doctor.Finding {
	f := doctor.Finding{
		Check: "dns", Subject: d.ASCII(), State: doctor.Fine,
		What: "the settings of mail programs are vouched for (" + name + ")",
	}
	remedy := "sallyport domain records " + d.ASCII() + " prints it"
	switch {
	case err != nil:
		f.State, f.What, f.Remedy = doctor.Unknown, "the record at "+name+" could not be looked up: "+mail.PlainLine(err.Error(), mail.TextShown), "try again"
	case len(have) == 0:
		f.State, f.What, f.Remedy = doctor.Note, "nothing vouches for the settings of mail programs at "+name, remedy
	case !slices.Contains(have, text):
		f.State, f.What, f.Remedy = doctor.Warning, "what stands at "+name+" does not fit the settings, and programs refuse them", remedy
	}
	return f
}
