// Package crash kills the real server in the middle of its work and counts what
// it had acknowledged: a 250 is a promise that a power cut does not undo.
package crash

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// volume is how many messages each test sends. SALLYPORT_CRASH is another number: make
// crash sends ten thousand.
var volume = 1_500

// What is sent goes over so many connections.
const (
	clients   = 20
	msgOctets = 4096
	drainTime = 3 * time.Minute
)

// binary is built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if n := os.Getenv("SALLYPORT_CRASH"); n != "" {
		if volume, err = strconv.Atoi(n); err != nil {
			fmt.Fprintln(os.Stderr, "SALLYPORT_CRASH:", err)
			return 1
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if binary, err = rig.Build(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newServer prepares a server with a sink for remote.test; it is not running yet.
func newServer(t *testing.T) (*rig.Server, *load.Sink) {
	t.Helper()
	return newServerWith(t, load.SinkOptions{}, "")
}

// newServerWith is newServer with further lines of the configuration.
func newServerWith(t *testing.T, o load.SinkOptions, extra string) (*rig.Server, *load.Sink) {
	t.Helper()
	sink, err := load.NewSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	s, err := rig.Prepare(context.Background(), rig.Options{
		Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: sink.Addr(),
		// What was being delivered at the kill is tried again after retry.first.
		Extra: "[limits]\ngreet_delay = \"0s\"\ntransactions = 1000000\n\n[retry]\nfirst = \"2s\"\nmax = \"4s\"\n" + extra,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.LogTail())
		}
	})
	return s, sink
}

// start starts the server, and again after each kill.
func start(t *testing.T, s *rig.Server, wrap ...string) {
	t.Helper()
	begin := time.Now()
	if err := s.Start(context.Background(), wrap...); err != nil {
		t.Fatal(err)
	}
	t.Logf("serving after %s", time.Since(begin).Round(time.Millisecond))
}

// drain waits until everything accepted is delivered.
func drain(t *testing.T, s *rig.Server) {
	t.Helper()
	begin := time.Now()
	left, err := s.WaitEmpty(context.Background(), drainTime)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Fatalf("%d messages stay in the queue, the first: %s", len(left), left[0])
	}
	t.Logf("queue empty after %s", time.Since(begin).Round(time.Millisecond))
}

// killer returns a Progress function that kills and restarts the server each time
// one of the marks is reached. A kill after the last acknowledgement would prove nothing,
// and fails the test.
func killer(t *testing.T, s *rig.Server, marks ...int) func(int) {
	var latest atomic.Int64
	kills := make(chan int, len(marks))
	for _, m := range marks {
		kills <- m
	}
	close(kills)
	next := <-kills
	done := make(chan struct{}, 1)
	done <- struct{}{}
	t.Cleanup(func() { <-done }) // a restart in progress ends before the test does
	return func(acknowledged int) {
		latest.Store(int64(acknowledged))
		if next == 0 || acknowledged < next {
			return
		}
		next = <-kills
		<-done
		go func() {
			defer func() { done <- struct{}{} }()
			if err := s.Kill(); err != nil {
				t.Error(err)
			}
			if n := latest.Load(); n >= int64(volume) {
				t.Errorf("all %d messages were acknowledged when the server died", n)
			}
			if err := s.Start(context.Background()); err != nil {
				t.Error(err)
			}
		}()
	}
}

func tlsConfig(t *testing.T, s *rig.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.CA)
	}
	return &tls.Config{RootCAs: pool, ServerName: s.Hostname}
}

// field returns the value of the first line of a message that begins with name.
func field(octets []byte, name string) string {
	head, _, _ := strings.Cut(string(octets), "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if len(line) > len(name) && strings.EqualFold(line[:len(name)], name) {
			return strings.TrimSpace(line[len(name):])
		}
	}
	return ""
}
