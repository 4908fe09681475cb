package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const (
	begin = "<!-- metrics: go test ./internal/operate/metrics -update -->\n"
	end   = "<!-- end of metrics -->\n"
)

func newSet(t *testing.T) *Set {
	t.Helper()
	s, err := New(Options{Version: "v1", Limits: DefaultLimits(), State: func(context.Context) State {
		return State{Started: time.Unix(100, 0), Open: 3, Connections: 10, TurnedAway: 2, Messages: 7, Held: 1, Active: 4, Octets: 99,
			Oldest: time.Hour, DiskFree: 1 << 30, Facts: 50, Sequenced: 49, Signed: 48, SignedAt: time.Unix(200, 0), Skipped: 1, CertificateExpires: time.Unix(300, 0)}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scrape(t *testing.T, s *Set, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// feed does everything once that is counted.
func feed(s *Set) {
	secret := "eve@secret.example"
	for _, f := range []fact.Fact{
		{Kind: fact.KindRefuse, Door: "mx", Rule: "relay-denied", Peer: netip.MustParseAddr("192.0.2.1"), Recipient: secret},
		{Kind: fact.KindRefuse, Door: "mx", Rule: "relay-denied", Until: time.Unix(1, 0), Count: 41, Sender: secret},
		{Kind: fact.KindAuth, Rule: "password", Reply: mail.R(235, "2.7.0", "ok"), Account: secret},
		{Kind: fact.KindAuth, Rule: "wrong-password", Reply: mail.R(535, "5.7.8", "no"), Account: secret},
		{Kind: fact.KindAccept, Door: "submission", Size: 1000, Account: secret},
		{Kind: fact.KindOutcome, Rule: "delivered", Recipient: secret, Remote: secret},
		{Kind: fact.KindNotify, Recipient: secret}, {Kind: fact.KindHold, Rule: "operator", Account: secret}, {Kind: fact.KindAlarm, Rule: "trace-rollback", Text: secret},
		{Kind: fact.KindIncident, Rule: "operator", Account: secret},
		{Kind: fact.KindDisconnect, Text: secret},
	} {
		s.Fact(f)
	}
	s.Commit(store.Durable, time.Millisecond, nil)
	s.Commit(store.Lazy, time.Millisecond, store.ErrConflict)
	s.Commit(store.Lazy, time.Millisecond, store.ErrUnavailable)
	s.Commit(store.Lazy, time.Millisecond, errors.New(secret))
}

// What happens is counted, and every metric of the table is there, with its type.
func TestEveryMetricIsServed(t *testing.T) {
	s := newSet(t)
	feed(s)
	code, text := scrape(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatal(code, text)
	}
	for _, m := range Table() {
		if !strings.Contains(text, fmt.Sprintf("# TYPE %s %s\n", m.Name, m.Type)) {
			t.Errorf("%s is not served as a %s", m.Name, m.Type)
		}
	}
	for name := range regexpNames(text) {
		if !slices.ContainsFunc(Table(), func(m Metric) bool { return m.Name == name }) {
			t.Errorf("%s is served and stands in no table", name)
		}
	}
	for _, line := range []string{
		`sallyport_build_info{version="v1"} 1`, `sallyport_refused_total{door="mx",rule="relay-denied"} 42`,
		`sallyport_auth_total{result="failed",rule="wrong-password"} 1`, `sallyport_auth_total{result="ok",rule="password"} 1`,
		`sallyport_accepted_octets_total{door="submission"} 1000`, `sallyport_outcomes_total{result="delivered"} 1`,
		`sallyport_store_commit_seconds_count{durability="durable"} 1`, `sallyport_store_commit_seconds_count{durability="lazy"} 1`,
		`sallyport_store_commit_errors_total{error="unavailable"} 1`, `sallyport_store_commit_errors_total{error="other"} 1`,
		`sallyport_queue_oldest_seconds 3600`, `sallyport_certificate_expiry_timestamp_seconds 300`, `sallyport_connections_turned_away_total 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	for _, want := range []string{"go_goroutines", "process_open_fds", "process_max_fds"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "192.0.2.1") {
		t.Error("an address stands in the metrics")
	}
}

func regexpNames(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (sallyport_\S+)`).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

// Messages are counted as messages and recipients as recipients, however many facts it
// takes to name them all: 3 and 120 of one message each.
func TestRecipientsAreCounted(t *testing.T) {
	s := newSet(t)
	for i, n := range []int{3, 120} {
		to := make([]string, n)
		for j := range to {
			to[j] = fmt.Sprintf("r%d@remote.test", j)
		}
		session := fact.Session{Door: "submission"}
		for _, f := range []fact.Fact{
			fact.Accepted{Session: session, Message: fact.Message{Size: 1000}, Recipients: to}.Fact(),
			fact.Outcome{Rule: "delivered", Recipients: to[:2], Attempt: 1}.Fact(),
			fact.Outcome{Rule: "deferred", Recipients: to[2:], Attempt: 1}.Fact(),
			fact.Refused{Session: session, Rule: "content", Recipients: to}.Fact(),
			fact.Alarm{Rule: "recipients-hour", Recipients: to}.Fact(),
			fact.Notified{Recipients: to}.Fact(),
		} {
			for _, part := range fact.EncodeAll(f) {
				read, err := fact.Decode(part) // as the sequencer hands it over
				if err != nil {
					t.Fatal(i, err)
				}
				s.Fact(read)
			}
		}
	}
	_, text := scrape(t, s, "/metrics")
	for _, line := range []string{
		`sallyport_accepted_total{door="submission"} 2`, `sallyport_accepted_octets_total{door="submission"} 2000`,
		`sallyport_outcomes_total{result="delivered"} 4`, `sallyport_outcomes_total{result="deferred"} 119`,
		`sallyport_refused_total{door="submission",rule="content"} 2`, `sallyport_alarms_total{rule="recipients-hour"} 2`, `sallyport_notifications_total 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
}

// A peer that could choose rules would still fill only so much memory.
func TestLabelsStayFew(t *testing.T) {
	s := newSet(t)
	for i := range 10_000 {
		s.Fact(fact.Fact{Kind: fact.KindRefuse, Door: "mx", Rule: fmt.Sprint("rule-", i)})
	}
	_, text := scrape(t, s, "/metrics")
	if n := strings.Count(text, "sallyport_refused_total{"); n > DefaultLimits().LabelValues+1 {
		t.Errorf("%d values of one label", n)
	}
	if !strings.Contains(text, `sallyport_refused_total{door="mx",rule="other"} 9744`) {
		t.Error("what was too many is not counted as other")
	}
}

// Nothing but the metrics is served: no profile, no index.
func TestNothingElseIsServed(t *testing.T) {
	s := newSet(t)
	for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics/", "/metrics/x"} {
		if code, text := scrape(t, s, path); code != http.StatusNotFound {
			t.Errorf("%s: %d %.80s", path, code, text)
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestTheListIsWhole(t *testing.T) {
	const file = "../../../docs/metrics.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("docs/metrics.md has lost its marks")
	}
	want := head + begin + Document() + end + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("docs/metrics.md is behind the code: run go test ./internal/operate/metrics -update")
	}
}

// What an alert watches by increase() is there before it happens first, or the alert
// asks for new series as well: in the first value of one, increase() sees nothing.
func TestAlertsSeeTheFirstTime(t *testing.T) {
	alerts, err := os.ReadFile("../../../packaging/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := New(Options{Version: "test", Limits: DefaultLimits(), State: func(context.Context) State { return State{} }})
	if err != nil {
		t.Fatal(err)
	}
	families, err := set.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		there[f.GetName()] = len(f.GetMetric()) > 0
	}
	watched := 0
	for _, rule := range regexp.MustCompile(`(?m)^ *expr: (.*increase\((sallyport_[a-z_]+)\b.*)$`).FindAllStringSubmatch(string(alerts), -1) {
		watched++
		text := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(rule[1], "")
		if !there[rule[2]] && !strings.Contains(text, rule[2]+" unless "+rule[2]+" offset") {
			t.Errorf("the first time goes unseen: %s", rule[1])
		}
	}
	if watched < 2 {
		t.Fatalf("only %d rules with increase() found", watched)
	}
}

// Every query of the dashboard and every rule of the alerts asks for metrics and
// labels that there are.
func TestDashboardAndAlertsAskForWhatThereIs(t *testing.T) {
	board, err := os.ReadFile("../../../packaging/grafana/sallyport.json")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(board, &v); err != nil {
		t.Fatal(err)
	}
	queries := exprs(v)
	alerts, err := os.ReadFile("../../../packaging/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^ *expr: (.*)$`).FindAllStringSubmatch(string(alerts), -1)
	for _, m := range rules {
		queries = append(queries, m[1])
	}
	if len(queries) < 25 || len(rules) < 8 {
		t.Fatalf("only %d queries, %d rules found", len(queries), len(rules))
	}
	used := map[string]bool{}
	for _, q := range queries {
		checkQuery(t, q, used)
	}
	for _, m := range Table() {
		if !used[m.Name] && m.Name != "sallyport_build_info" {
			t.Errorf("nothing shows %s", m.Name)
		}
	}
}

func exprs(v any) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if text, ok := inner.(string); ok && k == "expr" {
				found = append(found, text)
			} else {
				found = append(found, exprs(inner)...)
			}
		}
	case []any:
		for _, inner := range v {
			found = append(found, exprs(inner)...)
		}
	}
	return found
}

// checkQuery looks at names, at labels in braces and after by, and at brackets.
func checkQuery(t *testing.T, q string, used map[string]bool) {
	t.Helper()
	labels := []string{"le", "instance", "job"}
	names := regexp.MustCompile(`\b(sallyport|process|go|up)(_[a-z_]+)?\b`).FindAllString(q, -1)
	if len(names) == 0 {
		t.Errorf("%s asks for nothing", q)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")
		i := slices.IndexFunc(Table(), func(m Metric) bool { return m.Name == name })
		if i < 0 {
			t.Errorf("%s: there is no %s", q, name)
			continue
		}
		used[name] = true
		labels = append(labels, Table()[i].Labels...)
	}
	for _, m := range regexp.MustCompile(`(?:by \(([a-z, ]+)\)|([a-z]+)(?:=~|!~|!=|=)")`).FindAllStringSubmatch(q, -1) {
		for _, l := range strings.Split(m[1]+m[2], ",") {
			if !slices.Contains(labels, strings.TrimSpace(l)) {
				t.Errorf("%s: no metric in it has the label %s", q, l)
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(q, pair[:1]) != strings.Count(q, pair[1:]) {
			t.Errorf("%s: brackets do not match", q)
		}
	}
}
