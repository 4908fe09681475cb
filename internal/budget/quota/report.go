package quota

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Filled is a mailbox, or a domain, that is nearly full.
type Filled struct {
	Account string    `json:"account,omitempty"` // "": it is about Domain
	Domain  string    `json:"domain,omitempty"`
	Used    Usage     `json:"used"`
	Quota   Quota     `json:"quota"`
	Share   int       `json:"share"`         // of the quota, in hundredths
	Full    time.Time `json:"full,omitzero"` // since when mail for it is refused; zero: it is not
}

// Filled returns those that are nearly full, the fullest first, up to a bound, and how many there
// are, and how many of them are full.
func (k *Keeper) Filled() (all []Filled, nearly, full int) {
	p := k.policy.Load()
	if p == nil || p.Warn <= 0 {
		return nil, 0, 0
	}
	k.mu.Lock()
	lines := make([]*line, 0, len(k.lines)+len(k.domains))
	for _, l := range k.lines {
		lines = append(lines, l)
	}
	for _, l := range k.domains {
		lines = append(lines, l)
	}
	k.mu.Unlock()
	for _, l := range lines {
		q, _, ok := k.quotaOf(l)
		k.mu.Lock()
		f := Filled{Used: l.used, Quota: q, Share: q.Share(l.used), Full: l.told.Full}
		k.mu.Unlock()
		if !ok || f.Share < p.Warn {
			continue
		}
		if f.Domain = l.domain.String(); l.of != nil {
			f.Account, f.Domain = l.account.String(), ""
		}
		all = append(all, f)
		if f.Share >= whole {
			full++
		}
	}
	slices.SortFunc(all, func(a, b Filled) int {
		if a.Share != b.Share {
			return b.Share - a.Share
		}
		return strings.Compare(a.Account+a.Domain, b.Account+b.Domain)
	})
	return all[:min(len(all), k.o.Limits.Reported)], len(all), full
}

// warning words what the owner is told. It asks for nothing that a forged letter would ask for.
func warning(l *line, q Quota, u Usage) Warning {
	w := Warning{Account: l.account, Domain: l.domain}
	of, it := fmt.Sprintf("The mailbox of %s", l.account), "A message that would pass this is not taken, and its sender is told so."
	if l.of == nil {
		of = fmt.Sprintf("The mailboxes of %s together", l.domain)
	}
	has := "hold"
	if l.of != nil {
		has = "holds"
	}
	w.Subject = fmt.Sprintf("%s %s %d %% of what is allowed", of, has, q.Share(u))
	w.Text = fmt.Sprintf("%s %s %s in %s, of %s.\n%s\n", of, has, Size(u.Octets), messages(u.Messages), q, it)
	if l.of != nil {
		w.Text += "\nRemove messages that nobody needs any more, also from Trash and Junk, and those that are\nmarked as deleted (in many programs: compact, or expunge). Or ask whoever administers this mail\nserver for more room. You need not tell anybody a password, nor open any page.\n"
	} else {
		w.Text += "\nWhich mailboxes are the largest tells: sallyport mailbox ls\nThe bound is the key domain.NAME.quota_total of the configuration.\n"
	}
	return w
}
