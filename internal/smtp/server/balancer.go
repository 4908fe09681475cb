package server

import (
	"context"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/smtp/proxy"
)

// origin is where a connection comes from.
type origin struct {
	remote   netip.AddrPort
	balancer netip.AddrPort // that passed it on; zero: nobody
}

// balanced reports whether an address is a balancer's.
func (s *server) balanced(a netip.Addr) bool {
	for _, p := range s.cfg.Balancers {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}

// serveBehind serves a connection that a balancer passed on. Without a proper header
// nothing is known of the client, so there is nobody to answer.
func (s *server) serveBehind(ctx context.Context, nc net.Conn, balancer netip.AddrPort, p *place) {
	from, err := s.readOrigin(ctx, nc, balancer)
	if err != nil {
		s.counted.headless.add(&s.cfg, "connections closed: no proper PROXY header", "balancer", balancer.String(), "err", err.Error())
		_ = nc.Close()
		return
	}
	counted := from.remote.Addr()
	if from.balancer == (netip.AddrPort{}) {
		counted = countedAddr(counted)
	}
	if !p.join(counted, &s.cfg.Limits) {
		s.turnAway(nc, tooMany())
		return
	}
	s.serve(ctx, nc, from, p)
}

// readOrigin reads the header, within Limits.ProxyTimeout and not beyond a shutdown.
// A balancer that speaks for itself is the client.
func (s *server) readOrigin(ctx context.Context, nc net.Conn, balancer netip.AddrPort) (origin, error) {
	if err := nc.SetReadDeadline(s.cfg.Now().Add(s.cfg.Limits.ProxyTimeout)); err != nil {
		return origin{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	h, err := proxy.Read(nc)
	if err != nil {
		return origin{}, err
	}
	if h.Local {
		return origin{remote: balancer}, nil
	}
	return origin{remote: h.Client, balancer: balancer}, nil
}
