package site

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// A next hop that took long to be found out of reach is left alone for as long. Who knows that it
// is back and has its mail retried gets it delivered at once.
func TestARetryTriesTheNextHop(t *testing.T) {
	s := New(t, nil)
	var back atomic.Bool
	o := s.Options()
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if back.Load() {
			return s.Dial(ctx, network, address)
		}
		time.Sleep(2 * time.Second)
		return nil, errors.New("no route to host")
	}
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n := s.Serve(opened)
	s.Populate(n.Node)
	c := s.SignIn(n, true, "alice@local.test")
	id := QueueID(c.Send("alice@local.test", Message("waits", "alice@local.test", 300), "x@remote.test"))
	one := operate.Select{IDs: []string{id}}
	Eventually(t, "the first attempt to fail", func() bool {
		m, err := n.Operator().QueueShow(t.Context(), operate.Self(), operate.QueueRef{ID: id})
		Must(t, err)
		return m.Recipients[0].Last != ""
	})
	back.Store(true)
	_, err = n.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: one})
	Must(t, err)
	n.Idle()
	if got := s.Sink.Messages(); got != 1 {
		t.Errorf("%d messages left", got)
	}
}
