package certificate

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/acme"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// Names say which names beside the host's a certificate is to bear.
type Names struct {
	Host     mail.Domain
	Stated   []mail.Domain // whatever the DNS says
	Policies []mail.Domain // hosts of policies, if the DNS leads from them to where Host is
	Resolver dnsx.Resolver // asked only for Policies
	Time     time.Duration // of one question; 0: acme.DefaultLimits
	Most     int           // with Host; 0: acme.DefaultLimits
	// Borne reports whether the certificate in force bears a name.
	Borne  func(mail.Domain) bool
	Logger *slog.Logger
}

// Wanted returns the names, those that are stated first.
func (n Names) Wanted(ctx context.Context) []mail.Domain {
	all := slices.Clone(n.Stated)
	if len(n.Policies) == 0 {
		return all
	}
	led := led(n.Host, n.Policies, n.Borne, func(d mail.Domain) ([]netip.Addr, error) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(n.Time, acme.DefaultLimits().Lookup))
		defer cancel()
		a, err := n.Resolver.Addresses(ctx, dnsx.NameOf(d))
		if dnsx.Permanent(err) {
			return nil, nil
		}
		return a.Data, err
	})
	if room := max(cmp.Or(n.Most, acme.DefaultLimits().Names)-1-len(all), 0); len(led) > room {
		n.Logger.Warn("a certificate bears no more names: some policies are served without one", "count", len(led)-room)
		led = led[:room]
	}
	return append(all, led...)
}

// led returns those of hosts that lead to where host leads, so that a name that nobody has
// set up does not keep the others from their certificate. While the DNS is silent those
// stay that the certificate bears already. look returns no address where the DNS says so.
func led(host mail.Domain, hosts []mail.Domain, borne func(mail.Domain) bool,
	look func(mail.Domain) ([]netip.Addr, error)) (all []mail.Domain) {
	own, ownErr := look(host)
	for _, h := range hosts {
		at, err := look(h)
		silent := err != nil || ownErr != nil
		if silent && borne(h) || !silent && sharesAddress(own, at) {
			all = append(all, h)
		}
	}
	return all
}

// sharesAddress reports whether two names lead to the same host.
func sharesAddress(a, b []netip.Addr) bool {
	return slices.ContainsFunc(a, func(at netip.Addr) bool { return slices.Contains(b, at) })
}
