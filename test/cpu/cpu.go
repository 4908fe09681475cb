// Package cpu tells tests what work costs in processor time, which other work on the
// machine is not part of, as it is of the time on a clock.
package cpu

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Process is the processor time of this process so far, of all its threads, collection of
// garbage included.
func Process(t testing.TB) time.Duration {
	t.Helper()
	return spent(t, unix.CLOCK_PROCESS_CPUTIME_ID)
}

// Thread is the processor time of one call of f on the thread that it runs on: neither
// what other goroutines do counts, nor most of the garbage of others.
func Thread(t testing.TB, f func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := spent(t, unix.CLOCK_THREAD_CPUTIME_ID)
	f()
	return spent(t, unix.CLOCK_THREAD_CPUTIME_ID) - begin
}

// Work is the processor time of one call of f in this process, repeated until it took
// least in all.
func Work(t testing.TB, least time.Duration, f func()) time.Duration {
	t.Helper()
	runtime.GC() // what others left behind is not on this bill
	begin := Process(t)
	for n := 1; ; n++ {
		f()
		if spent := Process(t) - begin; spent >= least {
			return spent / time.Duration(n)
		}
	}
}

// spent reads a clock of processor time. That of getrusage(2) stands still for
// milliseconds.
func spent(t testing.TB, clock int32) time.Duration {
	t.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(clock, &at); err != nil {
		t.Fatal(err)
	}
	return time.Duration(at.Nano())
}
