package mx

import (
	"context"
	"slices"
	"strings"

	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
)

// elsewhere finds a connection to another exchanger of the destination than the one that deferred a
// message, which is named as in outcomes; nil when there is none. RFC 5321 §5.1
func (t *Targets) elsewhere(whole context.Context, to destination, j nexthop.Job, not string) *client.Client {
	ctx, cancel := context.WithTimeoutCause(whole, t.o.Limits.Search, client.ErrTimeout)
	defer cancel()
	s := t.search(to, j)
	return s.first(ctx, inTurn(s.others(ctx, not), j.Attempt), false)
}

// others returns where else than at one address mail for the destination may be taken: at the other hosts,
// the best first, and then at the other addresses of the same one.
func (s *search) others(ctx context.Context, not string) []endpoint {
	var all []endpoint
	for _, group := range s.begin(ctx) {
		group = s.some(group)
		if len(group) == 0 || s.tired(ctx) {
			break
		}
		ends, ours := s.resolve(ctx, group)
		if ours { // RFC 5321 §5.1: what is no better than ourselves is not tried
			break
		}
		all = append(all, ends...)
	}
	all = slices.DeleteFunc(all, func(e endpoint) bool { return remote(e.host, e.addr, s.t.o.Port) == not })
	var rest, same []endpoint
	for _, e := range all {
		if strings.HasPrefix(not, e.host.text()+" ") {
			same = append(same, e)
		} else {
			rest = append(rest, e)
		}
	}
	return append(rest, same...)
}

// inTurn has each attempt but the first two, which begin with the best, begin with the next one.
func inTurn(all []endpoint, attempt int) []endpoint {
	if len(all) == 0 {
		return nil
	}
	turn := max(attempt-2, 0) % len(all)
	return slices.Concat(all[turn:], all[:turn])
}
