package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkFirstLook opens a folder of 200,000 messages that has no index yet.
func BenchmarkFirstLook(b *testing.B) {
	const messages = 200_000
	dir := b.TempDir()
	s := open(b, vfs.Default, dir)
	cur := filepath.Join(s.dir, ".Huge", "cur")
	check(b, os.MkdirAll(cur, mode))
	check(b, os.MkdirAll(filepath.Join(s.dir, ".Huge", "new"), mode))
	check(b, os.MkdirAll(filepath.Join(s.dir, ".Huge", "tmp"), mode))
	last := ""
	for i := range messages {
		name := filepath.Join(cur, fmt.Sprintf("%d.M%dP4242Q%d.mx.local.test:2,%s", 1_700_000_000+i, i, i, []string{"", "S", "RS", "FS"}[i%4]))
		if i%1000 != 0 {
			check(b, os.Link(last, name))
			continue
		}
		check(b, os.WriteFile(name, []byte(letter), 0o600))
		last = name
	}
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		s.root.Close()
		s = open(b, vfs.Default, dir)
		check(b, os.RemoveAll(filepath.Join(s.dir, ".Huge", indexFolder)))
		before := processorTime()
		b.StartTimer()
		m, err := s.user.Select(b.Context(), "Huge", false)
		check(b, err)
		if n := len(m.State().Messages); n != messages {
			b.Fatalf("%d messages", n)
		}
		spent += processorTime() - before
		m.Close()
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
}

// processorTime is what the process took of the processor.
func processorTime() time.Duration {
	var is syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &is)
	return time.Duration(is.Utime.Nano() + is.Stime.Nano())
}
