// Package listen keeps the listeners of a server: it binds addresses, each exactly as it is
// written and all or none, takes over sockets that others bound for it, and changes them
// while they are served.
//
// It promises that a change that cannot be made whole opens and closes nothing, and that
// who is connected to a listener that goes stays connected.
package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// TCP binds one address. Nothing but the address itself is bound: 0.0.0.0 is all of IPv4
// and opens nothing of IPv6.
func TCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	var c net.ListenConfig
	// Landlock does not see MPTCP sockets, so none is ever opened.
	c.SetMultipathTCP(false)
	return c.Listen(ctx, family(at), at.String())
}

// Close closes listeners; one that is closed already is no error.
func Close(all []net.Listener) error {
	var errs []error
	for _, ln := range all {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// family is the network of exactly what was written: for "tcp", Go would take 0.0.0.0
// for all of IPv6 as well, a door that nobody asked for.
func family(at netip.AddrPort) string {
	if at.Addr().Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}
