// Package backup takes backups of the real server while it is under load, restores
// them, and accounts for every message that was acknowledged before.
package backup

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

const (
	volume    = 800
	clients   = 10
	largeSize = 200 << 10     // a body in a file of its own
	nobody    = "127.0.0.1:9" // the next hop of remote.test: nobody listens there
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// acked gathers acknowledged identifiers while the load runs.
type acked struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write takes one identifier.
func (a *acked) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(b)
}

func (a *acked) ids() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Fields(a.text.String())
}

// Two backups are taken while mail comes in and goes out, small and large, to
// mailboxes and to another host. Each restored server holds every message that was
// acknowledged before its backup began, in a mailbox or in the queue.
func TestBackupUnderLoadHoldsWhatWasAcknowledged(t *testing.T) {
	ctx := t.Context()
	binary, err := rig.Build(ctx, t.TempDir())
	must(t, err)
	s, err := rig.Prepare(ctx, rig.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: nobody,
		Extra: "[limits]\ngreet_delay = \"0s\"\ntransactions = 1000000\n\n[retry]\nfirst = \"2s\"\nmax = \"4s\"\n"})
	must(t, err)
	must(t, s.Start(ctx))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	var local, large, remote acked
	var running sync.WaitGroup
	send := func(o load.Options, a *acked) {
		o.Addr = func() string { return s.Listen.MX[0] }
		o.Connections, o.Pipelining, o.Acked = clients, true, a
		if o.Security != load.Clear {
			o.Addr = func() string { return s.Listen.Submissions[0] }
		}
		running.Go(func() {
			if _, err := load.Run(ctx, o); err != nil {
				t.Error(err)
			}
		})
	}
	alice := s.Accounts[0]
	send(load.Options{Messages: volume, Size: 2000, Prefix: "small", From: "x@client.test", To: []string{"alice@local.test", "list@local.test"}}, &local)
	send(load.Options{Messages: volume / 20, Size: largeSize, Prefix: "large", From: "x@client.test", To: []string{"bob@local.test"}}, &large)
	send(load.Options{Messages: volume / 2, Size: 2000, Prefix: "out", From: alice.Address, To: []string{"x@remote.test"},
		User: alice.Address, Password: alice.Password, Security: load.Implicit, TLS: trust(t, s)}, &remote)

	for round, after := range []int{volume / 10, volume / 3} {
		for len(local.ids()) < after {
			time.Sleep(time.Millisecond)
		}
		inside, outside := append(local.ids(), large.ids()...), remote.ids()
		file := filepath.Join(t.TempDir(), "backup.tar.zst")
		out, err := s.CLI(ctx, "", "backup", "--to", file)
		must(t, err)
		t.Logf("after %d local and %d foreign messages: %s", len(inside), len(outside), out)
		dir := restore(t, binary, file)
		account(t, binary, dir, inside, outside)
		if round == 1 {
			running.Wait()
			must(t, s.Stop())
			sendsAgain(t, binary, dir, outside)
		}
	}
}

// sendsAgain starts a restored server, now with a next hop that answers: what was held
// leaves when it is released, and not before.
func sendsAgain(t *testing.T, binary, dir string, outside []string) {
	t.Helper()
	sink, err := load.NewSink(load.SinkOptions{})
	must(t, err)
	t.Cleanup(func() { sink.Close() })
	path := filepath.Join(dir, "sallyport.toml")
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), nobody, sink.Addr())), 0o600))
	cmd := exec.Command(binary, "serve", "-c", path)
	var log strings.Builder
	cmd.Stderr = &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the restored server ended with %v\n%s", err, log.String())
		}
	})
	wait(t, "the restored server", func() bool {
		_, err := os.Stat(filepath.Join(dir, "data", "sallyport.sock"))
		return err == nil
	})
	if n := sink.Messages(); n > 0 {
		t.Errorf("%d messages left although they were held", n)
	}
	run(t, binary, dir, "queue", "release", "--all")
	run(t, binary, dir, "queue", "retry", "--all")
	wait(t, "the queue to be empty", func() bool { return run(t, binary, dir, "queue", "ls", "--json", "--limit", "1") == "" })
	arrived := sink.IDs()
	for _, id := range outside {
		if arrived[id] != 1 {
			t.Errorf("%s arrived %d times", id, arrived[id])
		}
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func trust(t *testing.T, s *rig.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: s.Hostname}
}

// restore restores a backup with its queue held and returns the folder.
func restore(t *testing.T, binary, file string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	out, err := exec.CommandContext(t.Context(), binary, "restore", "--from", file, "--to", dir, "--hold", "--json").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var v struct {
		Queue, Held int
		Trace       struct {
			Faults []string
			Facts  int
		}
	}
	must(t, json.Unmarshal(out, &v))
	if v.Queue != v.Held || len(v.Trace.Faults) > 0 || v.Trace.Facts == 0 {
		t.Errorf("restored: %s", out)
	}
	run(t, binary, dir, "check")
	run(t, binary, dir, "trace", "--verify")
	return dir
}

func run(t *testing.T, binary, dir string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append(args, "-c", filepath.Join(dir, "sallyport.toml"))...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// account finds every message that was acknowledged before, by its Message-ID: those
// for another host in the queue, those for mailboxes there or in the queue.
func account(t *testing.T, binary, dir string, inside, outside []string) {
	t.Helper()
	found, queued := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(run(t, binary, dir, "queue", "ls", "--json")) {
		var m struct {
			ID string `json:"message_id"`
		}
		must(t, json.Unmarshal([]byte(line), &m))
		id, _, _ := strings.Cut(strings.Trim(m.ID, "<>"), "@")
		queued[id] = true
	}
	err := filepath.WalkDir(filepath.Join(dir, "data", "mail"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		head, err := io.ReadAll(io.LimitReader(f, 4096))
		if _, rest, ok := strings.Cut(string(head), "Message-ID: <"); ok {
			id, _, _ := strings.Cut(rest, "@")
			found[id] = true
		}
		return err
	})
	must(t, err)
	lost := 0
	for _, id := range inside {
		if !found[id] && !queued[id] {
			lost++
			t.Errorf("%s was acknowledged before the backup began, and is nowhere", id)
		}
	}
	for _, id := range outside {
		if !queued[id] {
			lost++
			t.Errorf("%s was acknowledged before the backup began, and waits nowhere", id)
		}
	}
	t.Logf("%d messages accounted for, %d lost; %d in the restored queue", len(inside)+len(outside), lost, len(queued))
}
