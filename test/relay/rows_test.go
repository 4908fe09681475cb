package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/relayaudit"
	"sallyport/test/load/rig"
)

const (
	workers      = 24 // rows at the same time; fewer than one account's sessions
	sessionRows  = 15 // rows that share a session; fewer than its errors
	drainTime    = 30 * time.Second
	maxBusyTries = 20
)

// job is one row, or several in one session, in one mode.
type job struct {
	target relayaudit.Target
	cases  []relayaudit.Case
	mode   relayaudit.Mode
	shared bool
}

// TestRows is the table: each row alone, pipelined, byte by byte, in clear and in
// TLS, over IPv4 and IPv6, and in random order in shared sessions. What strangers
// say must not bring one connection to the foreign domain.
func TestRows(t *testing.T) {
	t.Parallel()
	cases, err := relayaudit.Cases()
	if err != nil {
		t.Fatal(err)
	}
	cases = chosen(t, cases)
	// TestSpeaksFirst has those that don't wait for the greeting.
	strangers, signedIn := divide(slices.DeleteFunc(cases, speaksFirst))

	results := runAll(t, jobs(t, strangers))
	emptyQueue(t)
	if n := the.sink.Connections(); n != 0 {
		t.Errorf("strangers made the server connect %d times to the foreign domain", n)
	}
	signIn(t)
	results = append(results, runAll(t, jobs(t, signedIn))...)
	emptyQueue(t)
	for _, f := range the.sink.Faults() {
		t.Errorf("on the wire to the foreign domain: %s", f)
	}
	judge(t, results)
	if os.Getenv(oneRow) != "" {
		return // the rest is about what all rows bring
	}
	theServerBehind(t)
	the.lmtp.judge(t)
	the.filter.judge(t)
	everySignatureNamesFromTwice(t)
}

// oneRow names the row that runs by itself.
const oneRow = "RELAY_ROW"

// chosen are the rows that are to run.
func chosen(t *testing.T, cases []relayaudit.Case) []relayaudit.Case {
	t.Helper()
	only := os.Getenv(oneRow)
	if only == "" {
		return cases
	}
	at := slices.IndexFunc(cases, func(c relayaudit.Case) bool { return c.ID == only })
	if at < 0 {
		t.Fatalf("there is no row %s", only)
	}
	return cases[at : at+1]
}

// theServerBehind checks that it was asked about the name that is one, and was given
// none that it could read as another place to send to.
func theServerBehind(t *testing.T) {
	if the.inner.Connections() == 0 {
		t.Error("the server behind was asked about nobody")
	}
	for _, m := range the.inner.Kept() {
		t.Errorf("the server behind was given mail for %q", m.To)
	}
}

// divide parts the rows that may reach the foreign domain from those that must not.
func divide(cases []relayaudit.Case) (strangers, signedIn []relayaudit.Case) {
	for _, c := range cases {
		if c.State == relayaudit.StateSignedIn {
			signedIn = append(signedIn, c)
		} else {
			strangers = append(strangers, c)
		}
	}
	return strangers, signedIn
}

// jobs lists every run of the rows.
func jobs(t *testing.T, cases []relayaudit.Case) []job {
	var all []job
	v4 := target(t, 0)
	for _, c := range cases {
		for _, m := range relayaudit.Modes(c) {
			all = append(all, job{target: v4, cases: []relayaudit.Case{c}, mode: m})
		}
	}
	if the.v6 {
		v6 := target(t, 1)
		for _, c := range cases {
			all = append(all, job{target: v6, cases: []relayaudit.Case{c}})
		}
	}
	all = append(all, shuffled(t, v4, cases)...)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		all[i].mode.Source = source(all[i], i)
	}
	return all
}

