package longqueue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// What a long queue may cost.
const (
	longestStart = 5 * time.Second
	mostMemory   = 512 << 20
	leastRate    = 0.9             // of the last tenth, beside the first
	interactive  = 5 * time.Second // for one command of an operator, on a machine that does other things
)

const (
	tenths  = 10
	octets  = 700
	clients = 20
	persons = 1000 // messages of one account among the others
)

// limits admit what is queued here.
const limits = "\n[limits]\nqueue_messages = 100000000\nqueue_messages_per_account = 100000000\nqueue_size = \"100TiB\"\n"

// length is how many messages are to be queued; 0: this is not asked for.
func length(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SALLYPORT_QUEUE"))
	if err != nil || n < tenths {
		t.Skip("SALLYPORT_QUEUE says how many messages are queued: make longqueue")
	}
	return n
}

// world is a server whose folder lies below SALLYPORT_QUEUE_DIR, or where tests have theirs.
func world(t *testing.T, remote, extra string) *rig.Server {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("SALLYPORT_QUEUE_DIR"), "longqueue")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(dir, "server"), Remote: remote, Extra: limits + extra, Patience: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// start starts the server and returns how long that took.
func start(t *testing.T, s *rig.Server) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// send has all messages acknowledged by one of the doors.
func send(t *testing.T, s *rig.Server, o load.Options) load.Report {
	t.Helper()
	o.Connections, o.Size, o.Pipelining, o.Patience = clients, octets, true, time.Minute
	r, err := load.Run(t.Context(), o)
	if err != nil || r.Acknowledged != o.Messages {
		t.Fatalf("%+v, %v\n%s", r, err, s.LogTail())
	}
	return r
}

// stranger sends to bob, person as alice to others.
func stranger(s *rig.Server, prefix string, n int) load.Options {
	return load.Options{Addr: func() string { return s.Listen.MX[0] }, Messages: n, Prefix: prefix, From: "somebody@far.test", To: []string{"bob@local.test"}}
}

func person(t *testing.T, s *rig.Server, prefix string, n int, to ...string) load.Options {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return load.Options{
		Addr: func() string { return s.Listen.Submissions[0] }, Messages: n, Prefix: prefix, From: "alice@local.test", To: to,
		User: "alice@local.test", Password: s.Accounts[0].Password, Security: load.Implicit, TLS: &tls.Config{RootCAs: pool, ServerName: s.Hostname},
	}
}

// memory is what the server's process has resident, and had at most since it began.
func memory(t *testing.T, s *rig.Server) (now, most int64) {
	t.Helper()
	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			most = n << 10
		}
	}
	if now == 0 || most == 0 {
		t.Fatalf("no memory in %q", b)
	}
	return now, most
}

// processor is the time of a processor that the server took since it began.
func processor(t *testing.T, s *rig.Server) time.Duration {
	t.Helper()
	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// operator runs a command of an operator and returns how long that took.
func operator(t *testing.T, s *rig.Server, args ...string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	out, err := s.CLI(ctx, "", args...)
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	t.Logf("sallyport %s: %v (%.80s)", strings.Join(args, " "), took.Round(time.Millisecond), first)
	return took
}

const mib = 1 << 20

// A long queue is accepted as fast at its end as at its beginning, and costs a start neither
// seconds nor memory, whether the server before was stopped or killed.
func TestALongQueue(t *testing.T) {
	n := length(t)
	s := world(t, "127.0.0.1:9", "")
	s.Flags = []string{"--paused"}
	start(t, s)
	send(t, s, person(t, s, "hers", persons, "x@remote.test"))
	rates := fill(t, s, n)
	if n >= 1_000_000 && rates[tenths-1] < leastRate*rates[0] {
		t.Errorf("the last tenth was accepted at %.0f a second, the first at %.0f", rates[tenths-1], rates[0])
	}
	for _, end := range []struct {
		how string
		do  func() error
	}{{"stopped", s.Stop}, {"killed", s.Kill}} {
		if err := end.do(); err != nil {
			t.Fatal(err)
		}
		took := start(t, s)
		now, most := memory(t, s)
		t.Logf("start after it was %s, with %d messages: %v, %d MiB resident, %d at most", end.how, n+persons, took.Round(10*time.Millisecond), now/mib, most/mib)
		if took > longestStart || most > mostMemory {
			t.Errorf("a start takes %v and %d MiB", took, most/mib)
		}
		queued(t, s, n+persons)
	}
	for _, args := range [][]string{
		{"queue", "ls", "--account", "alice@local.test"},
		{"queue", "hold", "--account", "alice@local.test"},
		{"queue", "release", "--account", "alice@local.test"},
		{"account", "freeze", "alice@local.test", "--reason", "a test"},
		{"account", "thaw", "alice@local.test"},
	} {
		if took := operator(t, s, args...); took > interactive {
			t.Errorf("%s took %v", strings.Join(args, " "), took)
		}
	}
	if _, most := memory(t, s); most > mostMemory {
		t.Errorf("commands took the memory to %d MiB", most/mib)
	}
}

// fill queues messages and returns the rates of its tenths.
func fill(t *testing.T, s *rig.Server, n int) []float64 {
	t.Helper()
	var rates []float64
	for i := range tenths {
		before := processor(t, s)
		r := send(t, s, stranger(s, fmt.Sprintf("s%d", i), n/tenths))
		now, most := memory(t, s)
		t.Logf("%d queued: %.0f a second, %.0f µs of a processor each, p99 %.0f ms, %d MiB resident, %d at most", (i+1)*(n/tenths), r.PerSecond,
			float64((processor(t, s)-before).Microseconds())/float64(n/tenths), r.P99, now/mib, most/mib)
		if most > mostMemory {
			t.Errorf("accepting takes %d MiB", most/mib)
		}
		rates = append(rates, r.PerSecond)
	}
	return rates
}

// entries is in what `status` says of the queue.
var entries = regexp.MustCompile(`(\d+) messages`)

// queued demands that so many messages are there.
func queued(t *testing.T, s *rig.Server, want int) {
	t.Helper()
	out, err := s.CLI(t.Context(), "", "status")
	if err != nil {
		t.Fatal(err)
	}
	if m := entries.FindStringSubmatch(out); m == nil || m[1] != strconv.Itoa(want) {
		t.Errorf("%d are queued, and status says\n%s", want, out)
	}
}
