// Package group gives a process of a test a control group of its own, with the memory that it may have, in
// whichever version of control groups the host has memory in. It needs root.
package group

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Group is a control group for memory.
type Group struct {
	Dir   string
	first bool // of the first version of control groups
}

// New makes a group with so many octets, and skips the test where there can be none. It is removed when
// the test ends; whoever is in it must have ended then.
func New(t *testing.T, octets int64) *Group {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it needs root, for a control group")
	}
	root, first := hierarchy(t)
	if root == "" {
		t.Skip("no control groups for memory are mounted here")
	}
	g := &Group{Dir: filepath.Join(root, fmt.Sprintf("sallyport-%d-%d", os.Getpid(), time.Now().UnixNano())), first: first}
	if err := os.Mkdir(g.Dir, 0o755); err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		for range 100 { // the kernel counts who ended for a moment more
			if os.Remove(g.Dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("the control group %s stays", g.Dir)
	})
	file := "memory.max"
	if first {
		file = "memory.limit_in_bytes"
	}
	if err := os.WriteFile(filepath.Join(g.Dir, file), []byte(strconv.FormatInt(octets, 10)), 0o644); err != nil {
		t.Skipf("no memory can be limited here: %v", err)
	}
	if !first {
		_ = os.WriteFile(filepath.Join(g.Dir, "memory.swap.max"), []byte("0"), 0o644) // where there is swap
	}
	return g
}

// hierarchy is where groups for memory are, and whether in the first version.
func hierarchy(t *testing.T) (root string, first bool) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",memory,"):
			return f[1], true
		case f[2] == "cgroup2":
			if has, err := os.ReadFile(filepath.Join(f[1], "cgroup.subtree_control")); err == nil && strings.Contains(string(has), "memory") {
				root = f[1]
			}
		}
	}
	return root, false
}

// Wrap is what stands before a command line that is to run in the group.
func (g *Group) Wrap() []string {
	return []string{"sh", "-ec", `echo $$ > "$0"; exec "$@"`, filepath.Join(g.Dir, "cgroup.procs")}
}

// Killed returns how often the kernel ended a process of the group for want of memory.
func (g *Group) Killed() (int, error) {
	file, word := "memory.events", "oom_kill"
	if g.first {
		file = "memory.oom_control"
	}
	return figure(filepath.Join(g.Dir, file), word)
}

// Most returns the most octets that the group had, with what files took that were written; 0 where
// the kernel does not say.
func (g *Group) Most() int {
	file := "memory.peak"
	if g.first {
		file = "memory.max_usage_in_bytes"
	}
	n, _ := figure(filepath.Join(g.Dir, file), "")
	return n
}

// figure reads a number behind a word, or the whole file.
func figure(file, word string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if word == "" {
		return strconv.Atoi(strings.TrimSpace(string(text)))
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("group: no %s in %s", word, file)
}
