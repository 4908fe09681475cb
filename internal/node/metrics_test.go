package node

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/store"
)

// What a server does shows in what Prometheus reads, and nothing else is there to be
// read; where no address is configured, nothing listens.
func TestMetricsAreServed(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, "[metrics]", `listen = ["127.0.0.1:0"]`)
	n := s.start()
	s.populate(n.Node)
	c := s.signIn(n, true, "alice@local.test")
	c.send("alice@local.test", message("counted", "alice@local.test", 500), "bob@local.test", "x@remote.test")
	n.idle()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		r, err := client.Get("http://" + n.listeners.Of(serviceMetrics)[0].Addr().String() + path)
		must(t, err)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		must(t, err)
		return r.StatusCode, string(b)
	}
	var text string
	eventually(t, "the outcomes to be counted", func() bool {
		_, text = get("/metrics")
		return strings.Contains(text, `sallyport_outcomes_total{result="delivered"} 2`)
	})
	_, text = get("/metrics") // once more: a scrape reads its counters one after another, in any order
	for _, line := range []string{
		`sallyport_accepted_total{door="submissions"} 1`, `sallyport_build_info{version="test"} 1`, "sallyport_queue_messages 0", "sallyport_connections_open 1",
		`sallyport_auth_total{result="ok",`, `sallyport_store_commit_seconds_count{durability="durable"}`, "sallyport_certificate_expiry_timestamp_seconds ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, "local.test") || strings.Contains(text, "127.0.0.1") {
		t.Error("the metrics name an address")
	}
	if code, _ := get("/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("a profile answers %d", code)
	}
	if _, ok := n.data.Store.(store.Checkpointer); !ok {
		t.Error("a store that is timed cannot be backed up")
	}
}

func TestNoMetricsUnlessAskedFor(t *testing.T) {
	noLeaks(t)
	if n := newSite(t, nil).start(); n.listeners.Of(serviceMetrics) != nil || n.metrics != nil {
		t.Error("metrics are kept although nobody asked for them")
	}
}
