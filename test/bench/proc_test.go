package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// stat writes a line as the kernel does: pid (name) state ppid, seven fields, minor
// and major faults with those of children, then the four times.
func stat(t *testing.T, dir string, pid, parent int, name string, times [4]int) {
	t.Helper()
	line := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 1 2 3 4 %d %d %d %d 20 0 1 0 100 0 0\n",
		pid, name, parent, times[0], times[1], times[2], times[3])
	folder := filepath.Join(dir, strconv.Itoa(pid))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "stat"), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	rollup := fmt.Sprintf("00400000-7fff0000 ---p 00000000 00:00 0 [rollup]\nRss:  %d kB\nPss:  %d kB\nPss_Dirty: 1 kB\n", 2*pid, pid)
	if err := os.WriteFile(filepath.Join(folder, "smaps_rollup"), []byte(rollup), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The tree counts, with its children that have ended, and nothing beside it.
func TestTreeOfProcesses(t *testing.T) {
	dir := t.TempDir()
	stat(t, dir, 10, 1, "master", [4]int{1, 2, 3, 4})
	stat(t, dir, 11, 10, "smtpd) R 1 (x", [4]int{10, 20, 30, 40})
	stat(t, dir, 12, 11, "a b", [4]int{100, 0, 0, 0})
	stat(t, dir, 13, 1, "other", [4]int{5000, 0, 0, 0})
	stat(t, dir, 14, 99, "orphan", [4]int{5000, 0, 0, 0})
	if err := os.Mkdir(filepath.Join(dir, "15"), 0o755); err != nil { // ended just now
		t.Fatal(err)
	}
	f := procfs(dir)
	if cpu, err := f.cpu(10); err != nil || cpu != 2100*time.Millisecond {
		t.Errorf("cpu %v, %v; want 210 ticks", cpu, err)
	}
	if pss, err := f.pss(10); err != nil || pss != (10+11+12)<<10 {
		t.Errorf("pss %d, %v; want 33 KiB", pss, err)
	}
	if _, err := f.cpu(77); err == nil {
		t.Error("a tree without a root has a time")
	}
}

// What a real child used is found while it runs, and after it has been waited for.
func TestProcessorTimeOfARealChild(t *testing.T) {
	const proc = procfs("/proc")
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; read x; true")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	before, err := proc.cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	child, err := proc.cpu(cmd.Process.Pid)
	if err != nil || child < 50*time.Millisecond {
		t.Fatalf("the child used %v, %v", child, err)
	}
	for _, when := range []string{"running", "ended"} {
		all, err := proc.cpu(os.Getpid())
		if err != nil || all-before < child {
			t.Errorf("%s: the tree used %v, %v; its child alone %v", when, all-before, err, child)
		}
		if when == "running" {
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pss, err := proc.pss(os.Getpid()); err != nil || pss < 1<<20 {
		t.Errorf("this process has %d octets, %v", pss, err)
	}
}

// Of 10000 busy ticks the tree of self took 210, the server within it or 5000 beside it.
func TestOthers(t *testing.T) {
	dir := t.TempDir()
	const line = "cpu  100 200 300 7777 8888 60 40 9300 5 5\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	stat(t, dir, 10, 1, "bench", [4]int{1, 2, 3, 4})
	stat(t, dir, 11, 10, "server", [4]int{10, 20, 30, 40})
	stat(t, dir, 12, 11, "worker", [4]int{100, 0, 0, 0})
	stat(t, dir, 13, 1, "daemon", [4]int{5000, 0, 0, 0})
	for root, want := range map[int]time.Duration{11: 97900 * time.Millisecond, 13: 47900 * time.Millisecond} {
		if got, err := procfs(dir).others(10, root); err != nil || got != want {
			t.Errorf("with the server at %d others took %v, %v; want %v", root, got, err, want)
		}
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 6 7 x"} {
		if d, err := parseBusy(bad); err == nil {
			t.Errorf("%q is %v", bad, d)
		}
	}
}

func TestStatThatIsNone(t *testing.T) {
	for _, line := range []string{"", "1", "1 (x", "x (y) S 1", "1 (x) S 1 2 3", "1 (x) S y 1 1 0 -1 0 1 2 3 4 5 6 7 8 9 10"} {
		if p, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q is process %+v", line, p)
		}
	}
	if _, err := parsePss([]byte("Rss: 1 kB\n")); err == nil {
		t.Error("no Pss is a Pss")
	}
}

func TestMountOf(t *testing.T) {
	const mounts = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
25 22 0:23 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw
26 25 254:1 / /tmp/deep rw - xfs /dev/vdb rw
27 22 254:2 / /tmp rw - btrfs /dev/vdc rw
`
	for path, want := range map[string]mount{
		"/tmp/x":       {"/tmp", "254:2", "btrfs"},
		"/tmp/deep/er": {"/tmp/deep", "254:1", "xfs"},
		"/tmp/deeper":  {"/tmp", "254:2", "btrfs"},
		"/tmpx":        {"/", "254:0", "ext4"},
	} {
		if got, err := mountOf(mounts, path); err != nil || got != want {
			t.Errorf("%s is on %+v, %v; want %+v", path, got, err, want)
		}
	}
	for _, bad := range []string{"", "22 1 254:0 /\n"} {
		if m, err := mountOf(bad, "/tmp"); err == nil {
			t.Errorf("%q has %+v", bad, m)
		}
	}
}

func TestComplaints(t *testing.T) {
	const fine = "Nov 23 16:07:39 mx postfix/cleanup[1]: warning: file system clock is 1 seconds ahead of local clock\n" +
		"Nov 23 16:07:39 mx postfix/smtp[2]: A: to=<x@remote.test>, status=sent (250 warning: none)\n"
	if c := complaintsIn(fine); c != "" {
		t.Errorf("harmless lines are complaints: %s", c)
	}
	for _, line := range []string{
		"mx postfix/smtpd[1]: warning: dict_nis_init: NIS domain name not set\n",
		"mx postfix/master[1]: fatal: bind 127.0.0.1 port 25: Address already in use\n",
		"mx postfix/smtp[1]: A: to=<x@remote.test>, dsn=4.4.1, status=deferred (connect to 127.0.0.1)\n",
	} {
		if complaintsIn(fine+line) == "" {
			t.Errorf("%q is no complaint", line)
		}
	}
}

// The greeting and the answer to EHLO may come in any packets.
func TestIdleConnectionsSpeakFirst(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for answers := 0; ; answers++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go slowServer(c, answers < 3)
		}
	}()
	open, err := openIdle(context.Background(), ln.Addr().String(), nil, 3)
	if err != nil || len(open.conns) != 3 {
		t.Fatal(open, err)
	}
	open.close()
	if _, err := openIdle(context.Background(), ln.Addr().String(), nil, 1); err == nil {
		t.Error("a server that refuses EHLO counts as answering")
	}
}

func slowServer(c net.Conn, accepts bool) {
	defer c.Close()
	fmt.Fprint(c, "220-wait\r")
	time.Sleep(5 * time.Millisecond)
	fmt.Fprint(c, "\n220 mx\r\n")
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return
	}
	if !accepts {
		fmt.Fprint(c, "421 not now\r\n")
		return
	}
	fmt.Fprint(c, "250-mx\r\n250-SIZE 1\r\n250 ")
	time.Sleep(5 * time.Millisecond)
	fmt.Fprint(c, "HELP\r\n")
	_, _ = r.ReadString('\n') // until the client closes
}
