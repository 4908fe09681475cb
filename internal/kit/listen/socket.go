package listen

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// Socket is a listening socket that was bound by others, systemd say, for a service.
type Socket struct {
	Service  string
	Listener net.Listener
}

// Mismatch is a place without its socket, or a socket without its place.
type Mismatch struct {
	Service string
	Name    string // of the place; "": there is none
	Message string
}

// Mismatches compares what was handed over with the places that should have been: one
// that only one side knows would be closed, or open and never answered. Nothing handed
// over agrees with everything.
func Mismatches(places []Place, sockets []Socket) (all []Mismatch) {
	if len(sockets) == 0 {
		return nil
	}
	for _, p := range places {
		if _, ok := handed(sockets, p); !ok && p.Handed && !p.Either {
			all = append(all, Mismatch{Service: p.Service, Name: p.Name, Message: "no socket was handed over for " + p.String()})
		}
	}
	for _, s := range sockets {
		if !slices.ContainsFunc(places, s.is) {
			all = append(all, Mismatch{
				Service: s.Service,
				Message: "a socket was handed over for " + s.Listener.Addr().String() + ", which is not named here",
			})
		}
	}
	return all
}

// privileged are the ports that root, or a capability, may bind: those below.
const privileged = 1024

// Early binds those of places that root alone may bind, for Options.Early: a process that
// is about to become another user calls it before. On an error, which is a *Fault, nothing
// stays bound.
func Early(ctx context.Context, places []Place) (bound []Socket, err error) {
	for _, p := range places {
		if p.Free() {
			continue
		}
		ln, err := TCP(ctx, p.At)
		if err != nil {
			for _, s := range bound {
				_ = s.Listener.Close()
			}
			return nil, &Fault{Place: p, Err: err}
		}
		bound = append(bound, Socket{Service: p.Service, Listener: ln})
	}
	return bound, nil
}

// handed returns the socket that was handed over for a place.
func handed(sockets []Socket, p Place) (net.Listener, bool) {
	for _, s := range sockets {
		if s.is(p) {
			return s.Listener, true
		}
	}
	return nil, false
}

// is reports whether a socket is that of a place.
func (s Socket) is(p Place) bool {
	return p.Handed && s.Service == p.Service && sameAddress(s.Listener.Addr(), p.At)
}

func sameAddress(a net.Addr, at netip.AddrPort) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	have := tcp.AddrPort()
	return have.Port() == at.Port() && have.Addr().Unmap() == at.Addr().Unmap()
}
