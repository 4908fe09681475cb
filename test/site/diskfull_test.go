package site

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
)

// used returns how much of the disk that holds a folder is used, and free.
func used(t *testing.T, dir string) (octets, free int64) {
	t.Helper()
	var s syscall.Statfs_t
	Must(t, syscall.Statfs(dir, &s))
	return int64(s.Blocks-s.Bavail) * s.Bsize, int64(s.Bavail) * s.Bsize
}

// lines counts the lines of a log that several write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// On a really small disk: a message to a thousand details of one address costs one
// copy; mail stops before it meets the reserve, into the queue and into the mailboxes;
// freezing, settling and the trace go on; and when there is room everything arrives.
func TestASmallDisk(t *testing.T) {
	NoLeaks(t)
	s := New(t, nil, "[retry]", `first = "1s"`, `max = "1s"`, `factor = 1`, `jitter = 0`)
	disk := filepath.Join(s.Dir, "data")
	Must(t, os.Mkdir(disk, 0o700))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { Must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	const reserve = 80 << 20
	s.Configure(strings.Replace(Text, `min_free = "1MiB"`, `min_free = "80MiB"`, 1) + "[retry]\nfirst = \"1s\"\nmax = \"1s\"\nfactor = 1\njitter = 0\n[authentication]\ncheck = \"off\"\n")
	var log lines
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := s.Start()
	s.Populate(n.Node)
	l := &promises{texts: map[string]string{}, acked: map[string]bool{}}

	before, _ := used(t, disk)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("bob+%d@local.test", i))
	}
	many := c.Send("eve@elsewhere.test", Message("many", "eve@elsewhere.test", 1<<20), to...)
	if !strings.HasPrefix(many, "250") {
		t.Fatal(many)
	}
	n.Idle()
	if found, err := BoxOf(vfs.Default, s.Config.Maildir.Root, "bob"); err != nil || len(found["many"]) != 1 {
		t.Fatalf("%d copies, %v", len(found["many"]), err)
	}
	if after, _ := used(t, disk); after-before > 50<<20 { // most of it is what the store gathers
		t.Errorf("it took %d octets", after-before)
	}
	answer, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "bob+999@local.test", Limit: 10})
	if err != nil || len(answer.Entries) == 0 {
		t.Errorf("the trace of one of them: %v, %d facts", err, len(answer.Entries))
	}

	// All at once, until nobody is taken any more, and some mail waits in the queue.
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if !l.deliver(t, n, fmt.Sprintf("fill-%d-%d", worker, i), 700<<10) {
					return
				}
			}
		})
	}
	wg.Wait()
	Eventually(t, "the disk to be called low", func() bool { return log.count("the disk is nearly full") == 1 })
	for i := range 50 {
		l.deliver(t, n, fmt.Sprintf("late-%d", i), 200<<10)
	}
	// The store works below the reserve, with what it gathers: never much.
	if _, free := used(t, disk); free < reserve-(40<<20) {
		t.Errorf("%d octets are free", free)
	}
	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "bob@local.test", Reason: "on a full disk"})
	Must(t, err)
	answer, err = n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "bob@local.test", Limit: 10})
	if err != nil || len(answer.Entries) == 0 {
		t.Errorf("the trace on a full disk: %v", err)
	}

	Must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=400m"))
	Eventually(t, "mail to be taken again", func() bool { return l.deliver(t, n, "after", 1000) })
	n.Idle()
	found, err := BoxOf(vfs.Default, s.Config.Maildir.Root, "alice")
	Must(t, err)
	taken := 0
	for id, acked := range l.acked {
		if acked {
			taken++
		}
		if acked != (len(found[id]) == 1) || len(found[id]) > 1 {
			t.Errorf("%s: taken %v, there %d times", id, acked, len(found[id]))
		}
	}
	Eventually(t, "it to be told that there is room", func() bool { return log.count("the disk has room again") == 1 })
	if log.count("level=ERROR") != 1 || log.count("level=WARN") != 0 {
		t.Errorf("%d errors and %d warnings were logged:\n%s", log.count("level=ERROR"), log.count("level=WARN"), log.text.String())
	}
	// The log is told before the trace has it.
	Eventually(t, "both alarms in the trace", func() bool {
		alarms := map[string]int{}
		for _, f := range n.Facts(fact.KindAlarm) {
			alarms[f.Rule]++
		}
		return alarms["disk-low"] == 1 && alarms["disk-free-again"] == 1
	})
	t.Logf("%d of %d were taken", taken, len(l.acked))
}
