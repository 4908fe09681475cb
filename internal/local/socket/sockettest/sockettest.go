// Package sockettest lets a test be another user of this host for a moment, since what
// a local socket opens hangs on the uid that the kernel tells.
package sockettest

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// As runs fn as the user uid, in a thread of its own, which ends with it. Only root can;
// for others the test is skipped.
func As(t *testing.T, uid uint32, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	failed := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is thrown away with the uid that it has.
		runtime.LockOSThread()
		var err error
		// The raw call changes this thread alone; the group first, while it still may.
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			err = e
		} else if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); e != 0 {
			err = e
		} else if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			err = e
		}
		if err == nil {
			fn()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatalf("becoming uid %d: %v", uid, err)
	}
}
