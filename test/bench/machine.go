package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine says what was measured on, without names of hosts or folders.
type machine struct {
	Processor string  `json:"processor"`
	Cores     int     `json:"cores"`
	Memory    int64   `json:"memory"` // octets
	Kernel    string  `json:"kernel"`
	System    string  `json:"system"`
	Disk      string  `json:"disk"`
	Sync      float64 `json:"sync"` // median seconds of an fdatasync of 10 KiB appended to a file
	Go        string  `json:"go"`
}

// inspect describes the machine and the disk that holds dir.
func inspect(dir string) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var errs [6]error
	m.Processor, errs[0] = valueIn("/proc/cpuinfo", "model name", ":")
	m.Memory, errs[1] = memory()
	m.Kernel, errs[2] = firstLine("/proc/sys/kernel/osrelease")
	m.System, errs[3] = system()
	m.Disk, errs[4] = disk(dir)
	m.Sync, errs[5] = syncTime(dir)
	return m, errors.Join(errs[:]...)
}

func firstLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line), err
}

// valueIn finds the first line "KEY sep VALUE" of a file.
func valueIn(path, key, sep string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, sep); ok && strings.TrimSpace(k) == key {
			return strings.Trim(strings.TrimSpace(v), `"`), nil
		}
	}
	return "", fmt.Errorf("%s has no %q", path, key)
}

func memory() (int64, error) {
	v, err := valueIn("/proc/meminfo", "MemTotal", ":")
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseInt(strings.TrimSuffix(v, " kB"), 10, 64)
	return kb << 10, err
}

// system names the distribution, with Debian's point release where there is one.
func system() (string, error) {
	name, err := valueIn("/etc/os-release", "PRETTY_NAME", "=")
	if err != nil {
		return "", err
	}
	if point, err := firstLine("/etc/debian_version"); err == nil {
		name += ", " + point
	}
	return name, nil
}

// disk names the file system below dir and the kind of device that it is on.
func disk(dir string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	m, err := mountOf(string(mounts), dir)
	if err != nil {
		return "", err
	}
	return m.kind + device("/sys/dev/block/"+m.device), nil
}

// mount is a line of /proc/self/mountinfo.
type mount struct {
	point, device, kind string
}

// mountOf finds the file system that an absolute path is on: the mount point that
// is its longest parent, and the latest of those that cover each other. proc(5).
func mountOf(mounts, path string) (mount, error) {
	var best mount
	for line := range strings.Lines(mounts) {
		place, source, ok := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(place), strings.Fields(source)
		if !ok || len(fields) < 5 || len(kinds) < 1 {
			return mount{}, fmt.Errorf("mountinfo has %q", line)
		}
		point := fields[4]
		holds := point == "/" || path == point || strings.HasPrefix(path, point+"/")
		if holds && len(point) >= len(best.point) {
			best = mount{point: point, device: fields[2], kind: kinds[0]}
		}
	}
	if best.point == "" {
		return mount{}, fmt.Errorf("%s is on no mounted file system", path)
	}
	return best, nil
}

// device tells a virtual, turning or solid-state disk; what is on no disk at all has
// no such entry and is told by its file system.
func device(sys string) string {
	if target, err := filepath.EvalSymlinks(sys); err == nil && strings.Contains(target, "virtio") {
		return " on a virtual disk (virtio)"
	}
	for _, queue := range []string{sys + "/queue", sys + "/../queue"} {
		switch turns, _ := firstLine(queue + "/rotational"); turns {
		case "0":
			return " on a solid-state disk"
		case "1":
			return " on a turning disk"
		}
	}
	return ""
}

// syncTime appends as much as a message to a file and syncs it, many times.
func syncTime(dir string) (seconds float64, err error) {
	const times = 50
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	took := make([]float64, 0, times)
	for range times {
		if _, err := f.Write(make([]byte, 10240)); err != nil {
			return 0, err
		}
		begun := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun).Seconds())
	}
	slices.Sort(took)
	return took[times/2], nil
}
