package site

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sallyport/internal/operate"
	"sallyport/test/port"
	"strconv"
	"strings"
	"testing"
)

// scraped reads what is at a URL.
func scraped(t *testing.T, url string) (code int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	Must(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	Must(t, err)
	return r.StatusCode, string(b)
}

// figure reads one of the metrics.
func figure(t *testing.T, text, name string) int {
	t.Helper()
	_, rest, _ := strings.Cut(text, "\nsallyport_"+name+" ")
	digits, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(digits)
	Must(t, err)
	return n
}

// What a server does shows in what Prometheus reads, and nothing else is there to be
// read; where no address is configured, nothing listens.
func TestMetricsAreServed(t *testing.T) {
	NoLeaks(t)
	at := port.Loopback(t)
	s := New(t, nil, "[metrics]", fmt.Sprintf("listen = [%q]", at))
	n := s.Start()
	s.Populate(n.Node)
	c := s.SignIn(n, true, "alice@local.test")
	c.Send("alice@local.test", Message("counted", "alice@local.test", 500), "bob@local.test", "x@remote.test")
	n.Idle()
	get := func(path string) (int, string) { return scraped(t, "http://"+at+path) }
	var text string
	Eventually(t, "the outcomes to be counted", func() bool {
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
	b, err := operate.Direct(n.Operator()).Backup(t.Context(), operate.BackupRequest{})
	if err == nil {
		err = errors.Join(b.Each(func(*tar.Header, io.Reader) error { return nil }), b.Close())
	}
	if err != nil {
		t.Errorf("a store that is timed cannot be backed up: %v", err)
	}
}
