package site

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
)

// sent is a message that a client gave away.
type sent struct {
	text string
	to   []string // addresses of mailboxes, or of the foreign domain
}

// crash is what a power failure at one moment leaves of the disk, and what had been
// promised until then.
type crash struct {
	moment      string
	disk        *vfs.MemFS
	checkpoints map[string][]byte // exported by then
	acked       map[string]string // queue ids of the 250s read by then, by identifier
	arrived     int               // messages that the foreign domain had
}

// recorder takes crashes before writing operations on a disk: the moment before
// one is the moment after another.
type recorder struct {
	s    *Site
	disk *vfs.MemFS
	// every is how many operations pass between two crashes, first the first one.
	every, first int

	mu      sync.Mutex
	rng     *rand.Rand
	ops     int
	kinds   map[errorfs.OpKind]int
	acked   map[string]string
	crashes []crash
}

// MaybeError implements errorfs.Injector; it is called before each operation.
func (r *recorder) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ops++; r.ops%r.every != r.first {
		return nil
	}
	r.kinds[op.Kind]++
	c := crash{moment: fmt.Sprintf("operation %d (kind %d on %s)", r.ops, op.Kind, filepath.Base(op.Path)), acked: maps.Clone(r.acked)}
	// What was promised is read before the disk, what others got after it: a
	// message may only be missing from the first if it is in the second.
	c.checkpoints = readFiles(r.s.Config.CheckpointDir())
	c.disk = r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(3) * 50, RNG: r.rng})
	c.arrived = r.s.Sink.Messages()
	r.crashes = append(r.crashes, c)
	return nil
}

// String implements errorfs.Injector.
func (r *recorder) String() string { return "recorder" }

func (r *recorder) ack(id, queue string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[id] = queue
}

func readFiles(dir string) map[string][]byte {
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files // not made yet
	}
	for _, e := range entries {
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && !strings.HasPrefix(e.Name(), ".") {
			files[e.Name()] = b
		}
	}
	return files
}

// The power fails before and after operations of accepting, delivering, relaying
// and settling, with none, some and all of what was not synced lost. The server
// that starts on what is left delivers whatever had its 250, exactly, and its trace
// verifies. SALLYPORT_SOAK=1 takes every operation, with several seeds.
func TestPowerFailsAtEveryWrite(t *testing.T) {
	NoLeaks(t)
	const every = 3
	runs, seeds := 1, uint64(1)
	if os.Getenv("SALLYPORT_SOAK") != "" {
		runs, seeds = every, 10
	}
	for seed := range seeds {
		for first := range runs {
			powerFails(t, every, first, seed)
		}
	}
}

