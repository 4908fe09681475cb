package door

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Serve takes the connections of a listener that Listen returned, and serves those that
// speak SMTP with engine, until ctx is done or either ends.
func Serve(ctx context.Context, ln net.Listener, engine func(context.Context, net.Listener) error) error {
	d, ok := ln.(*Door)
	if !ok {
		return fmt.Errorf("%s is no socket of the sendmail command", ln.Addr())
	}
	both, stop := context.WithCancel(ctx)
	defer stop()
	received := make(chan error, 1)
	go func() {
		defer stop()
		received <- d.Run(both)
	}()
	err := engine(both, d)
	stop()
	ran := <-received
	if errors.Is(ran, net.ErrClosed) {
		ran = nil
	}
	return errors.Join(err, ran)
}

// UID is the kernel's word for who is at the other end; ok is false of a connection of
// another door.
func UID(c net.Conn) (uid uint32, ok bool) {
	ours, ok := c.(*Conn)
	if !ok {
		return 0, false
	}
	return ours.UID(), true
}
