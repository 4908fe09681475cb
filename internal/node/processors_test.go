package node_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/processors"
	"sallyport/internal/node"
	"sallyport/test/site"
)

// Each hash that may be computed at once has a place beside those for everything else. Half of the
// processors stays half of them, however often the server reloads.
func TestHashesHavePlacesBeside(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	cpus := runtime.GOMAXPROCS(0)
	s := site.New(t, vfs.NewMem())
	o := s.Options()
	o.Processors = processors.Own()
	opened, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	n := s.Serve(opened)
	want := func(beside int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != cpus+beside {
			t.Fatalf("%d places on %d processors, want %d beside", got, cpus, beside)
		}
	}
	want(max(1, cpus/2))
	s.Write(strings.Replace(site.Text, "[auth]\n", "[auth]\nhashing = 7\n", 1))
	s.Reload(n)
	want(7)
	s.Write(site.Text)
	for range 3 {
		s.Reload(n)
		want(max(1, cpus/2))
	}
}
