package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/smtpd"
)

// Socket is a listening socket that was bound by others, systemd say, for a door.
type Socket struct {
	Door     string // mx, submission or submissions
	Listener net.Listener
}

// socketHint says where the sockets of an activated server are named.
const socketHint = "systemd opens the listeners of this server: change ListenStream= in sallyport-%s.socket to the same addresses, and restart the socket unit"

// inherited returns the socket that was handed over for a place.
func (n *Node) inherited(p place) (net.Listener, bool) {
	for _, s := range n.o.Sockets {
		if s.Door == p.kind.String() && sameAddress(s.Listener.Addr(), p.at) {
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
		if _, ok := n.inherited(p); !ok && p.kind != smtpd.KindSendmail {
			faults = append(faults, cfg.Fault(p.key, "no socket was handed over for "+p.String(), fmt.Sprintf(socketHint, p.kind)))
		}
	}
	for _, s := range n.o.Sockets {
		if !slices.ContainsFunc(named, func(p place) bool {
			return p.kind.String() == s.Door && sameAddress(s.Listener.Addr(), p.at)
		}) {
			faults = append(faults, cfg.Fault("listen."+s.Door, "a socket was handed over for "+s.Listener.Addr().String()+", which is not named here", fmt.Sprintf(socketHint, s.Door)))
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
		_ = n.directoryFault() // it takes the lock
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
