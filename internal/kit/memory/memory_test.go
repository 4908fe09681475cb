package memory

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
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
	if got := Limit(64 << 20); got != 64<<20 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("limited to %d, the collector to %d", got, debug.SetMemoryLimit(-1))
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got := Limit(32 << 20); got != 0 || debug.SetMemoryLimit(-1) != 64<<20 {
		t.Errorf("against the environment: %d, %d", got, debug.SetMemoryLimit(-1))
	}
}

func TestSoftLimit(t *testing.T) {
	for _, c := range []struct{ configured, group, host, want int64 }{
		{0, 0, 0, math.MaxInt64}, {0, 0, 1000, 500}, {0, 100, 1000, 90}, {50, 100, 1000, 50},
		{95, 100, 1000, 90}, {700, 0, 1000, 700}, {70, 0, 0, 70},
	} {
		if got := SoftLimit(c.configured, c.group, c.host); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// The least limit of the groups above counts, whatever a group itself says.
func TestMemoryOfTheControlGroup(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "system.slice", "mail.service"), 0o755))
	member := filepath.Join(dir, "member")
	must(t, os.WriteFile(member, []byte("1:name=x:/\n0::/system.slice/mail.service\n"), 0o644))
	write := func(group, file, text string) {
		must(t, os.WriteFile(filepath.Join(dir, group, file), []byte(text), 0o644))
	}
	for _, step := range []struct {
		group, file, text string
		want              int64
	}{
		{"system.slice/mail.service", "memory.max", "max\n", 0}, {"system.slice", "memory.max", "9000\n", 9000},
		{"system.slice/mail.service", "memory.high", "10000\n", 9000}, {"system.slice/mail.service", "memory.max", "8000\n", 8000},
	} {
		write(step.group, step.file, step.text)
		if got := groupMemory(member, dir); got != step.want {
			t.Errorf("%+v: %d", step, got)
		}
	}
	if got := groupMemory(filepath.Join(dir, "none"), dir); got != 0 {
		t.Errorf("of no group: %d", got)
	}
}
