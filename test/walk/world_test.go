package walk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// binaryVar tells the tests within the namespaces where the server's program is.
const binaryVar = "SALLYPORT_WALK_BINARY"

// TestMain runs the tests with mounts, a network and process ids of their own: nothing that
// they do to files or ports is seen outside, and whatever they leave running ends with them.
func TestMain(m *testing.M) {
	if os.Getenv(binaryVar) != "" {
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

func outside() int {
	if os.Geteuid() != 0 {
		fmt.Println("test/walk needs root, for namespaces: nothing was tested")
		return 0
	}
	dir, err := os.MkdirTemp("", "walk")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, err := rig.Build(context.Background(), dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	cmd := exec.Command("unshare",
		append([]string{"--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0]}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), binaryVar+"="+binary)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println("test/walk:", err)
		return 1
	}
	return 0
}

// world is a copy of this system, in which nothing of ours is installed but the program.
type world struct {
	t      *testing.T
	root   string
	names  *names
	server *exec.Cmd
	log    *bytes.Buffer
	ended  chan struct{}
}

// newWorld makes one, with a data folder on a disk of so many MiB, and a name server that
// answers from a zone file.
func newWorld(t *testing.T, disk int, zone string) *world {
	t.Helper()
	work := t.TempDir()
	w := &world{t: t, root: filepath.Join(work, "root")}
	w.mount("tmpfs", work, "tmpfs", "")
	for _, d := range []string{"up", "work", "root"} {
		must(t, os.Mkdir(filepath.Join(work, d), 0o755))
	}
	w.mount("overlay", w.root, "overlay", fmt.Sprintf("lowerdir=/,upperdir=%[1]s/up,workdir=%[1]s/work", work))
	must(t, os.RemoveAll(w.path("/etc/sallyport")))
	must(t, os.RemoveAll(w.path("/var/lib/sallyport")))
	for _, d := range []string{"/var/lib/sallyport", "/root/night"} {
		must(t, os.MkdirAll(w.path(d), 0o755))
	}
	w.mount("tmpfs", w.path("/run"), "tmpfs", "mode=755")
	w.mount("tmpfs", w.path("/tmp"), "tmpfs", "mode=1777")
	w.mount("tmpfs", w.path("/var/lib/sallyport"), "tmpfs", fmt.Sprintf("mode=700,size=%dm", disk))
	w.mount("proc", w.path("/proc"), "proc", "")
	must(t, syscall.Mount("/dev", w.path("/dev"), "", syscall.MS_BIND|syscall.MS_REC, ""))
	t.Cleanup(func() { _ = syscall.Unmount(w.path("/dev"), syscall.MNT_DETACH) })
	must(t, os.Remove(w.path("/etc/resolv.conf")))
	w.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
	program, err := os.ReadFile(os.Getenv(binaryVar))
	must(t, err)
	must(t, os.WriteFile(w.path("/usr/bin/sallyport"), program, 0o755))
	w.names = serveNames(t, zone)
	return w
}

func (w *world) mount(kind, at, from, options string) {
	w.t.Helper()
	if err := syscall.Mount(from, at, kind, 0, options); err != nil {
		w.t.Skipf("no %s can be mounted here: %v", kind, err)
	}
	w.t.Cleanup(func() { _ = syscall.Unmount(at, syscall.MNT_DETACH) })
}

// path is where a file of the world is for the test.
func (w *world) path(name string) string { return filepath.Join(w.root, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	must(w.t, os.WriteFile(w.path(name), []byte(text), 0o644))
}

func (w *world) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	must(w.t, err)
	return string(text)
}

// command prepares a shell within the world.
func (w *world) command(line string) *exec.Cmd {
	cmd := exec.Command("/bin/bash", "-o", "pipefail", "-ec", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: w.root}
	cmd.Dir = "/root/night"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TZ=UTC"}
	return cmd
}

// sh runs a command line in a shell, and returns what it printed and its exit code.
func (w *world) sh(line string) (out string, code int) {
	w.t.Helper()
	cmd := w.command(line)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s: %v", line, err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must runs one that has to succeed.
func (w *world) must(line string) string {
	w.t.Helper()
	out, code := w.sh(line)
	if code != 0 {
		w.t.Fatalf("%s: exit code %d\n%s", line, code, out)
	}
	return out
}

// serve gives the command that starts the server, and waits until it greets at an address and
// its operators are heard.
func (w *world) serve(line, at string) {
	w.t.Helper()
	w.server, w.log, w.ended = w.command("exec "+line), &bytes.Buffer{}, make(chan struct{})
	w.server.Stdout, w.server.Stderr = w.log, w.log
	must(w.t, w.server.Start())
	ended, server := w.ended, w.server
	go func() { _ = server.Wait(); close(ended) }()
	w.t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
		if w.t.Failed() && server == w.server {
			w.t.Logf("the server's log:\n%s", w.log)
		}
	})
	eventually(w.t, "the server is there", func() bool {
		select {
		case <-ended:
			w.t.Fatalf("%s ended:\n%s", line, w.log)
		default:
		}
		_, err := os.Stat(w.path("/var/lib/sallyport/sallyport.sock"))
		return err == nil && greets(at) == nil
	})
}

// halt ends the server in order.
func (w *world) halt() {
	w.t.Helper()
	must(w.t, w.server.Process.Signal(syscall.SIGTERM))
	select {
	case <-w.ended:
	case <-time.After(time.Minute):
		w.t.Fatal("the server does not end")
	}
}

// greets says whether an SMTP server greets at an address.
func greets(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "220 ") {
		return fmt.Errorf("%s says %q, %w", address, line, errors.Join(err, io.EOF))
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it never came to be: %s", what)
		}
	}
}
