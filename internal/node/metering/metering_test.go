package metering_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/node/metering"
	"sallyport/internal/operate"
	"sallyport/test/port"
	"sallyport/test/site"
)

// Where figures are served nowhere, nothing is counted and the store is as it is; where they are,
// a fact goes to the counters and to whoever else sees facts.
func TestWhoSeesFacts(t *testing.T) {
	var cfg config.Config
	off, err := metering.New(cfg, "test")
	site.Must(t, err)
	if off.On() || off.Watched() != nil || off.Observer(nil) != nil {
		t.Error("something is counted that nobody reads")
	}
	seen := 0
	off.Observer(func(fact.Fact) { seen++ })(fact.Fact{})
	s := site.New(t, nil, "[metrics]", "listen = [\"127.0.0.1:9025\"]")
	on, err := metering.New(s.Config, "test")
	site.Must(t, err)
	if !on.On() || on.Watched() == nil {
		t.Error("nothing is counted")
	}
	on.Observer(func(fact.Fact) { seen++ })(fact.Fact{})
	on.Observer(nil)(fact.Fact{})
	if seen != 2 {
		t.Errorf("%d facts were seen by another", seen)
	}
}

// scrape reads the figures at an address.
func scrape(t *testing.T, at string) string {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + at + "/metrics")
	site.Must(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	site.Must(t, err)
	return string(b)
}

// lacks returns the lines that a text does not have.
func lacks(text string, lines ...string) (missing []string) {
	for _, l := range lines {
		if !strings.Contains(text, "\n"+l) {
			missing = append(missing, l)
		}
	}
	return missing
}

// Each figure that is read from a room is that of the room, and follows it.
func TestFiguresOfRooms(t *testing.T) {
	site.NoLeaks(t)
	at := port.Loopback(t)
	s := site.New(t, nil, "[metrics]", "listen = [\""+at+"\"]")
	n := s.Start()
	s.Populate(n.Node)
	if missing := lacks(scrape(t, at), "sallyport_queue_messages 0\n", "sallyport_queue_held_messages 0\n", "sallyport_connections_open 0\n", "sallyport_reading_connections_open 0\n", "sallyport_connections_total 0\n", "sallyport_accounts_capped 0\n"); len(missing) > 0 {
		t.Errorf("at first there is no %q in\n%s", missing, scrape(t, at))
	}
	s.Unreachable.Store(true)
	c := s.SignIn(n, true, "alice@local.test")
	if r := c.Send("alice@local.test", site.Message("waits", "alice@local.test", 500), "x@remote.test"); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	var missing []string
	follow := func(what string, lines ...string) string {
		t.Helper()
		text := ""
		site.Eventually(t, what, func() bool {
			text = scrape(t, at)
			missing = lacks(text, lines...)
			return len(missing) == 0
		})
		return text
	}
	text := follow("a message that waits", "sallyport_queue_messages 1\n",
		"sallyport_queue_held_messages 0\n", "sallyport_connections_open 1\n",
		"sallyport_connections_total 1\n", "sallyport_disk_low 0\n",
		"sallyport_accepted_total{door=\"submissions\"} 1\n")
	for _, name := range []string{"certificate_expiry_timestamp_seconds", "queue_oldest_seconds", "queue_octets", "disk_free_octets", "trace_facts_total", "start_timestamp_seconds"} {
		if _, rest, ok := strings.Cut(text, "\nsallyport_"+name+" "); !ok || strings.HasPrefix(rest, "0\n") {
			t.Errorf("%s %.20q", name, rest)
		}
	}
	_, err := n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	site.Must(t, err)
	follow("a queue that is held", "sallyport_queue_held_messages 1\n", "sallyport_queue_oldest_seconds 0\n", "sallyport_connections_open 0\n")
}
