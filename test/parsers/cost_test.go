package parsers

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time of this process so far, of all its threads, collection of
// garbage included. Other work on the machine does not count in it, as it does in
// wall-clock time.
func cpu(t testing.TB) time.Duration { return usage(t, syscall.RUSAGE_SELF) }

func usage(t testing.TB, of int) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(of, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// glance is the processor time of one call of read on this thread: a first look at what
// it costs, without the garbage of others.
func glance(t testing.TB, read func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD of getrusage(2)
	begin := usage(t, thread)
	read()
	return usage(t, thread) - begin
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
