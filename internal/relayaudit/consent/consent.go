// Package consent decides whether a mail server may be audited. One on loopback or in a private
// network may. Any other needs the word of whoever has its address: a TXT record at a name that
// the address's reverse name says and that leads back to it.
//
// Only who has the address can give it such a reverse name, and only who has the name can give it
// a record, so that nobody can consent for somebody else.
package consent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

const (
	// word begins the record.
	word = "sallyport-audit"
	// Longest is how far in the future a consent may end: what somebody forgot to remove must not
	// stand for ever.
	Longest = 90 * 24 * time.Hour
	// proposed is the time that a refusal proposes.
	proposed = 14 * 24 * time.Hour
	day      = "2006-01-02"
)

// Refusal says why an address may not be audited, and what would change that.
type Refusal struct {
	Why    string
	Advice string
}

func (r *Refusal) Error() string { return r.Why }

// needed reports whether an address may be audited only with consent.
func needed(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast()
}

// Ask returns nil if the address may be audited now, and otherwise a *Refusal. It asks the DNS
// only about addresses for which consent is needed.
func Ask(ctx context.Context, dns dnsx.Resolver, ip netip.Addr, now time.Time) error {
	ip = ip.Unmap()
	if !needed(ip) {
		return nil
	}
	if ip.IsUnspecified() || ip.IsMulticast() {
		return &Refusal{Why: fmt.Sprintf("%s is no address of a server", ip)}
	}
	names, err := dns.Pointers(ctx, ip)
	if err != nil {
		return &Refusal{
			Why: fmt.Sprintf("%s is a public address, and nobody is known to consent: its reverse name: %v", ip, err),
			Advice: fmt.Sprintf("Give %s a reverse name (PTR) that leads back to it, and that name a TXT record %q. Your provider sets reverse names.",
				ip, Record(now)),
		}
	}
	return askNames(ctx, dns, ip, names.Data, now)
}

// askNames asks each name of an address.
func askNames(ctx context.Context, dns dnsx.Resolver, ip netip.Addr, names []dnsx.Name, now time.Time) error {
	var why []string
	at := ""
	for _, n := range names {
		back, err := dns.Addresses(ctx, n)
		leads := slices.ContainsFunc(back.Data, func(a netip.Addr) bool { return a.Unmap() == ip })
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s: %v", n, err))
			continue
		case !leads:
			why = append(why, fmt.Sprintf("%s does not lead back to the address", n))
			continue
		}
		at = n.String()
		texts, err := dns.TXT(ctx, n)
		if err != nil {
			why = append(why, fmt.Sprintf("the TXT record of %s: %v", n, err))
			continue
		}
		reason := Given(texts.Data, now)
		if reason == "" {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %s", n, reason))
	}
	advice := fmt.Sprintf("If the server is yours, give its reverse name a record, and take it away afterwards:\n%s. IN TXT %q",
		strings.TrimSuffix(at, "."), Record(now))
	if at == "" {
		advice = fmt.Sprintf("Make a reverse name of %s lead back to it, and give it a TXT record %q.", ip, Record(now))
	}
	return &Refusal{
		Why:    fmt.Sprintf("%s is a public address, and nobody is known to consent: %s", ip, mail.Shown(strings.Join(why, "; "))),
		Advice: advice,
	}
}

// Record returns the text of a record that consents from now on for two weeks.
func Record(now time.Time) string {
	return word + " until=" + now.Add(proposed).UTC().Format(day)
}

var errForm = errors.New("must read " + word + " until=YYYY-MM-DD")

// Given returns "" if one of the texts consents at a time, and otherwise why none does.
func Given(texts []string, now time.Time) string {
	reason := "no record begins with " + word
	for _, t := range texts {
		fields := strings.Fields(t)
		if len(fields) == 0 || fields[0] != word {
			continue
		}
		until, err := parse(fields[1:])
		switch {
		case err != nil:
			reason = "the record " + err.Error()
		case !now.Before(until):
			reason = "the consent has ended"
		case until.After(now.Add(Longest + 24*time.Hour)):
			reason = fmt.Sprintf("the consent ends later than in %d days, which is longer than one may be", Longest/(24*time.Hour))
		default:
			return ""
		}
	}
	return reason
}

// parse reads what stands behind the word; the day named is the last one.
func parse(fields []string) (time.Time, error) {
	if len(fields) != 1 {
		return time.Time{}, errForm
	}
	value, found := strings.CutPrefix(fields[0], "until=")
	at, err := time.Parse(day, value)
	if !found || err != nil {
		return time.Time{}, errForm
	}
	return at.AddDate(0, 0, 1), nil
}
