package node

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A server that is stopped while it still starts, and learns from the trace, stops as ever.
func TestStoppedWhileItStarts(t *testing.T) {
	s := newSite(t, vfs.NewMem())
	n := s.open()
	must(t, n.Listen(t.Context()))
	months(t, n, "alice@local.test")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := n.Serve(ctx); err != nil {
		t.Error("stopped at its start, it ends with", err)
	}
	must(t, n.Close())
}
