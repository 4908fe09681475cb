// Package listen binds TCP addresses, each exactly as it is written, and several of them
// all or none.
package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Error is that one of several addresses could not be bound.
type Error struct {
	Index int // of the address among those that were to be bound
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.Err }

// TCP binds one address. Nothing but the address itself is bound: 0.0.0.0 is all of IPv4
// and opens nothing of IPv6.
func TCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	var c net.ListenConfig
	// Landlock does not see MPTCP sockets, so none is ever opened.
	c.SetMultipathTCP(false)
	return c.Listen(ctx, family(at), at.String())
}

// All binds every address with bind, in their order; on an error, which is an *Error,
// none stays bound.
func All(ctx context.Context, at []netip.AddrPort, bind func(context.Context, netip.AddrPort) (net.Listener, error)) ([]net.Listener, error) {
	var bound []net.Listener
	for i, a := range at {
		ln, err := bind(ctx, a)
		if err != nil {
			return nil, &Error{Index: i, Err: errors.Join(err, Close(bound))}
		}
		bound = append(bound, ln)
	}
	return bound, nil
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
