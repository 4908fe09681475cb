package node_test

import (
	"context"
	"sallyport/test/site"
	"strings"
	"testing"
)

// A server that is stopped while it still starts, and learns from the trace, stops as ever.
func TestStoppedWhileItStarts(t *testing.T) {
	s := site.New(t, nil, "[hijack]\nmode = \"off\"")
	n := s.Open()
	s.Populate(n)
	months(t, n, "alice@local.test")
	site.Must(t, n.Close())
	s.Configure(strings.Replace(site.Text, "[auth]", "[hijack]\nmode = \"enforce\"\n\n[auth]", 1))
	n = s.Open()
	site.Must(t, n.Listen(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := n.Serve(ctx); err != nil {
		t.Error("stopped at its start, it ends with", err)
	}
	site.Must(t, n.Close())
}
