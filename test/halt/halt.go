// Package halt stops processes for tests and waits until they stand still: a signal that was
// sent is one that some thread has yet to hear of, and a server answers until all have.
package halt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Stop sends SIGSTOP to a process and returns once each of its threads has stopped, or the process
// is gone. The error says what stands in the way.
func Stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		running, err := runs(pid)
		switch {
		case err != nil:
			return err
		case !running:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("process %d does not stop", pid)
		}
	}
}

// runs reports whether a thread of a process has not stopped, as proc(5) tells it.
func runs(pid int) (bool, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return false, err
		}
		// The name of the program stands in brackets, and may hold any.
		_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
		if !ok || !strings.ContainsAny(rest[:1], "TZXt") {
			return true, nil
		}
	}
	return false, nil
}
