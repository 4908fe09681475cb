package spray

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/operate"
	"sallyport/test/load/rig"
)

// Row H24: one account, 10,000 passwords from 1,000 addresses, each in a network of its own, each
// password over a connection of its own; among all tests a sixth of both. At most ten are judged in
// ten minutes, and five beside; its owner signs in at home meanwhile, and with an app password on a
// new network, at last on one that guesses.
func TestOneAccountFromAThousandAddresses(t *testing.T) {
	guesses, addresses := 1_500, 150
	if os.Getenv(largeVar) != "" {
		guesses, addresses = 10_000, 1_000
	}
	s := start(t)
	if code := s.try(t, home, netip.Addr{}, account(0), password(0)); code != "235" {
		t.Fatalf("the owner at home: %s", code)
	}
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: account(0), Name: "phone", Scope: "send"})
	must(t, err)
	var got, owner answers
	var guessing sync.WaitGroup
	places := make(chan struct{}, 128) // so few that no handshake waits for longer than it may, whatever else the machine does
	began := time.Now()
	over := make(chan struct{})
	var owning sync.WaitGroup
	owning.Go(func() {
		for { // not from ever new places, by which thieves are known
			owner.note("at home", s.try(t, home, netip.Addr{}, account(0), password(0)))
			owner.note("with an app password", s.try(t, network(addresses, 9), netip.Addr{}, account(0), app.Password))
			select {
			case <-over:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	for n := range guesses {
		places <- struct{}{}
		guessing.Go(func() {
			defer func() { <-places }()
			got.note(account(0), s.try(t, network(n%addresses, 9), netip.Addr{}, account(0), fmt.Sprint("guess ", n)))
		})
	}
	guessing.Wait()
	close(over)
	owning.Wait()
	took := time.Since(began)
	owner.note("with an app password", s.try(t, network(0, 200), netip.Addr{}, account(0), app.Password))
	of := got.of[account(0)]
	t.Logf("%d passwords from %d addresses in %v: %v; the owner %v", guesses, addresses, took.Round(time.Millisecond), of, owner.of)
	// What ten minutes more give, however long it took, is one each minute, and eight an hour beside.
	if most := 15 + int(took/time.Minute) + int(took/(7*time.Minute)); of["535"] < 5 || of["535"] > most || of["535"]+of["454"] != guesses {
		t.Errorf("%v, and at most %d may be judged", of, most)
	}
	for what, codes := range owner.of {
		if len(codes) != 1 || codes["235"] < 2 {
			t.Errorf("the owner %s: %v", what, codes)
		}
	}
}

// Row H28: a thousand sockets, with a thousand names and passwords that all come in one moment, to
// a server whose rates let all of them pass to the hash. One hash is computed at a time, few wait
// for it, and all others are told to come back; an owner gets in at home meanwhile, and memory
// stays where it was, for a thousand hashes of the default cost would take 19 GiB.
func TestAThousandSignInsAtOnce(t *testing.T) {
	const sockets, waiting = 1000, 64
	s, cfg := hashingServer(t, 1, 1)
	door := s.Listen.Submissions[0]
	if code, err := tried(door, home, netip.Addr{}, cfg, account(0), password(0)); err != nil || code != "235" {
		t.Fatalf("the owner at home: %s, %v", code, err)
	}
	clients := make([]*client, sockets)
	var all sync.WaitGroup
	places := make(chan struct{}, 32)
	dialled := time.Now()
	for n := range clients {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			c, err := dial(door, network(n/4, 1+n%4), netip.Addr{}, cfg)
			if err != nil {
				t.Errorf("socket %d: %v", n, err)
				return
			}
			clients[n] = c
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	before := most(t, s)
	var got answers
	begin := make(chan struct{})
	for n, c := range clients {
		all.Go(func() {
			defer c.close()
			<-begin
			code, err := c.signIn(fmt.Sprintf("name%d@local.test", n), fmt.Sprint("password ", n))
			if err != nil {
				t.Errorf("socket %d: %v", n, err)
			}
			got.note("", code)
		})
	}
	began := time.Now()
	close(begin)
	if code, err := tried(door, home, netip.Addr{}, cfg, account(0), password(0)); err != nil || code != "235" {
		t.Errorf("the owner at home meanwhile: %s, %v", code, err)
	}
	all.Wait()
	took, after := time.Since(began), most(t, s)
	of := got.of[""]
	t.Logf("dialled in %v; %v after %v; at most %d MiB before and %d MiB by then",
		began.Sub(dialled).Round(time.Millisecond), of, took.Round(time.Millisecond), before>>20, after>>20)
	// A hash takes at least ten milliseconds, so that no more were judged than that.
	if of["535"]+of["454"] != sockets || of["535"] < 2 || of["454"] < sockets/4 || of["535"] > waiting+1+int(took/(10*time.Millisecond)) {
		t.Errorf("%v", of)
	}
	if more := after - before; more > 192<<20 {
		t.Errorf("memory grew by %d MiB", more>>20)
	}
	if code, err := tried(door, home, netip.Addr{}, cfg, account(0), password(0)); err != nil || code != "235" {
		t.Errorf("the owner afterwards: %s, %v", code, err)
	}
	log, err := os.ReadFile(s.LogFile())
	must(t, err)
	if strings.Contains(string(log), "panic") {
		t.Errorf("%s", s.LogTail())
	}
}

// hashingServer is one that is a process of its own, with passwords of the default cost that are
// not remembered for longer than a second, so many hashes at a time, and accounts.
func hashingServer(t testing.TB, hashing, accounts int) (*rig.Server, *tls.Config) {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "server"), Remote: "127.0.0.1:1",
		Extra: fmt.Sprintf("[auth]\nargon_memory = \"19MiB\"\nargon_rounds = 2\nhashing = %d\ncache_ttl = \"1s\"\ntotal_guesses = 100000\n", hashing)})
	must(t, err)
	must(t, s.Start(t.Context()))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	for n := range accounts {
		_, err = s.CLI(t.Context(), password(n)+"\n", "account", "add", account(n), "--password-stdin")
		must(t, err)
	}
	pem, err := os.ReadFile(s.CA)
	must(t, err)
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: s.Hostname}
	cfg.RootCAs.AppendCertsFromPEM(pem)
	return s, cfg
}

// most is the most memory that the server had so far, in octets.
func most(t *testing.T, s *rig.Server) int64 {
	t.Helper()
	pid, err := s.PID()
	must(t, err)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
