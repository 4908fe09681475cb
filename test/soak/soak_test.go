package soak

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// What is asked of the server afterwards, beside what it had before.
const (
	moreFiles      = 50 // tables of the store come and go
	moreGoroutines = 10
	moreMemory     = 32 << 20 // and a quarter of what it had
	// Memory tables and caches fill for some minutes: what a shorter load takes says nothing.
	leastJudged = 10 * time.Minute
	settles     = 2 * time.Minute
	drains      = 3 * time.Minute
)

// The pace of the load.
const (
	strangersPerSecond = 40
	ownPerSecond       = 20
	faultEvery         = 15 * time.Second
	tellEvery          = time.Minute
)

// soak is one server under load.
type soak struct {
	t       *testing.T
	s       *rig.Server
	tls     *tls.Config
	metrics string
	remote  string // where the next hop listens, while it does
	runs    int
	judges  bool // memory too

	mu    sync.Mutex
	sink  *load.Sink
	taken map[string]int // what the next hops took, by identifier

	read, rude, faults atomic.Int64
}

// asked is how long the load is to last.
func asked(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SALLYPORT_SOAK")
	if text == "" {
		t.Skip("half an hour: make soak, which sets SALLYPORT_SOAK")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	x := &soak{t: t, remote: "127.0.0.1:" + strconv.Itoa(port.Of(t, "127.0.0.1")), metrics: "127.0.0.1:" + strconv.Itoa(port.Of(t, "127.0.0.1")), taken: map[string]int{}}
	dir := t.TempDir()
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	x.s, err = rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: filepath.Join(dir, "data"), Remote: x.remote, Reading: true,
		Extra: fmt.Sprintf("[metrics]\nlisten = [%q]\n[retry]\nfirst = \"2s\"\nmax = \"4s\"\n[hijack]\nmode = \"observe\"\n", x.metrics),
	})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(x.s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	x.tls = &tls.Config{RootCAs: pool, ServerName: x.s.Hostname}
	x.opens()
	if err := x.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(x.s.LogTail())
		}
		_ = x.s.Stop()
		x.closes()
	})
	return x
}

// opens has the next hop listen, closes has it gone with all that it had in hand.
func (x *soak) opens() {
	sink, err := load.NewSink(load.SinkOptions{Listen: x.remote, Unknown: func(to string) bool { return strings.Contains(to, "nobody") }})
	if err != nil {
		x.t.Error(err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sink = sink
}

func (x *soak) closes() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sink == nil {
		return
	}
	_ = x.sink.Close()
	for id, n := range x.sink.IDs() {
		x.taken[id] += n
	}
	x.sink = nil
}

// held is what the server holds.
type held struct {
	rig.Resources
	goroutines int
}

func (h held) String() string {
	return fmt.Sprintf("%d sockets, %d other descriptors, %d threads, %d goroutines, %d MiB", h.Sockets, h.Files, h.Threads, h.goroutines, h.RSS>>20)
}

func (x *soak) holds() held {
	x.t.Helper()
	r, err := x.s.Resources()
	if err != nil {
		x.t.Fatal(err)
	}
	return held{Resources: r, goroutines: x.goroutines()}
}

func (x *soak) goroutines() int {
	x.t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + x.metrics + "/metrics")
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 4<<20))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				x.t.Fatal(err)
			}
			return n
		}
	}
	x.t.Fatal("the server does not say how many goroutines it has")
	return 0
}

// work has everybody work for so long, waits until the queue is empty, and holds what was
// acknowledged to what arrived.
func (x *soak) work(d time.Duration) {
	x.t.Helper()
	ctx, stop := context.WithTimeout(x.t.Context(), d)
	defer stop()
	x.runs++
	began := time.Now()
	var strangers, own load.Report
	var all sync.WaitGroup
	for _, do := range []func(context.Context){
		func(ctx context.Context) { strangers = x.sends(ctx, x.strangers()) },
		func(ctx context.Context) { own = x.sends(ctx, x.own()) },
		x.reads, x.collects, x.rudely, x.guesses, x.fails,
	} {
		all.Go(func() { do(ctx) })
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			x.t.Logf("after %v: %v", time.Since(began).Round(time.Second), x.holds())
		case <-ctx.Done():
		}
	}
	all.Wait()
	left, err := x.s.WaitEmpty(x.t.Context(), drains)
	if err != nil || len(left) > 0 {
		x.t.Fatalf("%d messages stay in the queue, %v", len(left), err)
	}
	x.closes()
	defer x.opens()
	lost := 0
	for _, id := range own.Acks {
		if x.taken[id] == 0 {
			lost++
		}
	}
	x.t.Logf("%v: %d messages of strangers, %d of ours of which %d were lost; %d messages read, %d rude sessions, %d faults", d, strangers.Acknowledged, own.Acknowledged, lost, x.read.Load(), x.rude.Load(), x.faults.Load())
	if lost > 0 || strangers.Acknowledged == 0 || own.Acknowledged == 0 || x.read.Load() == 0 || x.rude.Load() == 0 || x.faults.Load() == 0 {
		x.t.Error("that is not what was to happen")
	}
}

// back demands that the server holds what it held.
func (x *soak) back(base held) {
	x.t.Helper()
	for end := time.Now().Add(settles); ; time.Sleep(time.Second) {
		now := x.holds()
		fine := now.Sockets <= base.Sockets && now.Files <= base.Files+moreFiles && now.goroutines <= base.goroutines+moreGoroutines &&
			(!x.judges || now.RSS <= base.RSS+base.RSS/4+moreMemory)
		if !fine && time.Now().Before(end) {
			continue
		}
		x.t.Logf("before: %v", base)
		x.t.Logf("afterwards: %v", now)
		if !fine {
			x.t.Error("the server keeps what it needed for the load")
		}
		return
	}
}

// settled is what the server holds once it has come to rest.
func (x *soak) settled() held {
	x.t.Helper()
	last := x.holds()
	for end := time.Now().Add(settles); time.Now().Before(end); {
		time.Sleep(5 * time.Second)
		now := x.holds()
		if now.Sockets == last.Sockets && now.goroutines == last.goroutines && now.RSS >= last.RSS-last.RSS/50 {
			return now
		}
		last = now
	}
	return last
}

// TestSoak: strangers write, accounts send, people read and delete by IMAP and POP3, others are
// rude, and guess passwords; the next hop goes away, the configuration is read anew, accounts are
// frozen, descriptors run out, backups are made. What the server holds after a fifth of the time
// and a rest is what it holds after all of it: memory, goroutines, descriptors.
func TestSoak(t *testing.T) {
	d := asked(t)
	x := newSoak(t)
	x.judges = d >= leastJudged
	x.work(max(d/5, 30*time.Second))
	base := x.settled()
	t.Logf("the base: %v", base)
	x.work(d)
	x.back(base)
	if _, err := x.s.CLI(t.Context(), "", "trace", "--verify"); err != nil {
		t.Error(err)
	}
}
