package node

import (
	"context"
	"strings"
	"testing"
)

// A server that is stopped while it still starts, and learns from the trace, stops as ever.
func TestStoppedWhileItStarts(t *testing.T) {
	s := newSite(t, nil, "[hijack]\nmode = \"off\"")
	n := s.open()
	s.populate(n)
	months(t, n, "alice@local.test")
	must(t, n.Close())
	s.configure(strings.Replace(siteText, "[auth]", "[hijack]\nmode = \"enforce\"\n\n[auth]", 1))
	n = s.open()
	must(t, n.Listen(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := n.Serve(ctx); err != nil {
		t.Error("stopped at its start, it ends with", err)
	}
	must(t, n.Close())
}
