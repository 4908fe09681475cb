// Package memory keeps the process within its memory limit: what is configured, within what the
// host and its control group allow. It tells the garbage collector, and whoever would take more
// when little is left.
//
// It promises that what the kernel holds for the group counts, that the levels follow what is alive
// and not what is garbage, and that a level is left again within seconds of what brought it about,
// however little the process does then.
package memory

import (
	"math"
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// Keeper knows what the process may take. Its zero value is ready; it is safe for concurrent use.
type Keeper struct {
	mu     sync.Mutex
	own    bool  // the environment says nothing
	within int64 // what is configured and allowed
	group  int64 // what the control group is allowed; 0: more than the host has
	kernel int64 // what the kernel holds for the group
	groups []hierarchy
	level  Level
	cycles uint64 // of the collector, at the last look
	looks  int    // that found the same
}

// Limit tells the garbage collector what to stay within, and returns it, in octets;
// configured is what the configuration says, 0 if nothing. What the environment says
// (GOMEMLIMIT) was taken by the collector before, and stands: then 0 is returned.
func (k *Keeper) Limit(configured int64) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own = os.Getenv("GOMEMLIMIT") == ""; !k.own {
		return 0
	}
	k.groups = groups("/proc/self/cgroup", "/proc/self/mountinfo")
	host := hostMemory()
	k.group, k.kernel = narrower(least(k.groups), host), kernels(k.groups)
	k.within = SoftLimit(configured, k.group, host)
	limit := k.limit()
	debug.SetMemoryLimit(limit)
	return limit
}

// limit is what is left for the process itself.
func (k *Keeper) limit() int64 {
	if k.group == 0 {
		return k.within
	}
	return min(k.within, max(SoftLimit(0, k.group, 0)-k.kernel, k.group/2))
}

// SoftLimit is what the process tries to stay within: what the configuration says, but
// no more than nine tenths of what the control group allows, since what is beyond that
// ends the process; else a half of the host's. What is not known is 0; a group that is
// allowed more than the host has is allowed anything.
func SoftLimit(configured, group, host int64) int64 {
	within := int64(math.MaxInt64)
	switch {
	case narrower(group, host) > 0:
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

// narrower is what a group is allowed if that is less than the host has, else 0.
func narrower(group, host int64) int64 {
	if host > 0 && group >= host {
		return 0
	}
	return group
}
