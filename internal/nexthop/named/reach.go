package named

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
)

const (
	// mostAddresses is how many addresses of a next hop's name are considered.
	mostAddresses = 5
	// searchTime bounds the search for another place of a next hop that serves.
	searchTime = 5 * time.Minute
)

// Lookup returns what finds the addresses of a name, as Dialer does.
func Lookup() func(ctx context.Context, host string) ([]netip.Addr, error) {
	var r net.Resolver
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip", host) }
}

// tried is what became of one try to be served.
type tried struct {
	met    string       // who answered the call, as in outcomes; "": nobody did
	failed pool.Failure // why there is no connection, always as a reply that defers
	same   bool         // it would be the same at another address: what signs us in is missing, or was not taken
}

// spot is one place where a next hop may be reached.
type spot struct {
	host    string // the name or address that its certificate must bear
	address string // host:port
}

// open opens a connection, or says why there is none. Where who answers does not serve, the other addresses of
// the next hop's name and the hosts behind it are tried. RFC 5321 §5.1
func (t *Target) open(ctx context.Context, _ nexthop.Job) (*client.Client, pool.Failure) {
	first, cancel := t.shared(ctx)
	c, at := t.try(first, spot{t.place.Host, t.place.Address})
	cancel()
	if c != nil || at.same || ctx.Err() != nil {
		return c, at.failed
	}
	if c = t.another(ctx, at.met, 0); c != nil {
		return c, pool.Failure{}
	}
	return nil, at.failed
}

// shared leaves half of the time of a question for other places, where there are any: one that takes
// connections and says nothing would else have all of it.
func (t *Target) shared(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || len(t.others(ctx, t.named(spot{t.place.Host, t.place.Address}))) < 2 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, time.Until(end)/2, client.ErrTimeout)
}

// elsewhere finds a connection to another place than the one that deferred a message, which is named as
// in outcomes; nil when there is none. From the third attempt on each begins with the next one.
func (t *Target) elsewhere(ctx context.Context, j nexthop.Job, not string) *client.Client {
	return t.another(ctx, not, max(j.Attempt-2, 0))
}

// another tries the other places of the next hop, beginning with one of them.
func (t *Target) another(whole context.Context, not string, begin int) *client.Client {
	ctx, cancel := context.WithTimeoutCause(whole, searchTime, client.ErrTimeout)
	defer cancel()
	all := t.others(ctx, not)
	for i := range all {
		to := all[(begin+i)%len(all)]
		c, at := t.try(ctx, to)
		if c != nil {
			return c
		}
		t.means.Logger.Info("another place of a next hop does not serve", "remote", t.named(to), "reply", at.failed.Reply.String())
		if at.same || ctx.Err() != nil {
			break
		}
	}
	return nil
}

// others returns where else the next hop is reached than where it is named as in outcomes. "": nobody answered
// at its own name, whose addresses the dialer went through.
func (t *Target) others(ctx context.Context, not string) (all []spot) {
	if t.place.Network != "tcp" {
		return nil
	}
	if not != "" {
		all = t.spots(ctx, t.place.Address)
	}
	for _, hop := range strings.Fields(t.place.Others) {
		all = append(all, t.spots(ctx, hop)...)
	}
	return slices.DeleteFunc(all, func(s spot) bool { return t.named(s) == not })
}

// spots are the addresses of one host; the host itself where they are not known.
func (t *Target) spots(ctx context.Context, hop string) (all []spot) {
	host, port, err := net.SplitHostPort(hop)
	if err != nil {
		return nil
	}
	if hop == t.place.Address {
		host = t.place.Host
	}
	if _, err := netip.ParseAddr(host); err == nil || t.means.Lookup == nil {
		return []spot{{host, hop}}
	}
	addrs, err := t.means.Lookup(ctx, host)
	if err != nil {
		return nil
	}
	for _, ip := range addrs {
		if s := (spot{host, net.JoinHostPort(ip.Unmap().String(), port)}); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all[:min(len(all), mostAddresses)]
}

// named is who speaks at a place, as in outcomes.
func (t *Target) named(s spot) string {
	ip, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return s.host + " [?]"
	}
	return s.host + " [" + ip + "]:" + port
}

// try opens a connection to a place of the next hop.
func (t *Target) try(ctx context.Context, to spot) (*client.Client, tried) {
	var at tried
	for again := true; ; again = false {
		auth, f := t.credentials(ctx)
		if !f.Reply.IsZero() {
			return nil, tried{failed: f, same: true}
		}
		c, err := t.call(auth, to, &at.met).Open(ctx)
		if err == nil {
			said := int32(saidNo)
			if c.Offers("SMTPUTF8") {
				said = saidYes
			}
			t.utf8.Store(said)
			return c, tried{}
		}
		if t.refused(ctx, auth, err) && again {
			continue
		}
		var refused *client.ReplyError
		at.same = errors.As(err, &refused) && refused.Stage == client.StageAuth
		at.failed = pool.Failure{Reply: pool.ReplyFor(t.place.Address, err), Remote: t.place.Address}
		return nil, at
	}
}

// call is one try to get a connection, with what signs us in. met is who answered.
func (t *Target) call(auth *client.Credentials, to spot, met *string) pool.Call {
	p, log := t.place, t.means.Logger
	secure := t.tls
	if to.host != p.Host {
		secure = t.tls.Clone()
		secure.ServerName = to.host
	}
	return pool.Call{
		Dial: func(ctx context.Context) (net.Conn, error) {
			nc, err := t.means.Dial(ctx, p.Network, to.address)
			if err == nil && nc.RemoteAddr() != nil {
				*met = t.named(spot{to.host, nc.RemoteAddr().String()})
			}
			return nc, err
		},
		Connect: p.Limits.Connect,
		SMTP: client.Options{
			LMTP: p.LMTP, Hello: t.means.Hello, Host: to.host, TLS: client.TLSPolicy{Mode: p.TLS, Config: secure}, Auth: auth,
			Timeouts: t.means.Timeouts, Limits: t.means.SMTP,
		},
		WithoutTLS: func(err error) { log.Warn("TLS failed, going on without", "err", err) },
	}
}
