package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTicks is USER_HZ, the unit of the times in /proc/PID/stat: 100 a second on
// every architecture that Debian builds for. proc(5).
const clockTicks = 100

// procfs reads processes from a folder like /proc.
type procfs string

// process is what /proc/PID/stat says of a process.
type process struct {
	pid, parent int
	own         time.Duration // user and system time of the process itself
	reaped      time.Duration // the same of its children that have ended, and theirs
}

// parseStat reads a line of /proc/PID/stat. The name in parentheses may itself hold
// spaces and parentheses.
func parseStat(line []byte) (process, error) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return process{}, fmt.Errorf("stat without a name: %q", line)
	}
	first, _, _ := bytes.Cut(line, []byte(" "))
	pid, err := strconv.Atoi(string(first))
	if err != nil {
		return process{}, fmt.Errorf("stat without a process id: %q", line)
	}
	fields := strings.Fields(string(line[end+1:])) // from field 3 of proc(5) on
	if len(fields) < 15 {
		return process{}, fmt.Errorf("short stat: %q", line)
	}
	p := process{pid: pid}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, fmt.Errorf("stat without a parent: %q", line)
	}
	var ticks [4]int64 // utime, stime, cutime, cstime: fields 14 to 17
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return process{}, fmt.Errorf("stat without times: %q", line)
		}
	}
	p.own = time.Duration(ticks[0]+ticks[1]) * time.Second / clockTicks
	p.reaped = time.Duration(ticks[2]+ticks[3]) * time.Second / clockTicks
	return p, nil
}

// all returns every process; those that end meanwhile are left out.
func (f procfs) all() (map[int]process, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	found := map[int]process{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(string(f), e.Name(), "stat"))
		if ended(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		found[p.pid] = p
	}
	return found, nil
}

// ended reports whether reading /proc failed because the process has gone.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// tree returns the roots and all processes below them, by process id.
func (f procfs) tree(roots ...int) ([]process, error) {
	all, err := f.all()
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if _, ok := all[root]; !ok {
			return nil, fmt.Errorf("process %d has ended", root)
		}
	}
	var below []process
	for _, p := range all {
		if descends(all, p, roots) {
			below = append(below, p)
		}
	}
	slices.SortFunc(below, func(a, b process) int { return a.pid - b.pid })
	return below, nil
}

// descends reports whether p is one of the roots or below it. The walk is bounded because a
// process id that was given anew while all was read can make a circle.
func descends(all map[int]process, p process, roots []int) bool {
	for range len(all) {
		if slices.Contains(roots, p.pid) {
			return true
		}
		parent, ok := all[p.parent]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// cpu returns the processor time of the trees, with that of its members that have
// ended and been waited for. A member that ends while the tree is read could be
// counted twice or not at all, so the tree is read until its members stay the same.
func (f procfs) cpu(roots ...int) (time.Duration, error) {
	const attempts = 50
	before, err := f.tree(roots...)
	for range attempts {
		if err != nil {
			return 0, err
		}
		var now []process
		if now, err = f.tree(roots...); err == nil && sameMembers(before, now) {
			return total(before), nil
		}
		before = now
	}
	return 0, errors.Join(err, fmt.Errorf("the processes below %d change all the time", roots))
}

func sameMembers(a, b []process) bool {
	return slices.EqualFunc(a, b, func(x, y process) bool { return x.pid == y.pid && x.reaped == y.reaped })
}

func total(ps []process) time.Duration {
	var sum time.Duration
	for _, p := range ps {
		sum += p.own + p.reaped
	}
	return sum
}

// busy returns the time that all processors together have not been idle since the
// machine started; what the hypervisor gave to others counts as well.
func (f procfs) busy() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join(string(f), "stat"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return parseBusy(line)
}

// parseBusy reads the line "cpu" of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq, steal, and guests, who are part of user already.
func parseBusy(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("stat begins with %q", line)
	}
	var ticks int64
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat begins with %q", line)
		}
		if isIdle := i == 3 || i == 4; !isIdle {
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// others returns the time that neither the tree of self nor those of the roots took of what
// the processors did.
func (f procfs) others(self int, roots ...int) (time.Duration, error) {
	sum, err := f.busy()
	if err != nil {
		return 0, err
	}
	all, err := f.tree(append(slices.Clone(roots), self)...)
	return sum - total(all), err
}

// pss returns the proportional set size of the trees in octets: shared pages count
// by their share.
func (f procfs) pss(roots ...int) (int64, error) {
	tree, err := f.tree(roots...)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range tree {
		rollup, err := os.ReadFile(filepath.Join(string(f), strconv.Itoa(p.pid), "smaps_rollup"))
		if ended(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		octets, err := parsePss(rollup)
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", p.pid, err)
		}
		sum += octets
	}
	return sum, nil
}

// parsePss reads the line "Pss: N kB" of /proc/PID/smaps_rollup.
func parsePss(rollup []byte) (int64, error) {
	for line := range strings.Lines(string(rollup)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Pss:" && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("smaps_rollup without a Pss line")
}
