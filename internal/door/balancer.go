package door

import (
	"context"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/smtp/proxy"
)

// Origin is where a connection comes from. Its addresses are zero if the transport has none.
type Origin struct {
	Remote   netip.AddrPort
	Balancer netip.AddrPort // that passed it on, and said that Remote is its client; zero: nobody
}

// readOrigin reads the header, within Limits.ProxyTimeout and not beyond a shutdown.
// A balancer that speaks for itself is the client.
func (e *Entrance) readOrigin(ctx context.Context, nc net.Conn, balancer netip.AddrPort) (*Origin, error) {
	if err := nc.SetReadDeadline(e.Now().Add(e.Limits.ProxyTimeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	h, err := proxy.Read(nc)
	if err != nil {
		return nil, err
	}
	if h.Local {
		return &Origin{Remote: balancer}, nil
	}
	return &Origin{Remote: h.Client, Balancer: balancer}, nil
}

// balanced reports whether an address is a balancer's.
func (e *Entrance) balanced(a netip.Addr) bool {
	for _, p := range e.Balancers {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}

// AddrPort returns an address without an IPv4-in-IPv6 wrapping; zero if the
// transport has no such addresses.
func AddrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
