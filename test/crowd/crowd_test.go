package crowd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// size is how large a run is.
type size struct {
	destinations int
	messages     int // of each run
	perSecond    int
}

// sizeOf returns the long form for a soak: the figures of docs/benchmarks.md.
func sizeOf() size {
	if os.Getenv("SALLYPORT_SOAK") != "" {
		return size{destinations: 1000, messages: 100_000, perSecond: 500}
	}
	return size{destinations: 180, messages: 3_600, perSecond: 360}
}

// mostMemory is what the server may take, whatever the destinations do: what its
// bounds admit (10,000 messages under way, their connections and buffers).
const mostMemory = 1 << 30

// world is the server, its destinations and what they received.
type world struct {
	t      *testing.T
	size   size
	server *rig.Server
	got    *arrivals
	kinds  map[string]kind // by domain, without the last dot
	sent   sync.Map        // identifier to the time of its 250
	peak   atomic.Int64    // octets
}

func domain(i int) string { return fmt.Sprintf("d%d.test", i) }

// kindOf makes every third destination one of the bad kinds, in turn. Those from
// the number of destinations on are the others' healthy twins.
func (s size) kindOf(i int) kind {
	if i >= s.destinations || i%3 != 0 {
		return kindHealthy
	}
	return kind(1 + i/3%int(kinds-1))
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, size: sizeOf(), got: &arrivals{at: map[string][]time.Time{}}, kinds: map[string]kind{}}
	n := names{hosts: map[string]netip.Addr{}, kinds: map[string]kind{}}
	s := &servers{got: w.got, open: map[net.Conn]struct{}{}}
	t.Cleanup(s.close)
	for i := range 2 * w.size.destinations {
		k, ip := w.size.kindOf(i), netip.AddrFrom4([4]byte{127, 64, byte(i >> 8), byte(i)})
		w.kinds[domain(i)], n.kinds[domain(i)+"."], n.hosts[domain(i)+"."] = k, k, ip
		if k == kindAbsent {
			continue
		}
		if err := s.listen(netip.AddrPortFrom(ip, 25).String(), k); err != nil {
			t.Fatal(err)
		}
	}
	dns, stop, err := serveNames(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	w.start(dns)
	return w
}

