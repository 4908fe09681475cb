package parsers

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time of this process so far, of all its threads. Other work on
// the machine does not count in it, as it does in wall-clock time.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost is the processor time of one call of read, repeated until it took least in all.
func cost(t testing.TB, least time.Duration, read func()) time.Duration {
	t.Helper()
	runtime.GC() // what others left behind is not on this bill
	begin := cpu(t)
	for n := 1; ; n++ {
		read()
		if spent := cpu(t) - begin; spent >= least {
			return spent / time.Duration(n)
		}
	}
}
