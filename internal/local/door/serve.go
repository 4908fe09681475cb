package door

import (
	"context"
	"errors"
	"net"
)

// Serve takes connections, and serves those that speak SMTP with engine, until ctx is done
// or either ends.
func (d *Door) Serve(ctx context.Context, engine func(context.Context, net.Listener) error) error {
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
