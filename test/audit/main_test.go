// Package audit holds `sallyport audit` against the mail servers of others, each open in the way
// in which its administrators leave it open, and closed: every hole is found, and no closed server
// is accused. They run on loopback, unpacked beside each other, with no network to send to.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/relayaudit/report"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// stranger is the address that questions come from: to most servers 127.0.0.1 is none.
const stranger = "127.0.0.9"

// needsPeers skips where the servers of others cannot be run.
func needsPeers(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_AUDIT") == "" || os.Getuid() != 0 {
		t.Skip("make audit runs it, as root: it unpacks five mail servers")
	}
}

// peers is where they are unpacked.
func peers(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin/peers")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// built returns the program.
func built(t *testing.T) string {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// audit runs the program and reads its report; its exit code must be the one that it reports.
func audit(t *testing.T, binary string, args ...string) report.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"audit", "--json", "--pace", "5ms", "--patience", "5s", "--source", stranger}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var run report.Run
	if jsonErr := json.Unmarshal(out, &run); jsonErr != nil {
		t.Fatalf("%v: %v\n%s", err, jsonErr, stderr.String())
	}
	if code := cmd.ProcessState.ExitCode(); code != run.Code {
		t.Errorf("exit %d, reported %d", code, run.Code)
	}
	return run
}

// folder makes a folder that a server's own user can reach.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "audit-"+name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// users are those that the servers want to become, and that their packages would make.
const users = `Debian-exim:901 opensmtpd:902 opensmtpq:903 smmta:904 smmsp:905`

// apart runs a server until the test ends, in a mount namespace of its own: with the users that its
// package would have made, names of this host, no name server, and further mounts.
func apart(t *testing.T, dir, at, mounts string, argv ...string) {
	t.Helper()
	write(t, dir+"/hosts", "127.0.0.1 localhost mx.peer.test vm\n")
	write(t, dir+"/resolv", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
	script := fmt.Sprintf(`set -e
cp /etc/passwd %[1]s/passwd; cp /etc/group %[1]s/group
for u in %[2]s; do
	n=${u%%:*}; i=${u#*:}
	grep -q "^$n:" %[1]s/passwd || echo "$n:x:$i:$i::/nonexistent:/usr/sbin/nologin" >> %[1]s/passwd
	grep -q "^$n:" %[1]s/group || echo "$n:x:$i:" >> %[1]s/group
done
mount --bind %[1]s/passwd /etc/passwd
mount --bind %[1]s/group /etc/group
mount --bind %[1]s/hosts /etc/hosts
mount --bind %[1]s/resolv /etc/resolv.conf
%[3]s
exec "$@"`, dir, users, mounts)
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh"}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second // a process of its own that outlives it holds its output open
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		close(ended) // read again by whoever cleans up
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], tail(out.String()))
		}
	})
	if err := answers(at, ended); err != nil {
		t.Fatalf("%s: %v\n%s", argv[0], err, tail(out.String()))
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// answers waits until somebody greets at an address.
func answers(at string, ended <-chan error) error {
	for range 150 {
		select {
		case err := <-ended:
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger)}}).Dial("tcp", at)
		if err != nil {
			continue
		}
		b := make([]byte, 3)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = c.Read(b)
		_ = c.Close()
		if err == nil && string(b) == "220" {
			return nil
		}
	}
	return errors.New("it never greeted")
}

// address reserves a port.
func address(t *testing.T) (at, number string) {
	t.Helper()
	at = port.Loopback(t)
	_, number, _ = strings.Cut(at, ":")
	return at, number
}
