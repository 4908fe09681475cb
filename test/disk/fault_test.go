package disk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

const within = "SALLYPORT_DISK_WITHIN"

// TestMain runs everything once more in a mount namespace of its own, so that no mount outlives it.
func TestMain(m *testing.M) {
	if os.Getenv("SALLYPORT_DISK") == "" || os.Geteuid() != 0 || os.Getenv(within) != "" {
		os.Exit(m.Run())
	}
	self, err := os.Executable()
	if err == nil {
		cmd := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", self}, os.Args[1:]...)...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), within+"=yes"), os.Stdout, os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wanted skips where nobody asked for it, or it cannot be.
func wanted(t *testing.T) {
	t.Helper()
	switch {
	case os.Getenv("SALLYPORT_DISK") == "":
		t.Skip("make disk does this: it mounts file systems, and takes some minutes")
	case os.Geteuid() != 0:
		t.Skip("file systems of its own want root, to mount them")
	}
	for _, p := range []string{"mkfs.ext4", "e2fsck", "mount", "losetup", "findmnt", "unshare"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// fault is one way in which the disk fails.
type fault struct {
	name       string
	begin, end func(*image)
	mends      bool // it ends while the server runs
	shuts      bool // the database cannot be opened anew meanwhile
	thin       bool // it is of a thin disk
}

var faults = []fault{
	{name: "octets", begin: (*image).fill, end: (*image).free, mends: true},
	{name: "inodes", begin: (*image).fillInodes, end: (*image).freeInodes, mends: true},
	{name: "read-only", begin: (*image).lay, end: (*image).lift, mends: true, shuts: true},
	{name: "EIO", begin: (*image).shrink, end: (*image).grow, mends: true},
	{name: "ENOSPC", begin: (*image).fillHost, end: (*image).freeHost, mends: true, shuts: true, thin: true},
	{name: "error", begin: (*image).meetError, end: func(*image) {}, shuts: true},
}

// world is a server on a disk of its own, and its mail.
type world struct {
	t    *testing.T
	i    *image
	s    *rig.Server
	sink *load.Sink
	f    *traffic
}

func newWorld(t *testing.T, thin bool) *world {
	t.Helper()
	wanted(t)
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	w := &world{t: t}
	w.sink, err = load.NewSink(load.SinkOptions{Keep: true})
	must(t, err)
	t.Cleanup(func() { must(t, w.sink.Close()) })
	dir := filepath.Join(t.TempDir(), "server")
	w.i = newImage(t, filepath.Join(dir, "data"), thin)
	w.s, err = rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: dir, Remote: w.sink.Addr(),
		Extra: "[limits]\ngreet_delay = \"0s\"\ntransactions = 1000000\nmin_free = \"1MiB\"\n\n[retry]\nfirst = \"1s\"\nmax = \"1s\"\nfactor = 1\njitter = 0\n"})
	must(t, err)
	must(t, w.s.Start(context.Background()))
	t.Cleanup(func() {
		must(t, w.s.Kill())
		if t.Failed() {
			log, _ := os.ReadFile(w.s.LogFile())
			for line := range strings.SplitSeq(string(log), "\n") {
				if !strings.Contains(line, "not stored") && !strings.Contains(line, "fact not recorded") {
					t.Log(line)
				}
			}
		}
	})
	w.f = newTraffic(t, w.s)
	return w
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 40*time.Second {
			t.Fatalf("never: %s", what)
		}
	}
}

// good has mail come and go for a while.
func (w *world) good() {
	w.t.Helper()
	at := time.Now()
	w.f.paused.Store(false)
	eventually(w.t, "mail to be taken", func() bool {
		n := 0
		for _, x := range w.f.since(at) {
			if x.acked() {
				n++
			}
		}
		return n > 100
	})
}

// bad begins the fault and waits until mail is refused by every kind of connection.
func (w *world) bad(x fault) (at time.Time) {
	w.t.Helper()
	x.begin(w.i)
	at = time.Now()
	eventually(w.t, "mail to be refused", func() bool {
		refused := map[string]int{}
		for _, x := range w.f.since(at) {
			if !x.acked() {
				refused[x.kind]++
			}
		}
		return len(refused) == len(kinds) && refused["small"] > 20
	})
	return at
}

// cpu is what the process has used of the processors.
func (w *world) cpu() time.Duration {
	w.t.Helper()
	pid, err := w.s.PID()
	must(w.t, err)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(w.t, err)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		must(w.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// rests measures what the process uses of the processors while nobody asks it for anything.
func (w *world) rests() {
	w.t.Helper()
	w.f.paused.Store(true)
	time.Sleep(time.Second)
	const long = 4 * time.Second
	before := w.cpu()
	time.Sleep(long)
	used := w.cpu() - before
	w.t.Logf("%v of the processors in %v in which nobody asks", used, long)
	if used > long/4 {
		w.t.Errorf("it uses %v of the processors in %v in which nobody asks", used, long)
	}
}

// says runs a command that tells, whatever its exit code.
func (w *world) says(args ...string) string {
	out, err := w.s.CLI(context.Background(), "", args...)
	if err != nil {
		out += fmt.Sprintf("(%v)", err)
	}
	return out
}

// tells demands that the commands tell that the server runs, and why it takes nothing.
func (w *world) tells(x fault) {
	w.t.Helper()
	var status, doctor string
	eventually(w.t, "status and doctor to tell of the database", func() bool {
		status, doctor = w.says("status"), w.says("doctor")
		return !x.shuts || strings.Contains(status, "database  failed at") && strings.Contains(doctor, "is being opened anew")
	})
	w.t.Logf("status:\n%s\ndoctor:\n%s\nlog:\n%s", status, doctor, w.s.LogTail())
	if !strings.Contains(status, "server    running for") || !strings.Contains(status, "accounts ") || strings.Contains(doctor, "no server runs") {
		w.t.Error("the commands do not tell that the server runs")
	}
}

// recovers demands that mail of every kind is taken and where it belongs within five seconds.
func (w *world) recovers(at time.Time) {
	w.t.Helper()
	w.f.paused.Store(false)
	left := map[string]bool{}
	for _, k := range kinds {
		left[k.name] = true
	}
	eventually(w.t, "mail of each kind to be taken and to arrive", func() bool {
		for _, x := range w.f.since(at) {
			if left[x.kind] && x.acked() && w.f.arrived(x, w.sink) {
				delete(left, x.kind)
			}
		}
		return len(left) == 0
	})
	took := time.Since(at)
	w.t.Logf("mail of each kind is taken and arrives %v after the end", took.Round(10*time.Millisecond))
	if took > 5*time.Second {
		w.t.Errorf("it took %v", took)
	}
}

// settled ends the mail, starts anew what the disk holds, and judges it.
func (w *world) settled(how string) {
	w.t.Helper()
	w.f.paused.Store(true)
	if how != "killed" {
		w.drained()
		must(w.t, w.s.Stop())
	}
	w.i.again()
	begun := time.Now()
	must(w.t, w.s.Start(context.Background()))
	w.t.Logf("%s: it serves %v after the start", how, time.Since(begun).Round(time.Millisecond))
	w.drained()
	if _, err := w.s.CLI(context.Background(), "", "trace", "--verify"); err != nil {
		w.t.Errorf("%s: %v", how, err)
	}
	w.t.Logf("%s: %+v", how, w.f.judge(w.sink, how == "killed"))
}

func (w *world) drained() {
	w.t.Helper()
	left, err := w.s.WaitEmpty(context.Background(), 40*time.Second)
	if err != nil || len(left) > 0 {
		w.t.Errorf("%d messages stay in the queue: %v", len(left), err)
	}
}

func TestTheDiskFails(t *testing.T) {
	for _, x := range faults {
		t.Run(x.name, func(t *testing.T) {
			w := newWorld(t, x.thin)
			w.good()
			at := w.bad(x)
			before := w.cpu()
			time.Sleep(2 * time.Second)
			t.Logf("%v of the processors in 2 s of mail", w.cpu()-before)
			w.rests()
			t.Logf("answered meanwhile:%s", table(replies(w.f.since(at))))
			w.tells(x)
			if x.mends {
				x.end(w.i)
				w.recovers(time.Now())
				w.settled("mended")
				w.good()
				w.bad(x)
			}
			must(t, w.s.Kill())
			w.f.paused.Store(true)
			time.Sleep(500 * time.Millisecond)
			x.end(w.i)
			w.settled("killed")
		})
	}
}
