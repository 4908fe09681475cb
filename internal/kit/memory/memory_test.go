package memory

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/test/group"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The collector stays within what is configured, unless the environment says otherwise.
func TestLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	var k Keeper
	if got := k.Limit(64 << 20); got != 64<<20 || debug.SetMemoryLimit(-1) != got || k.account() != got {
		t.Errorf("limited to %d, the collector to %d", got, debug.SetMemoryLimit(-1))
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got := k.Limit(32 << 20); got != 0 || debug.SetMemoryLimit(-1) != 64<<20 || k.account() != 64<<20 {
		t.Errorf("against the environment: %d, %d", got, debug.SetMemoryLimit(-1))
	}
}

func TestSoftLimit(t *testing.T) {
	for _, c := range []struct{ configured, group, host, want int64 }{
		{0, 0, 0, math.MaxInt64}, {0, 0, 1000, 500}, {0, 100, 1000, 90}, {50, 100, 1000, 50},
		{95, 100, 1000, 90}, {700, 0, 1000, 700}, {70, 0, 0, 70}, {0, 100, 0, 90},
		// A group that is allowed more than there is does not say anything.
		{0, 5000, 1000, 500}, {800, 5000, 1000, 800},
	} {
		if got := SoftLimit(c.configured, c.group, c.host); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// layout is a file system as the kernel lays it out: lines of a membership and of mounts, in which
// %s is where the files are, and those files.
type layout struct {
	membership, mounts string
	files              map[string]string
	want               int64
}

const (
	none   = "9223372036854771712\n" // as the first version says on pages of 4 KiB
	large  = "9223372036854710272\n" // and of 64 KiB
	plain2 = "29 23 0:26 / %s rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	plain1 = "24 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / %s rw,relatime shared:9 master:3 - cgroup cgroup rw,cpuset,memory\n"
)

var layouts = map[string]layout{
	"second version, nobody says":      {"0::/a/b\n", plain2, map[string]string{"a/b/memory.max": "max\n", "a/memory.high": "max\n"}, 0},
	"second, one above says":           {"0::/a/b\n", plain2, map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "9000\n"}, 9000},
	"second, the least counts":         {"0::/a/b\n", plain2, map[string]string{"a/b/memory.high": "10000\n", "a/memory.max": "9000\n", "a/b/memory.max": "11000\n"}, 9000},
	"second, from which it is slowed":  {"0::/a\n", plain2, map[string]string{"a/memory.high": "7000\n", "a/memory.max": "9000\n"}, 7000},
	"second, of a name space":          {"0::/\n", "9 2 0:26 / %s ro - cgroup2 cgroup rw\n", map[string]string{"memory.max": "5000\n"}, 5000},
	"second, outside of a name space":  {"0::/../x\n", plain2, map[string]string{"memory.max": "5000\n"}, 5000},
	"first version, nobody says":       {"4:memory:/a\n", plain1, map[string]string{"a/memory.limit_in_bytes": none, "memory.limit_in_bytes": large, "a/memory.stat": "cache 0\nhierarchical_memory_limit 9223372036854771712\n"}, 0},
	"first, its own":                   {"5:cpu,cpuacct:/c\n4:cpuset,memory:/a\n0::/\n", plain1, map[string]string{"a/memory.limit_in_bytes": "8000\n", "memory.limit_in_bytes": none}, 8000},
	"first, one above":                 {"4:memory:/a/b/c\n", plain1, map[string]string{"a/b/c/memory.limit_in_bytes": none, "a/b/memory.limit_in_bytes": "6000\n", "a/memory.limit_in_bytes": "7000\n"}, 6000},
	"first, one that is not seen":      {"4:memory:/docker/x\n", "9 2 0:32 /docker/x %s ro - cgroup cgroup rw,memory\n", map[string]string{"memory.limit_in_bytes": "8000\n", "memory.stat": "rss 5\nhierarchical_memory_limit 4000\nhierarchical_memsw_limit 1\n"}, 4000},
	"first, below what is mounted":     {"4:memory:/docker/x/y\n", "9 2 0:32 /docker/x %s ro - cgroup cgroup rw,memory\n", map[string]string{"y/memory.limit_in_bytes": "3000\n", "memory.limit_in_bytes": "8000\n"}, 3000},
	"first, of another name":           {"4:memory:/docker/xyz\n", "9 2 0:32 /docker/x %s ro - cgroup cgroup rw,memory\n", map[string]string{"yz/memory.limit_in_bytes": "3000\n", "memory.limit_in_bytes": "8000\n"}, 8000},
	"hybrid: memory in the first":      {"4:memory:/a\n0::/b\n", plain1 + "40 31 0:40 / /nowhere rw - cgroup2 cgroup2 rw\n", map[string]string{"a/memory.limit_in_bytes": "2000\n", "b/memory.max": "1\n"}, 2000},
	"no word of memory":                {"3:cpu:/a\n1:name=systemd:/a\n", plain1, map[string]string{"a/memory.limit_in_bytes": "2000\n"}, 0},
	"neither mounted nor a membership": {"nothing\n", "nothing\n- \n9 2 - cgroup2\n", nil, 0},
}

// The least limit of the groups above counts, whatever a group itself says, in both versions.
func TestMemoryOfTheControlGroup(t *testing.T) {
	for name, l := range layouts {
		dir := filepath.Join(t.TempDir(), "with a blank")
		must(t, os.MkdirAll(dir, 0o755))
		for file, text := range l.files {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
		}
		member, mounts := filepath.Join(dir, "cgroup"), filepath.Join(dir, "mountinfo")
		must(t, os.WriteFile(member, []byte(l.membership), 0o644))
		must(t, os.WriteFile(mounts, []byte(strings.ReplaceAll(l.mounts, "%s", strings.ReplaceAll(dir, " ", `\040`))), 0o644))
		if got := least(groups(member, mounts)); got != l.want {
			t.Errorf("%s: %d, want %d", name, got, l.want)
		}
		for _, gone := range []string{member, mounts} {
			must(t, os.Remove(gone))
			if got := groups(member, mounts); len(got) != 0 {
				t.Errorf("%s, without %s: %+v", name, gone, got)
			}
		}
	}
}

// What the kernel holds is told in either version, of the process's own group alone.
func TestKernelsPart(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"a/memory.kmem.usage_in_bytes": "700\n", "memory.kmem.usage_in_bytes": "9999\n", "b/memory.stat": "anon 1\nkernel 300\nsock 40\nslab 7\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	all := []hierarchy{first([]string{dir + "/a", dir}), second([]string{dir + "/b", dir}), second(nil)}
	if got := kernels(all); got != 1040 {
		t.Errorf("%d", got)
	}
}

// What the kernel takes is not left to the collector, of a limit of the group, and never more than
// a half of it.
func TestTheKernelsPartCounts(t *testing.T) {
	for _, c := range []struct{ within, group, kernel, want int64 }{
		{900, 1000, 0, 900}, {900, 1000, 100, 800}, {500, 1000, 100, 500}, {500, 1000, 450, 500}, {900, 1000, 5000, 500}, {700, 0, 100, 700},
	} {
		k := Keeper{within: c.within, group: c.group, kernel: c.kernel}
		if got := k.limit(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

const groupVar = "SALLYPORT_MEMORY_GROUP"

// A process finds the limit of the real group that it is in.
func TestARealGroup(t *testing.T) {
	const octets = 96 << 20
	if os.Getenv(groupVar) != "" {
		t.Logf("found=%d=", least(groups("/proc/self/cgroup", "/proc/self/mountinfo")))
		return
	}
	g := group.New(t, octets)
	args := append(g.Wrap(), os.Args[0], "-test.run", "^TestARealGroup$", "-test.v")
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), groupVar+"=1")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "found="+strconv.Itoa(octets)+"=") {
		t.Errorf("%v, want %d found\n%s", err, octets, out)
	}
}

// A level begins where it is said to, is left only below that, and more that is alive never brings a
// lesser one.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		alive int64
		was   Level
		want  Level
	}{
		{799, Enough, Enough}, {800, Enough, Short}, {899, Enough, Short}, {900, Enough, Out}, {2000, Enough, Out},
		{760, Short, Short}, {749, Short, Enough}, {860, Out, Out}, {849, Out, Short}, {749, Out, Enough}, {860, Short, Short},
	} {
		if got := Judge(c.alive, 1000, c.was); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	for _, limit := range []int64{0, -1, math.MaxInt64} {
		if got := Judge(1<<50, limit, Out); got != Enough {
			t.Errorf("of a limit of %d: %d", limit, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		was, limit := Level(rapid.IntRange(0, 2).Draw(t, "was")), rapid.Int64Range(1, 1<<40).Draw(t, "limit")
		a, b := rapid.Int64Range(0, 1<<41).Draw(t, "alive"), rapid.Int64Range(0, 1<<41).Draw(t, "more")
		if Judge(min(a, b), limit, was) > Judge(max(a, b), limit, was) {
			t.Fatal("more that is alive, and a lesser level")
		}
	})
}

// A look that finds the same cycle often enough asks for another, and only while there is not enough.
func TestLooksAreNotStale(t *testing.T) {
	k, asked := Keeper{cycles: 7}, 0
	for range 3 * collect {
		if _, _, stale := k.look(950, 1000, 7); stale {
			asked++
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	for i := range 3 * collect {
		if _, _, stale := k.look(950, 1000, uint64(i)); stale {
			t.Error("asked although the collector went on")
		}
		if _, _, stale := k.look(10, 1000, 7); stale {
			t.Error("asked although there is enough")
		}
	}
}

// The levels follow what is alive, up and, though nothing else is done, down again.
func TestLevelsFollowWhatIsAlive(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no cycle comes by itself
	runtime.GC()
	alive, _, _ := living()
	const taken = 64 << 20
	k := Keeper{own: true, within: alive + taken, group: 2 * (alive + taken)}
	ctx, cancel := context.WithCancel(t.Context())
	levels := make(chan Level, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.Run(ctx, func() int { return 0 }, func(l Level, _, _ int64) { levels <- l })
	}()
	defer func() { cancel(); <-ended }()
	held := make([]byte, taken)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	runtime.GC()
	wait := func(want Level) {
		t.Helper()
		for {
			select {
			case l := <-levels:
				if l == want {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("level %d does not come", want)
			}
		}
	}
	wait(Out)
	runtime.KeepAlive(held)
	held = nil
	wait(Enough)
}
