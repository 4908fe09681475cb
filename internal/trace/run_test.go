package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/fact"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

func testPeer() netip.Addr { return netip.MustParseAddr("192.0.2.77") }

func retain(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Retain(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// run starts the sequencer on the real clock and returns how to stop it.
func (h *house) run(l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		h.t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				h.t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			h.t.Error("Run does not end")
		}
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func realtime(h *house) {
	h.o.Now = time.Now
	h.o.Limits.CheckpointEvery = 50 * time.Millisecond
	h.o.Limits.FlushFirst = 30 * time.Millisecond
	h.o.Limits.RetryEvery = 20 * time.Millisecond
}

func TestRunShowsFactsInOrderAndSignsAtTheEnd(t *testing.T) {
	h := newHouse(t)
	realtime(h)
	var mu sync.Mutex
	var shown []string
	h.o.Observe = func(f fact.Fact) {
		mu.Lock()
		defer mu.Unlock()
		shown = append(shown, string(f.Kind))
	}
	l := h.open()
	stop := h.run(l)
	eventually(t, "running", func() bool { return l.running.Load() })
	if err := l.Run(context.Background()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second sequencer: %v", err)
	}
	h.deliver(l, 1, "bob@remote.test")
	eventually(t, "a checkpoint", func() bool { return l.Stats().Signed == 5 })
	l.Stranger(fact.Fact{At: time.Now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "x@y.test"})
	eventually(t, "the stranger", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(shown) == 6
	})
	h.deliver(l, 2, "bob@remote.test")
	l.Stranger(fact.Fact{At: time.Now(), Kind: fact.KindDisconnect, Peer: testPeer()})
	stop()
	if got := strings.Join(shown, " "); got != "disconnect auth accept outcome disconnect refuse disconnect auth accept outcome disconnect disconnect" {
		t.Errorf("shown: %s", got)
	}
	raw, err := os.ReadFile(filepath.Join(h.o.CheckpointDir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.o.Key.Open(raw)
	if err != nil || c.Size != int64(h.st.FactHead()) || c.Size != 12 {
		t.Errorf("exported: %+v, %v", c, err)
	}
	if r := h.verify(l); !r.OK() {
		t.Error(r.Faults)
	}
}

func TestASlowObserverDelaysNobody(t *testing.T) {
	h := newHouse(t)
	realtime(h)
	h.o.Limits.Observed = 4
	release := make(chan struct{})
	h.o.Observe = func(fact.Fact) { <-release }
	l := h.open()
	stop := h.run(l)
	eventually(t, "running", func() bool { return l.running.Load() })
	for i := range 20 {
		h.deliver(l, i, "bob@remote.test")
	}
	eventually(t, "everything sequenced", func() bool { return l.Stats().Sequenced == 100 })
	if n := l.Stats().Skipped; n != 100-4-1 && n != 100-4 {
		t.Errorf("skipped %d", n)
	}
	close(release)
	stop()
	if !strings.Contains(h.logs.String(), "observer was slow") {
		t.Error("nothing was said")
	}
}

func TestRunSurvivesAFullDisk(t *testing.T) {
	h := newHouse(t)
	realtime(h)
	disk := &faulty{Store: h.st}
	h.st = disk
	l := h.open()
	stop := h.run(l)
	h.deliver(l, 1, "bob@remote.test")
	eventually(t, "sequenced", func() bool { return l.Stats().Sequenced == 5 })
	disk.set(store.ErrUnavailable)
	l.Stranger(fact.Fact{At: time.Now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "x@y.test"})
	eventually(t, "a failure", func() bool { return disk.failures() > 3 })
	disk.set(nil)
	eventually(t, "the stranger", func() bool { return l.Stats().Strangers == 1 })
	disk.set(store.ErrClosed)
	l.Stranger(fact.Fact{At: time.Now(), Kind: fact.KindRefuse, Peer: testPeer()})
	eventually(t, "the end", func() bool { return !l.running.Load() })
	disk.set(nil)
	_ = stop // Run has ended by itself with ErrClosed
}

// faulty is failing for several goroutines.
type faulty struct {
	store.Store
	mu  sync.Mutex
	err error
	n   int
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.n = err, 0
}

func (f *faulty) failures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *faulty) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	f.mu.Lock()
	err := f.err
	f.n++
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.Store.Apply(ctx, tx, d)
}

func TestManyWritersAndReadersAtOnce(t *testing.T) {
	h := newHouse(t)
	realtime(h)
	h.o.Limits.BatchFacts = 16
	l := h.open()
	stop := h.run(l)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				n := w*50 + i
				id := h.deliver(l, n, "bob@remote.test")
				if got := kinds(h.ask(l, id.String())); got != "disconnect auth accept outcome disconnect" {
					t.Errorf("message %d: %q", n, got)
				}
				l.Stranger(fact.Fact{At: time.Now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: fmt.Sprintf("x%d@y.test", n)})
			}
		})
	}
	wg.Wait()
	stop()
	r := h.verify(l)
	if !r.OK() || r.Pending != 0 {
		t.Errorf("%+v", r)
	}
	total := 0
	for _, e := range h.ask(l, "192.0.2.77").Entries {
		total += e.Fact.Count
	}
	if total != 200 {
		t.Errorf("%d refusals of 200", total)
	}
}

// Whatever happens in whatever order, each message's story is found whole, the
// tree verifies, and every stranger is counted.
func TestAnySequenceOfEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t)
		h.o.Limits.BatchFacts = rapid.IntRange(1, 9).Draw(rt, "batch")
		h.o.Limits.Groups = rapid.IntRange(1, 4).Draw(rt, "groups")
		l := h.open()
		ctx := context.Background()
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		messages, refused := 0, 0
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": func(*rapid.T) { h.deliver(l, messages, "bob@remote.test"); messages++ },
			"step":    func(*rapid.T) { _, err := l.step(ctx); must(err) },
			"sync":    func(*rapid.T) { must(l.Sync(ctx)) },
			"flush":   func(*rapid.T) { must(l.Flush(ctx)) },
			"retain":  func(*rapid.T) { must(l.Retain(ctx)) },
			"open":    func(*rapid.T) { must(l.Flush(ctx)); l = h.open() },
			"time":    func(*rapid.T) { h.clock.add(time.Minute) },
			"stranger": func(rt *rapid.T) {
				p := netip.AddrFrom4([4]byte{192, 0, rapid.Byte().Draw(rt, "net"), 9})
				l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: p, Recipient: "x@y.test"})
				refused++
			},
			"": func(rt *rapid.T) {
				if messages > 0 {
					n := rapid.IntRange(0, messages-1).Draw(rt, "which")
					if got := kinds(h.ask(l, testID(t, n).String())); got != "disconnect auth accept outcome disconnect" {
						rt.Fatalf("message %d of %d: %q", n, messages, got)
					}
				}
				total := 0
				for _, e := range h.ask(l, "x@y.test").Entries {
					total += e.Fact.Count
				}
				if total > refused {
					rt.Fatalf("%d refusals became %d", refused, total)
				}
			},
		})
		must(l.Sync(ctx))
		r, err := l.Verify(ctx)
		if err != nil || !r.OK() || r.Size != int64(h.st.FactHead()) {
			rt.Fatalf("%+v, %v", r, err)
		}
		counted := 0
		must(h.st.Scan(ctx, store.Prefix([]byte(index.BodyPrefix)), func(_, v []byte) (bool, error) {
			f, err := fact.Decode(v)
			counted += f.Count
			return true, err
		}))
		if counted != refused {
			rt.Fatalf("%d of %d refusals counted", counted, refused)
		}
	})
}