// shuffled puts rows of one state into sessions in random order.
func shuffled(t *testing.T, target relayaudit.Target, cases []relayaudit.Case) []job {
	seed := rand.Uint64()
	t.Logf("order of the shared sessions: seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var all []job
	for _, state := range []relayaudit.State{relayaudit.StateMX, relayaudit.StateSubmissionTLS, relayaudit.StateSignedIn} {
		for _, m := range []relayaudit.Mode{{}, {Split: relayaudit.Pipelined, TLS: true}} {
			some := shareable(cases, state, m)
			rng.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			for len(some) > 0 {
				n := min(sessionRows, len(some))
				all = append(all, job{target: target, cases: some[:n], mode: m, shared: true})
				some = some[n:]
			}
		}
	}
	return all
}

func shareable(cases []relayaudit.Case, state relayaudit.State, m relayaudit.Mode) []relayaudit.Case {
	var some []relayaudit.Case
	for _, c := range cases {
		if c.State == state && !c.Alone && !(c.Clear && m.TLS) && !(c.Lockstep && m.Split != relayaudit.Lockstep) {
			some = append(some, c)
		}
	}
	return some
}

// source gives every run an address of its own, so that none inherits what another
// one did; those that sign in come from the network that alice is known to use.
func source(j job, i int) netip.Addr {
	if j.target.MX.Addr().Is6() {
		return netip.Addr{}
	}
	if j.cases[0].State == relayaudit.StateSignedIn {
		return netip.AddrFrom4([4]byte{127, 200, 0, byte(1 + i%250)})
	}
	return netip.AddrFrom4([4]byte{127, byte(1 + i/62500), byte(i / 250 % 250), byte(2 + i%250)})
}

// signIn makes the network of the signed-in rows known.
func signIn(t *testing.T) {
	t.Helper()
	c, err := relayaudit.ParseCases(strings.NewReader("first | A | NOOP | noop=250 | rig"))
	if err != nil {
		t.Fatal(err)
	}
	j := job{target: target(t, 0), cases: c}
	j.mode.Source = source(j, 0)
	for _, r := range perform(j) {
		if faults := relayaudit.Judge(r, nil); len(faults) > 0 {
			t.Fatalf("alice cannot sign in: %q", faults)
		}
	}
}

// runAll runs the jobs in parallel.
func runAll(t *testing.T, all []job) []relayaudit.Result {
	t.Helper()
	started := time.Now()
	queue := make(chan job)
	var mu sync.Mutex
	var results []relayaudit.Result
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for j := range queue {
				rs := perform(j)
				mu.Lock()
				results = append(results, rs...)
				mu.Unlock()
			}
		})
	}
	for _, j := range all {
		queue <- j
	}
	close(queue)
	wg.Wait()
	t.Logf("%d runs in %s", len(results), time.Since(started).Round(time.Millisecond))
	return results
}

func perform(j job) []relayaudit.Result {
	ctx := context.Background()
	if j.shared {
		return relayaudit.ProbeSession(ctx, j.target, j.cases, j.mode)
	}
	var r relayaudit.Result
	for range maxBusyTries {
		if r = relayaudit.Probe(ctx, j.target, j.cases[0], j.mode); !relayaudit.Busy(r) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return []relayaudit.Result{r}
}

// emptyQueue waits until everything accepted is delivered; nothing may stay.
func emptyQueue(t *testing.T) {
	t.Helper()
	left, err := the.server.WaitEmpty(context.Background(), drainTime)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range left {
		if i < 10 {
			t.Errorf("left in the queue: %s", e)
		}
	}
}

// judge compares every run with what was delivered of it.
func judge(t *testing.T, results []relayaudit.Result) {
	t.Helper()
	found := collect(t)
	var rep relayaudit.Report
	for _, r := range results {
		rep.Add(r, found[r.Marker])
	}
	rep.Compare(results)
	var b strings.Builder
	if err := rep.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if file := os.Getenv("RELAY_REPORT"); file != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !rep.OK() {
		t.Errorf("\n%s", b.String())
		return
	}
	t.Log(b.String())
}

// collect finds every message by the markers in it.
func collect(t *testing.T) map[string][]relayaudit.Stored {
	t.Helper()
	marker := regexp.MustCompile(`probe[a-z2-7]{26}`)
	found := map[string][]relayaudit.Stored{}
	add := func(s relayaudit.Stored) {
		seen := map[string]bool{}
		for _, m := range marker.FindAllString(string(s.Octets), -1) {
			if !seen[m] {
				seen[m] = true
				found[m] = append(found[m], s)
			}
		}
	}
	err := the.server.Mailboxes(func(m rig.Mail) error {
		box := m.Local
		if m.Domain != the.server.Domain {
			box = fmt.Sprintf("%s@%s", m.Local, m.Domain)
		}
		add(relayaudit.Stored{Mailbox: box, Octets: m.Octets})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range the.lmtp.kept() {
		add(m)
	}
	for _, m := range the.sink.Kept() {
		add(relayaudit.Stored{Octets: m.Octets, Dirty: m.Dirty})
	}
	return found
}
