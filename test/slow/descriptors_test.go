package slow

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

const (
	descriptors = 300
	recovery    = 5 * time.Second
	watched     = 3 * time.Second
	mostBusy    = watched / 3 // of a processor, while nothing can be accepted
)

// asked skips what nobody asked for.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_SLOW") == "" {
		t.Skip("SALLYPORT_SLOW asks for sieges of the real server: make slow")
	}
}

// world is a server that runs with so many descriptors.
func world(t *testing.T, wrap ...string) *rig.Server {
	t.Helper()
	dir := t.TempDir()
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(dir, "server"), Remote: "127.0.0.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), wrap...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// deliver has one honest message taken, from the greeting on.
func deliver(at, subject string) error {
	c, err := net.DialTimeout("tcp", at, recovery)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(recovery)); err != nil {
		return err
	}
	br := bufio.NewReader(c)
	say := func(line, code string) error {
		if _, err := io.WriteString(c, line); err != nil {
			return err
		}
		for {
			got, err := br.ReadString('\n')
			if err != nil {
				return err
			}
			if !strings.HasPrefix(got, code) {
				return fmt.Errorf("%q answered %q", line, got)
			}
			if got[3] != '-' {
				return nil
			}
		}
	}
	for _, step := range [][2]string{{"", "220"}, {"EHLO far.invalid\r\n", "250"}, {"MAIL FROM:<a@far.test>\r\n", "250"}, {"RCPT TO:<bob@local.test>\r\n", "250"},
		{"DATA\r\n", "354"}, {"From: <a@far.test>\r\nSubject: " + subject + "\r\n\r\nx\r\n.\r\n", "250"}} {
		if err := say(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

// busy is the time of processors that the server took so far.
func busy(t *testing.T, s *rig.Server) time.Duration {
	t.Helper()
	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	return processor(t, pid)
}

// processor is the time of processors that a process took so far; none, if it has ended.
func processor(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, hundredths
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// With more connections than descriptors the server does not spin, keeps what it acknowledged,
// and serves honest people again within 5 s of the flood's end.
func TestNoDescriptorsLeft(t *testing.T) {
	asked(t)
	s := world(t, "prlimit", fmt.Sprintf("--nofile=%d:%d", descriptors, descriptors), "--")
	at := s.Listen.MX[0]
	for i := range 20 {
		if err := deliver(at, fmt.Sprintf("before-%d.", i)); err != nil {
			t.Fatal(err)
		}
	}
	var flood []net.Conn
	for range 2 * descriptors {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		flood = append(flood, c)
	}
	time.Sleep(time.Second)
	r, err := s.Resources()
	if err != nil {
		t.Fatal(err)
	}
	if r.Sockets+r.Files < descriptors-5 {
		t.Fatalf("the server has %d descriptors: the flood took not all", r.Sockets+r.Files)
	}
	before := busy(t, s)
	time.Sleep(watched)
	took := busy(t, s) - before
	if took > mostBusy {
		t.Errorf("without descriptors it took %v of a processor in %v", took, watched)
	}
	for _, c := range flood {
		c.Close()
	}
	ended := time.Now()
	for err = deliver(at, "after-0."); err != nil && time.Since(ended) < recovery; err = deliver(at, "after-0.") {
		time.Sleep(20 * time.Millisecond)
	}
	recovered := time.Since(ended)
	if err != nil || recovered > recovery {
		t.Fatalf("no honest mail %v after the flood: %v", recovered, err)
	}
	if left, err := s.WaitEmpty(t.Context(), time.Minute); err != nil || len(left) > 0 {
		t.Fatalf("%d messages stay in the queue: %v", len(left), err)
	}
	seen := map[string]int{}
	if err := s.Mailboxes(func(m rig.Mail) error {
		_, rest, _ := strings.Cut(string(m.Octets), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		seen[subject]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if seen[fmt.Sprintf("before-%d.", i)] != 1 {
			t.Errorf("message %d is there %d times", i, seen[fmt.Sprintf("before-%d.", i)])
		}
	}
	if seen["after-0."] == 0 {
		t.Error("what was taken after the flood is not there")
	}
	t.Logf("%d connections, %d descriptors: %v of a processor in %v, honest mail %v after the end", len(flood), descriptors, took, watched, recovered.Round(time.Millisecond))
}
