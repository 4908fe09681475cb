package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/smtp/server"
)

// Socket is a listening socket that was bound by others, systemd say, for a door.
type Socket struct {
	Door     string // mx, submission, submissions or acme
	Listener net.Listener
}

// socketHint says where the sockets of an activated server are named.
const socketHint = "systemd opens the listeners of this server: change ListenStream= in sallyport-%s.socket to the same addresses, and restart the socket unit"

// doorACME is where the challenges of a certificate authority are answered.
const doorACME = "acme"

// inherited returns the socket that was handed over for a place.
func (n *Node) inherited(p place) (net.Listener, bool) {
	return n.handedOver(p.kind.String(), p.at)
}

func (n *Node) handedOver(door string, at netip.AddrPort) (net.Listener, bool) {
	for _, s := range n.o.Sockets {
		if s.Door == door && sameAddress(s.Listener.Addr(), at) {
			return s.Listener, true
		}
	}
	return nil, false
}

func sameAddress(a net.Addr, at netip.AddrPort) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	have := tcp.AddrPort()
	return have.Port() == at.Port() && have.Addr().Unmap() == at.Addr().Unmap()
}

// checkSockets compares what was handed over with what the configuration names: a
// door that only one of them knows would be closed, or open and never answered.
// Nothing handed over agrees with everything.
func (n *Node) checkSockets(cfg config.Config) (faults []config.Fault) {
	if len(n.o.Sockets) == 0 {
		return nil
	}
	named := places(cfg)
	for _, p := range named {
		if _, ok := n.inherited(p); !ok && p.kind != server.KindSendmail {
			faults = append(faults, cfg.Fault(p.key, "no socket was handed over for "+p.String(), fmt.Sprintf(socketHint, p.kind)))
		}
	}
	for i, at := range cfg.ACME.Listen {
		if _, ok := n.handedOver(doorACME, at); !ok {
			faults = append(faults, cfg.Fault(fmt.Sprintf("acme.listen[%d]", i), "no socket was handed over for "+at.String(), fmt.Sprintf(socketHint, doorACME)))
		}
	}
	for _, s := range n.o.Sockets {
		key, is := "listen."+s.Door, func(at netip.AddrPort) bool { return sameAddress(s.Listener.Addr(), at) }
		known := slices.ContainsFunc(named, func(p place) bool { return p.kind.String() == s.Door && is(p.at) })
		if s.Door == doorACME {
			key, known = "acme.listen", slices.ContainsFunc(cfg.ACME.Listen, is)
		}
		if !known {
			faults = append(faults, cfg.Fault(key, "a socket was handed over for "+s.Listener.Addr().String()+", which is not named here", fmt.Sprintf(socketHint, s.Door)))
		}
	}
	return faults
}

// Alive reports whether the parts that everything waits for still answer: the store,
// and whoever changes the directory.
func (n *Node) Alive(ctx context.Context, within time.Duration) bool {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_ = n.book.Fault() // it takes the lock
		_, _ = n.store.Get(ctx, []byte("alive"))
	}()
	select {
	case <-answered:
		return true
	case <-ctx.Done():
		return true // it stops
	case <-time.After(within):
		return false
	}
}
