package maildir

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"sallyport/internal/kit/fsys"
	"sallyport/internal/nexthop"
	"sallyport/internal/store/pebble"
)

const aliceNew = "/data/mail/local.test/alice/new"

// The power goes at every single operation of a delivery, with none, some or all
// of what was not synced surviving: a file in new/ is always complete, and after
// a success it is always there.
func TestPowerCutAtEveryOperation(t *testing.T) {
	text := strings.Repeat("0123456789abcdef\r\n", 12_000) // several writes
	mem := vfs.NewCrashableMem()
	var clones []*vfs.MemFS
	rng := rand.New(rand.NewPCG(1, 2))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	}))
	target := newTarget(t, fs, "/data/mail")
	j := job(t, text, "alice@local.test alice@local.test")
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
	if len(clones) < 3*15 {
		t.Fatalf("only %d moments seen", len(clones))
	}
	for i, c := range clones {
		for name, got := range files(t, c, aliceNew) {
			if !strings.HasSuffix(got, lf(text)) {
				t.Errorf("power cut %d: %s has %d octets", i, name, len(got))
			}
		}
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	if got := files(t, after, aliceNew); len(got) != 1 || !strings.HasSuffix(only(got), lf(text)) {
		t.Errorf("the delivered message is lost: %d files", len(got))
	}
}

// Every operation fails in turn, as a full disk and as a broken one. Whatever
// fails, the next attempt leaves exactly one complete and durable file.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		seen := map[errorfs.OpKind]bool{}
		for n := int64(1); ; n++ {
			mem := vfs.NewCrashableMem()
			var ops atomic.Int64
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if ops.Add(1) == n {
					seen[op.Kind] = true
					return fault
				}
				return nil
			}))
			target := newTarget(t, mem, "/data/mail")
			disk := pebble.Disk(fs)
			target.fs, target.sync = disk, fsys.NewGroup(disk.SyncDir)
			j := job(t, message, "alice@local.test alice@local.test")
			out := target.Deliver(t.Context(), j)
			if ops.Load() < n {
				break
			}
			if out[0].Delivered() && len(files(t, mem.CrashClone(vfs.CrashCloneCfg{}), aliceNew)) != 1 {
				t.Fatalf("%v at operation %d: delivered and lost", fault, n)
			}
			if out[0].Failed() || !out[0].Delivered() && (out[0].Reply.Code == 452) != (fault == syscall.ENOSPC) {
				t.Fatalf("%v at operation %d: %v", fault, n, out)
			}
			j.Attempt = 2
			if again := target.Deliver(t.Context(), j); !again[0].Delivered() {
				t.Fatalf("%v at operation %d: the next attempt says %v", fault, n, again)
			}
			if got := files(t, mem.CrashClone(vfs.CrashCloneCfg{}), aliceNew); len(got) != 1 || !strings.HasSuffix(only(got), lf(message)) {
				t.Fatalf("%v at operation %d: %q", fault, n, got)
			}
		}
		for _, kind := range []errorfs.OpKind{errorfs.OpMkdirAll, errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpRename, errorfs.OpOpenDir} {
			if !seen[kind] {
				t.Errorf("operation kind %v never failed", kind)
			}
		}
	}
}

// Whatever faults, crashes and readers do between attempts, a message that was
// reported as delivered is there exactly once, whole, after any later power cut.
func TestDeliveredOnceWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: t, rt: rt, jobs: map[int]nexthop.Job{}, delivered: map[int]bool{}}
		w.boot(vfs.NewCrashableMem())
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": w.deliver,
			"crash":   w.crash,
			"":        w.verify,
		})
	})
}

type world struct {
	t         *testing.T
	rt        *rapid.T
	mem       *vfs.MemFS
	target    *Target
	failAfter int // operations until the disk fails once; 0: it does not
	jobs      map[int]nexthop.Job
	delivered map[int]bool
}

func (w *world) boot(mem *vfs.MemFS) {
	w.mem, w.failAfter = mem, 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if w.failAfter--; w.failAfter == 0 {
			return syscall.EIO
		}
		return nil
	}))
	w.target = newTarget(w.t, fs, "/data/mail")
}

func (w *world) deliver(rt *rapid.T) {
	n := rapid.IntRange(0, 4).Draw(rt, "message")
	j, ok := w.jobs[n]
	if !ok {
		j = job(w.t, fmt.Sprintf("Subject: %d\r\n\r\n%s", n, strings.Repeat("x\r\n", n*20_000)), "alice@local.test alice@local.test")
		j.Attempt = 0
	}
	j.Attempt++
	w.jobs[n] = j
	w.failAfter = rapid.IntRange(0, 30).Draw(rt, "fault")
	out := w.target.Deliver(w.t.Context(), j)
	if out[0].Failed() {
		rt.Fatalf("a disk fault became permanent: %v", out)
	}
	w.delivered[n] = w.delivered[n] || out[0].Delivered()
	w.failAfter = 0
}

func (w *world) crash(rt *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced")
	seed := rapid.Uint64().Draw(rt, "seed")
	w.boot(w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))}))
}

func (w *world) verify(rt *rapid.T) {
	for _, fs := range []*vfs.MemFS{w.mem, w.mem.CrashClone(vfs.CrashCloneCfg{})} {
		got := files(w.t, fs, aliceNew)
		for n, j := range w.jobs {
			text, there := got[w.target.fileName(j.ID, j.Recipients[0].Mailbox)]
			if w.delivered[n] && !there {
				rt.Fatalf("message %d was delivered and is gone", n)
			}
			if there && (!strings.Contains(text, fmt.Sprintf("Subject: %d\n", n)) || len(text) < n*20_000*len("x\n")) {
				rt.Fatalf("message %d is torn: %d octets", n, len(text))
			}
		}
		if len(got) > len(w.jobs) {
			rt.Fatalf("%d files for %d messages", len(got), len(w.jobs))
		}
	}
}

// No two local-parts share a folder, and none leaves its place.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"alice", "../../etc/passwd", ".", "..", ".ssh", "a/b", "a%2Fb", "a b", "bób", "|id", "-rf", "a\\b", "con:", "A"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := escape(a), escape(b)
		if (x == y) != (a == b) {
			t.Fatalf("%q and %q share %q", a, b, x)
		}
		if strings.ContainsAny(x, "/\\:\x00 ") || strings.HasPrefix(x, ".") {
			t.Fatalf("%q became %q", a, x)
		}
	})
}