func powerFails(t *testing.T, every, first int, seed uint64) {
	disk := vfs.NewCrashableMem()
	s := New(t, disk)
	s.Config.Trace.CheckpointEvery = 10 * time.Millisecond
	r := &recorder{s: s, disk: disk, every: every, first: first, rng: rand.New(rand.NewPCG(seed, uint64(first))), acked: map[string]string{}, kinds: map[errorfs.OpKind]int{}}
	s.FS = errorfs.Wrap(disk, r)
	n := s.Start()
	s.Populate(n.Node)
	messages := workload(s, n, r)
	n.Idle()
	n.Stopped()
	if len(r.acked) != len(messages) || len(r.crashes) < 40 {
		t.Fatalf("%d of %d messages were accepted, %d crashes taken: the workload does not test", len(r.acked), len(messages), len(r.crashes))
	}
	began := time.Now()
	for _, c := range r.crashes {
		s.recovers(c, messages)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d operations, %d crashes, by kind %v; each recovered in %v", r.ops, len(r.crashes), r.kinds, time.Since(began)/time.Duration(len(r.crashes)))
}

// workload sends mail from four clients at once: small and large, to one mailbox
// and to several, and through the submission door to both worlds.
func workload(s *Site, n *Running, r *recorder) map[string]sent {
	const rounds = 4
	var mu sync.Mutex
	messages := map[string]sent{}
	send := func(c *Client, from, id string, size int, to ...string) {
		text := Message(id, from, size)
		mu.Lock()
		messages[id] = sent{text, final(to)}
		mu.Unlock()
		if reply := c.Send(from, text, to...); strings.HasPrefix(reply, "250") {
			r.ack(id, QueueID(reply))
		} else {
			s.t.Errorf("%s: got %q", id, reply)
		}
	}
	var wg sync.WaitGroup
	for w := range 2 {
		in := Connect(s.t, n.Addrs().MX[0])
		in.OK("250", "EHLO client.test")
		out := s.SignIn(n, w == 0, "alice@local.test")
		wg.Go(func() {
			for i := range rounds {
				send(in, "eve@elsewhere.test", fmt.Sprintf("in-%d-%d", w, i), 1000, "alice@local.test")
				send(in, "eve@elsewhere.test", fmt.Sprintf("both-%d-%d", w, i), 150<<10*(i%2)+3000, "both@local.test")
			}
		})
		wg.Go(func() {
			for i := range rounds {
				send(out, "alice@local.test", fmt.Sprintf("out-%d-%d", w, i), 150<<10*(i%2)+1000, "x@remote.test", "y@remote.test", "bob@local.test")
			}
		})
	}
	wg.Wait()
	return messages
}

// final returns where mail for these addresses ends.
func final(to []string) []string {
	if slices.Contains(to, "both@local.test") {
		return []string{"alice@local.test", "bob@local.test"}
	}
	return to
}

// recovers starts a server on what a crash left, lets it deliver, and compares.
func (s *Site) recovers(c crash, messages map[string]sent) {
	s.t.Helper()
	Must(s.t, os.RemoveAll(s.Config.CheckpointDir()))
	Must(s.t, os.MkdirAll(s.Config.CheckpointDir(), 0o755))
	for name, b := range c.checkpoints {
		Must(s.t, os.WriteFile(filepath.Join(s.Config.CheckpointDir(), name), b, 0o644))
	}
	s.FS = c.disk
	before := s.Sink.Messages()
	n := s.Start()
	n.Idle()
	foreign := Arrived(s.Sink, 0, c.arrived)
	for key, copies := range Arrived(s.Sink, before, s.Sink.Messages()) {
		foreign[key] = append(foreign[key], copies...)
	}
	local := map[string][]string{}
	for _, name := range []string{"alice", "bob"} {
		found, err := BoxOf(c.disk, s.Config.Maildir.Root, name)
		Must(s.t, err)
		for id, copies := range found {
			local[id+" "+name+"@local.test"] = copies
		}
	}
	s.compare(c, messages, local, foreign)
	s.compareTrace(c, n)
	n.Stopped()
}

// compare demands every acknowledged message once in each mailbox and at least once
// at the foreign domain, and of every message that it is whole.
func (s *Site) compare(c crash, messages map[string]sent, local, foreign map[string][]string) {
	s.t.Helper()
	for id := range c.acked {
		for _, to := range messages[id].to {
			ours := strings.HasSuffix(to, "@local.test")
			if got := len(local[id+" "+to]); ours && got != 1 {
				s.t.Errorf("%s: %s was acknowledged, %s has %d copies", c.moment, id, to, got)
			}
			if !ours && len(foreign[id+" "+to]) == 0 {
				s.t.Errorf("%s: %s was acknowledged and did not reach %s", c.moment, id, to)
			}
		}
	}
	for _, world := range []map[string][]string{local, foreign} {
		for key, copies := range world {
			id, _, _ := strings.Cut(key, " ")
			for _, got := range copies {
				if err := Exact(got, messages[id].text); err != nil {
					s.t.Errorf("%s: %s: %v", c.moment, key, err)
				}
			}
		}
	}
}

// compareTrace demands that the log verifies and tells of every acceptance.
func (s *Site) compareTrace(c crash, n *Running) {
	s.t.Helper()
	report, err := n.Operator().TraceVerify(s.t.Context(), operate.Self(), struct{}{})
	if err != nil || !report.OK() {
		s.t.Errorf("%s: the trace does not verify: %v %q", c.moment, err, report.Faults)
	}
	for id, queue := range c.acked {
		answer, err := n.Operator().Trace(s.t.Context(), operate.Self(), operate.TraceQuery{Text: queue, Exact: true})
		Must(s.t, err)
		if !slices.ContainsFunc(answer.Entries, func(e query.Entry) bool { return e.Fact.Kind == fact.KindAccept }) {
			s.t.Errorf("%s: %s was acknowledged as %s, of which the trace knows nothing", c.moment, id, queue)
		}
	}
}
