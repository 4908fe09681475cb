// Package memory tells the garbage collector how much memory the process may take: what
// is configured, within what the host and its control group allow.
package memory

import (
	"bytes"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit tells the garbage collector what to stay within, and returns it, in octets;
// configured is what the configuration says, 0 if nothing. What the environment says
// (GOMEMLIMIT) was taken by the collector before, and stands: then 0 is returned.
func Limit(configured int64) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := SoftLimit(configured, groupMemory("/proc/self/cgroup", "/sys/fs/cgroup"), hostMemory())
	debug.SetMemoryLimit(limit)
	return limit
}

// SoftLimit is what the process tries to stay within: what the configuration says, but
// no more than nine tenths of what the control group allows, since what is beyond that
// ends the process; else a half of the host's. What is not known is 0.
func SoftLimit(configured, group, host int64) int64 {
	within := int64(math.MaxInt64)
	switch {
	case group > 0:
		within = group / 10 * 9
	case configured == 0 && host > 0:
		within = host / 2
	}
	if configured > 0 {
		within = min(within, configured)
	}
	return within
}

func hostMemory() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}

// groupMemory returns the least memory that the control group of the process, or one
// above it, is allowed; 0 if none says.
func groupMemory(membership, mount string) int64 {
	text, err := os.ReadFile(membership)
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[0] != "0" {
			continue // of the first version, which is gone from where systemd runs
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			for _, file := range []string{"memory.max", "memory.high"} {
				b, err := os.ReadFile(path.Join(mount, group, file))
				if v, bad := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil && bad == nil && v > 0 && (least == 0 || v < least) {
					least = v
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}
