package mx

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// host is a mail exchanger, or for a literal an address without a name.
type host struct {
	name    dnsx.Name
	literal netip.Addr
}

// text is how the host is named in words and in outcomes.
func (h host) text() string {
	if h.literal.IsValid() {
		return mail.FormatLiteral(h.literal)
	}
	return h.name.String()
}

// plan is the hosts to try, those of one preference together, the best first.
type plan [][]host

// exchangers makes a plan of MX records, or says why the domain takes no mail from
// us. RFC 5321 §5.1. own are our names.
func exchangers(mxs []dnsx.MX, own []dnsx.Name, id mail.ID) (plan, mail.Reply) {
	if len(mxs) == 0 {
		return nil, mail.R(451, "4.4.3", "the DNS gave neither records nor a reason")
	}
	// RFC 7505 §3: a null MX stands alone; beside others it means nothing.
	others := slices.DeleteFunc(slices.Clone(mxs), func(m dnsx.MX) bool { return m.Null })
	if len(others) == 0 {
		return nil, mail.R(556, "5.1.10", "the domain accepts no mail: it has a null MX")
	}
	ahead := beforeUs(others, own)
	if len(ahead) == 0 {
		return nil, mail.R(554, "5.4.6", "mail for the domain loops back: this server is its best mail exchanger, and does not know it")
	}
	usable := slices.DeleteFunc(ahead, func(m dnsx.MX) bool { return m.Host.IsZero() })
	if len(usable) == 0 {
		return nil, mail.R(550, "5.4.4", "the mail exchangers of the domain are no host names")
	}
	return grouped(usable, id), mail.Reply{}
}

// beforeUs drops the records that are no better than the one that names us, so
// that mail never goes in a circle. RFC 5321 §5.1.
func beforeUs(mxs []dnsx.MX, own []dnsx.Name) []dnsx.MX {
	best := 1 << 16
	for _, m := range mxs {
		if !m.Host.IsZero() && slices.Contains(own, m.Host) {
			best = min(best, int(m.Preference))
		}
	}
	return slices.DeleteFunc(slices.Clone(mxs), func(m dnsx.MX) bool { return int(m.Preference) >= best })
}

// grouped orders by preference. RFC 5321 §5.1: equal ones in an order of chance,
// which here is the message's own, so that a decision can be repeated.
func grouped(mxs []dnsx.MX, id mail.ID) plan {
	slices.SortFunc(mxs, func(a, b dnsx.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference),
			cmp.Compare(chance(id, a.Host.String()), chance(id, b.Host.String())), cmp.Compare(a.Host.String(), b.Host.String()))
	})
	var p plan
	seen := map[dnsx.Name]bool{}
	last := -1 // the preference of the last group
	for _, m := range mxs {
		if seen[m.Host] {
			continue
		}
		seen[m.Host] = true
		if int(m.Preference) != last {
			p, last = append(p, nil), int(m.Preference)
		}
		p[len(p)-1] = append(p[len(p)-1], host{name: m.Host})
	}
	return p
}

// chance is a number that nobody can foresee who does not know the queue id.
func chance(id mail.ID, what string) uint64 {
	sum := sha256.Sum256(append(id.Bytes(), what...))
	return binary.BigEndian.Uint64(sum[:8])
}

// spread orders the addresses of one host: each family by the message's chance,
// both in turn, so that a family that does not work costs every other try only.
func spread(addrs []netip.Addr, id mail.ID, most int) []netip.Addr {
	var families [2][]netip.Addr
	for _, ip := range addrs {
		f := 0
		if ip.Is4() {
			f = 1
		}
		families[f] = append(families[f], ip)
	}
	for _, f := range families {
		slices.SortFunc(f, func(a, b netip.Addr) int {
			return cmp.Or(cmp.Compare(chance(id, a.String()), chance(id, b.String())), a.Compare(b))
		})
	}
	first, second := families[0], families[1]
	if chance(id, "family")&1 == 1 {
		first, second = second, first
	}
	var out []netip.Addr
	for i := range max(len(first), len(second)) {
		out = append(out, first[min(i, len(first)):min(i+1, len(first))]...)
		out = append(out, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return out[:min(most, len(out))]
}
