package site

import (
	"fmt"
	"sallyport/internal/operate"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fault makes operations of some kinds on some files fail.
type fault struct {
	kinds []errorfs.OpKind
	path  string // what the path must contain
	err   error
	hits  atomic.Int64
}

// breaker is a disk's present fault; nil: it works.
type breaker struct{ now atomic.Pointer[fault] }

// MaybeError implements errorfs.Injector.
func (b *breaker) MaybeError(op errorfs.Op) error {
	f := b.now.Load()
	if f == nil || !slices.Contains(f.kinds, op.Kind) || !strings.Contains(op.Path, f.path) {
		return nil
	}
	f.hits.Add(1)
	return f.err
}

// String implements errorfs.Injector.
func (b *breaker) String() string { return "breaker" }

// diskFaults are the ways in which the disk fails, one after the other.
func diskFaults() map[string]*fault {
	all := map[string]*fault{}
	kinds := map[string][]errorfs.OpKind{
		"create": {errorfs.OpCreate},
		"write":  {errorfs.OpFileWrite, errorfs.OpFileWriteAt},
		"sync":   {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
		"rename": {errorfs.OpRename},
		"folder": {errorfs.OpOpenDir},
		"remove": {errorfs.OpRemove},
		"close":  {errorfs.OpFileClose},
		"read":   {errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpOpen, errorfs.OpStat, errorfs.OpList},
	}
	kinds["all writing"] = slices.Concat(kinds["create"], kinds["write"], kinds["sync"], kinds["rename"], kinds["remove"], kinds["close"])
	for name, k := range kinds {
		for _, place := range []string{"", "/store/", "/mail/"} {
			all[name+" "+place+" fails"] = &fault{kinds: k, path: place, err: syscall.EIO}
			if name == "create" || name == "write" || name == "all writing" {
				all[name+" "+place+" finds no space"] = &fault{kinds: k, path: place, err: syscall.ENOSPC}
			}
			if name == "all writing" {
				// As a kernel leaves a disk in which it met an error.
				all[place+" is read-only"] = &fault{kinds: slices.Concat(kinds["create"], kinds["write"], kinds["rename"], kinds["remove"]), path: place, err: syscall.EROFS}
			}
		}
	}
	return all
}

// promises are what clients were told about their messages.
type promises struct {
	mu    sync.Mutex
	texts map[string]string
	acked map[string]bool
}

func (l *promises) note(id, text string, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts[id], l.acked[id] = text, acked
}

// deliver gives one message to the mx door and notes the answer, which must be 250
// or 4xx. It reports whether the message was taken.
func (l *promises) deliver(t *testing.T, n *Running, id string, size int) bool {
	c := Connect(t, n.Addrs().MX[0])
	defer c.Conn.Close()
	c.OK("250", "EHLO client.test")
	text := Message(id, "eve@elsewhere.test", size)
	reply := c.Send("eve@elsewhere.test", text, "alice@local.test")
	if !strings.HasPrefix(reply, "250") && !strings.HasPrefix(reply, "4") {
		t.Errorf("%s: got %q", id, reply)
	}
	l.note(id, text, strings.HasPrefix(reply, "250"))
	return strings.HasPrefix(reply, "250")
}

// relays demands that a stranger gets to no foreign address, whatever fails.
func relays(t *testing.T, n *Running) {
	c := Connect(t, n.Addrs().MX[0])
	defer c.Conn.Close()
	c.OK("250", "EHLO client.test")
	if r := c.Send("eve@elsewhere.test", Message("relayed", "eve@elsewhere.test", 1000), "victim@remote.test"); strings.HasPrefix(r, "250") {
		t.Errorf("a stranger's message for others is answered with %s", r)
	}
}

// The disk fails in every way, at every kind of operation, while mail comes in. No
// message is lost or doubled, what was not taken is not delivered, and the same
// server takes and delivers mail again as soon as the disk works.
func TestTheDiskFails(t *testing.T) {
	NoLeaks(t)
	disk := &breaker{}
	s := New(t, errorfs.Wrap(vfs.NewMem(), disk), "[retry]", `first = "1s"`, `max = "1s"`, `factor = 1`, `jitter = 0`)
	s.Log = Quiet()
	n := s.Start()
	s.Populate(n.Node)
	l := &promises{texts: map[string]string{}, acked: map[string]bool{}}
	hits, refused := 0, 0
	for name, f := range diskFaults() {
		disk.now.Store(f)
		tag := strings.NewReplacer(" ", "-", "/", "").Replace(name)
		var wg sync.WaitGroup
		for i, size := range []int{1000, 20_000, 200 << 10} {
			wg.Go(func() { l.deliver(t, n, fmt.Sprintf("%s-%d", tag, i), size) })
		}
		wg.Go(func() { relays(t, n) })
		wg.Wait()
		disk.now.Store(nil)
		if f.hits.Load() > 0 {
			hits++
		}
		began := time.Now()
		for i := 0; ; i++ {
			if l.deliver(t, n, fmt.Sprintf("%s-after-%d", tag, i), 1000) {
				break
			}
			refused++
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%s: no mail is taken long after the disk recovered", name)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if hits < 20 || refused == 0 {
		t.Errorf("%d faults met an operation, %d messages were refused after one: the faults do not test", hits, refused)
	}
	n.Idle()
	found, err := BoxOf(s.FS, s.Config.Maildir.Root, "alice")
	Must(t, err)
	for id, acked := range l.acked {
		copies := found[id]
		if acked && len(copies) != 1 {
			t.Errorf("%s was taken and is there %d times", id, len(copies))
		}
		if !acked && len(copies) != 0 {
			t.Errorf("%s was refused and is there %d times", id, len(copies))
		}
		for _, got := range copies {
			if err := Exact(got, l.texts[id]); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	report, err := n.Operator().TraceVerify(t.Context(), operate.Self(), struct{}{})
	if err != nil || !report.OK() {
		t.Errorf("the trace does not verify: %v %q", err, report.Faults)
	}
	t.Logf("%d messages, %d refused", len(l.acked), len(l.acked)-len(found))
}

// A disk with less than limits.min_free takes no mail and still delivers what it
// took; freed, it takes mail again.
func TestTheDiskIsNearlyFull(t *testing.T) {
	NoLeaks(t)
	disk := vfs.NewMem()
	s := New(t, disk, "[retry]", `first = "1s"`)
	n := s.Start()
	s.Populate(n.Node)
	s.Unreachable.Store(true)
	alice := s.SignIn(n, true, "alice@local.test")
	early := alice.Send("alice@local.test", Message("early", "alice@local.test", 1000), "x@remote.test")
	if !strings.HasPrefix(early, "250") {
		t.Fatalf("got %q", early)
	}
	l := &promises{texts: map[string]string{}, acked: map[string]bool{}}
	attempt := 0
	try := func(want bool) bool {
		attempt++
		return l.deliver(t, n, fmt.Sprintf("try-%d", attempt), 1000) == want
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1<<20 - 1, TotalBytes: 1 << 30})
	Eventually(t, "mail to be refused", func() bool { return try(false) })
	s.Unreachable.Store(false)
	// What was taken for a mailbox just before may wait for room; what leaves needs none.
	Eventually(t, "what leaves to leave while the disk is nearly full", func() bool { return s.Sink.Messages() == 1 })
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30})
	Eventually(t, "mail to be taken again", func() bool { return try(true) })
	n.Idle()
}