func (w *world) start(dns string) {
	var err error
	w.server, err = rig.Prepare(w.t.Context(), rig.Options{
		Binary: os.Getenv(binaryVar), Dir: w.t.TempDir(), Remote: "127.0.0.1:1",
		Extra: fmt.Sprintf("[mx]\ndns = [%q]\nprivate = [\"127.64.0.0/10\"]\n[retry]\nfirst = \"1h\"\n[limits]\ntransactions = 100000\nqueue_messages_per_account = 1000000", dns),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.server.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.server.Stop(); err != nil {
			w.t.Error(err)
		}
		if w.t.Failed() {
			w.t.Log(w.server.LogTail())
		}
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	go w.watchMemory(ctx)
}

func (w *world) watchMemory(ctx context.Context) {
	for ctx.Err() == nil {
		if rss, err := w.server.RSS(); err == nil {
			w.peak.Store(max(w.peak.Load(), rss))
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Write notes when a message was acknowledged; it is the generator's Acked.
func (w *world) Write(b []byte) (int, error) {
	w.sent.Store(strings.TrimSuffix(string(b), "\n"), time.Now())
	return len(b), nil
}

// run sends messages to all the given domains in turn, and waits until what is for
// healthy ones has arrived. It returns who was sent what.
func (w *world) run(prefix string, domains []string, messages, perSecond int) map[string]string {
	a := w.server.Accounts[0]
	to := make([]string, len(domains))
	for i, d := range domains {
		to[i] = "someone@" + d
	}
	rep, err := load.Run(w.t.Context(), load.Options{
		Addr: func() string { return w.server.Listen.Submissions[0] }, Connections: 10, Messages: messages, PerSecond: perSecond,
		Size: 4096, From: a.Address, To: to, User: a.Address, Password: a.Password, Security: load.Implicit, TLS: w.clientTLS(),
		Pipelining: true, Prefix: prefix, Patience: 2 * time.Minute, Acked: w,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	sent, healthy := map[string]string{}, 0
	for i := range messages {
		d := domains[i%len(domains)]
		sent[fmt.Sprintf("%s-%d", prefix, i)] = d
		if w.kinds[d] == kindHealthy {
			healthy++
		}
	}
	if rep.Acknowledged != messages {
		w.t.Fatalf("%d of %d messages were acknowledged: %+v", rep.Acknowledged, messages, rep)
	}
	w.arrive(sent, healthy)
	return sent
}

func (w *world) arrive(sent map[string]string, healthy int) {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		n := 0
		w.got.mu.Lock()
		for id := range sent {
			if len(w.got.at[id]) > 0 {
				n++
			}
		}
		w.got.mu.Unlock()
		if n >= healthy {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d messages to healthy destinations arrived", n, healthy)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) clientTLS() *tls.Config {
	pem, err := os.ReadFile(w.server.CA)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: w.server.Hostname}
}

// waits returns how long each message to a healthy destination took from its 250
// to its arrival, shortest first.
func (w *world) waits(sent map[string]string) []time.Duration {
	w.got.mu.Lock()
	defer w.got.mu.Unlock()
	var all []time.Duration
	for id, d := range sent {
		if at, ok := w.sent.Load(id); ok && w.kinds[d] == kindHealthy {
			all = append(all, max(0, w.got.at[id][0].Sub(at.(time.Time))))
		}
	}
	slices.Sort(all)
	return all
}

func at(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))].Round(10 * time.Microsecond)
}

// A third of the destinations is dead, slow or rude. The others get their mail as
// if nothing were: as when as much mail goes to as many destinations that are all
// well. Each recipient has exactly one outcome; memory is bounded.
func TestCrowd(t *testing.T) {
	w := newWorld(t)
	var all, good, well []string
	for i := range w.size.destinations {
		all, well = append(all, domain(i)), append(well, domain(w.size.destinations+i))
		if w.size.kindOf(i) == kindHealthy {
			good = append(good, domain(i))
		}
	}
	w.run("warm", append(slices.Clone(well), good...), len(well)+len(good), w.size.perSecond)
	alone := w.waits(w.run("well", well, w.size.messages, w.size.perSecond))
	calm := w.peak.Load()
	sent := w.run("mixed", all, w.size.messages, w.size.perSecond)
	among := w.waits(sent)
	t.Logf("healthy destinations: %d of %d, %d messages", len(good), len(all), len(among))
	for _, q := range []float64{0.5, 0.99, 1} {
		t.Logf("from 250 to arrival, quantile %.2f: where all are well %v, among dead, slow and rude ones %v", q, at(alone, q), at(among, q))
	}
	t.Logf("memory at most: %d MiB where all are well, %d MiB in all", calm>>20, w.peak.Load()>>20)
	if w.peak.Load() > mostMemory {
		t.Errorf("the server took %d MiB", w.peak.Load()>>20)
	}
	w.account(sent)
}

var loadID = regexp.MustCompile(load.IDField + `(\S+)`)

// account demands exactly one outcome for each message: it arrived once, or one
// notification says that it failed, or it waits in the queue.
func (w *world) account(sent map[string]string) {
	returned, waiting := w.returned(sent), w.waiting()
	w.got.mu.Lock()
	defer w.got.mu.Unlock()
	faults := 0
	for id, d := range sent {
		k := w.kinds[d]
		arrived, back, queued := len(w.got.at[id]), returned[id], waiting[id]
		ok := arrived+back+queued == 1
		switch {
		case k == kindHealthy:
			ok = ok && arrived == 1
		case k.final():
			ok = ok && back == 1
		case k == kindSlow || k == kindDrip:
			// It arrived, and its attempt may still be under way for its last replies.
			ok = ok || arrived == 1 && back == 0
		default:
			ok = ok && queued == 1
		}
		if !ok && faults < 20 {
			faults++
			w.t.Errorf("%s to %s (kind %d): arrived %d times, returned %d times, queued %d times", id, d, k, arrived, back, queued)
		}
	}
	w.t.Logf("accounted for: %d messages, of which %d came back and %d wait", len(sent), len(returned), len(waiting))
}

// returned counts the notifications about each message, once all that must come
// have come.
func (w *world) returned(sent map[string]string) map[string]int {
	want := 0
	for _, d := range sent {
		if w.kinds[d].final() {
			want++
		}
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		found := map[string]int{}
		files, err := filepath.Glob(filepath.Join(w.server.Accounts[0].Maildir, "new", "*"))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				w.t.Fatal(err)
			}
			if m := loadID.FindSubmatch(b); m != nil {
				found[string(m[1])]++
			}
		}
		if len(found) >= want || time.Now().After(deadline) {
			return found
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// waiting counts the queue's entries for each message.
func (w *world) waiting() map[string]int {
	out, err := w.server.CLI(w.t.Context(), "", "queue", "ls", "--json", "--account", w.server.Accounts[0].Address)
	if err != nil {
		w.t.Fatal(err)
	}
	entries, err := rig.Values(out)
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]int{}
	for _, e := range entries {
		var m struct {
			MessageID string `json:"message_id"`
			State     string `json:"state"`
		}
		if err := json.Unmarshal(e, &m); err != nil {
			w.t.Fatal(err)
		}
		if m.State != "waiting" {
			w.t.Errorf("%s is %s", m.MessageID, m.State)
		}
		found[strings.TrimSuffix(strings.TrimPrefix(m.MessageID, "<"), "@load.invalid>")]++
	}
	return found
}
