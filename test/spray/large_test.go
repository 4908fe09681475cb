package spray

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// The large form, and how long a server rests before it so that every rate of ten minutes is full.
const (
	largeVar  = "SALLYPORT_SPRAY"      // how long: 11m
	attackVar = "SALLYPORT_SPRAY_DOOR" // set: this process guesses, and prints what it was answered

	largeAccounts = 200
	largeNetworks = 500
	largeGuesses  = 10_000
)

func TestMain(m *testing.M) {
	if door := os.Getenv(attackVar); door != "" {
		if err := json.NewEncoder(os.Stdout).Encode(attack(door)); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// attack guesses: each pair of a network and an account once, each time with another password,
// and every address over one connection at a time.
func attack(door string) map[string]map[string]int {
	var got answers
	var all sync.WaitGroup
	for n := range largeNetworks {
		all.Go(func() {
			time.Sleep(time.Duration(n) * time.Second / largeNetworks) // not all at the same moment
			for k := range largeGuesses / largeNetworks {
				a := account((n + k*largeNetworks/3) % largeAccounts)
				// Whoever guesses looks at no certificate.
				code, err := tried(door, network(n, 9), netip.Addr{}, &tls.Config{InsecureSkipVerify: true}, a, fmt.Sprint("guess ", n, k))
				if err != nil {
					code = "none"
				}
				got.note(a, code)
			}
		})
	}
	all.Wait()
	return got.of
}

// honest are people who send a message to themselves, each over a new connection.
type honest struct {
	mu           sync.Mutex
	signIn, mail []time.Duration // to the answer to AUTH, from it and from the dial
	failed       []string
}

// work has them send, one each fifth of a second each, until over is closed.
func (h *honest) work(door string, cfg *tls.Config, over <-chan struct{}) {
	const people = 4
	var all sync.WaitGroup
	var next atomic.Int64
	for range people {
		all.Go(func() {
			t := time.NewTicker(200 * time.Millisecond)
			defer t.Stop()
			for {
				if err := h.one(door, cfg, int(next.Add(1))%largeAccounts); err != nil {
					h.mu.Lock()
					h.failed = append(h.failed, err.Error())
					h.mu.Unlock()
				}
				select {
				case <-over:
					return
				case <-t.C:
				}
			}
		})
	}
	all.Wait()
}

func (h *honest) one(door string, cfg *tls.Config, n int) error {
	began := time.Now()
	c, err := dial(door, home, netip.Addr{}, cfg)
	if err != nil {
		return err
	}
	defer c.close()
	asked := time.Now()
	if code, err := c.signIn(account(n), password(n)); err != nil || code != "235" {
		return fmt.Errorf("%s: %s, %v", account(n), code, err)
	}
	signed := time.Since(asked)
	if err := c.send(account(n)); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signIn, h.mail = append(h.signIn, signed), append(h.mail, time.Since(began))
	return nil
}

// of returns the qth part of all from the shortest on.
func of(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))].Round(10 * time.Microsecond)
}

func (h *honest) String() string {
	return fmt.Sprintf("%d messages, %d failed; sign-in p50 %v, p99 %v; mail p50 %v, p99 %v", len(h.mail),
		len(h.failed), of(h.signIn, .5), of(h.signIn, .99), of(h.mail, .5), of(h.mail, .99))
}

// large is the server, pinned to a processor, and its people.
func large(t *testing.T) (s *rig.Server, cfg *tls.Config) {
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s, err = rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "server"), Remote: "127.0.0.1:1"})
	must(t, err)
	must(t, s.Start(t.Context(), "taskset", "-c", "1"))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	for n := range largeAccounts {
		_, err := s.CLI(t.Context(), password(n)+"\n", "account", "add", account(n), "--password-stdin")
		must(t, err)
	}
	pem, err := os.ReadFile(s.CA)
	must(t, err)
	cfg = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: s.Hostname}
	cfg.RootCAs.AppendCertsFromPEM(pem)
	return s, cfg
}

// Ten thousand guesses over 500 networks and 200 accounts: at most ten are judged at an account,
// and five beside, and every owner signs in at home, and on a new network with an app password. The
// p99 of honest mail less than doubles meanwhile.
func TestLargeSpray(t *testing.T) {
	rest, err := time.ParseDuration(os.Getenv(largeVar))
	if err != nil {
		t.Skip("make spray")
	}
	if runtime.NumCPU() < 2 {
		t.Skip("one processor for the server and one for all others")
	}
	if out, err := exec.Command("taskset", "-a", "-p", "-c", "0", strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, cfg := large(t)
	door := s.Listen.Submissions[0]
	var apps []string
	for n := range 20 {
		out, err := s.CLI(t.Context(), "", "account", "app", "add", account(n), "phone", "--json")
		must(t, err)
		var v struct{ Password string }
		must(t, json.Unmarshal([]byte(out), &v))
		apps = append(apps, v.Password)
	}
	first := &honest{}
	for n := range largeAccounts { // at home from now on
		must(t, first.one(door, cfg, n))
	}
	t.Logf("resting for %v, since a server that began just now gives guesses less", rest)
	time.Sleep(rest)

	before, during := &honest{}, &honest{}
	over := make(chan struct{})
	time.AfterFunc(time.Minute, func() { close(over) })
	before.work(door, cfg, over)

	over = make(chan struct{})
	finished := make(chan struct{})
	go func() { defer close(finished); during.work(door, cfg, over) }()
	began := time.Now()
	got, err := attackOf(t.Context(), door)
	took := time.Since(began)
	for n, app := range apps {
		if code, err := tried(door, network(n, 200), netip.Addr{}, cfg, account(n), app); code != "235" {
			t.Errorf("%s with an app password from a network that guessed: %s, %v", account(n), code, err)
		}
	}
	close(over)
	<-finished
	must(t, err)
	judge(t, got, took)
	t.Logf("before: %v", before)
	t.Logf("during: %v", during)
	if n := len(before.failed) + len(during.failed); n > 0 {
		t.Errorf("%d honest ones failed: %.300q", n, append(before.failed, during.failed...))
	}
	t.Logf("the p99 of honest mail rose from %v to %v, that of signing in from %v to %v",
		of(before.mail, .99), of(during.mail, .99), of(before.signIn, .99), of(during.signIn, .99))
	if of(during.mail, .99) >= 2*of(before.mail, .99) {
		t.Error("the p99 of honest mail more than doubled; does this machine do anything else?")
	}
	status, err := s.CLI(t.Context(), "", "status")
	must(t, err)
	t.Logf("%s", status)
	if !strings.Contains(status, "somebody guesses the password of ") {
		t.Error("the operator is not told")
	}
}

// attackOf runs the attack as a process of its own beside the honest clients, whom it lets pass.
func attackOf(ctx context.Context, door string) (got map[string]map[string]int, err error) {
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", "taskset", "-c", "0", os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), attackVar+"="+door), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return got, json.Unmarshal(out, &got)
}

// judge holds what was answered against what may be judged.
func judge(t *testing.T, got map[string]map[string]int, took time.Duration) {
	total, most := map[string]int{}, 0
	for name, of := range got {
		for code, n := range of {
			total[code] += n
		}
		most = max(most, of["535"])
		if of["535"] > 15 {
			t.Errorf("%d guesses were judged at %s", of["535"], name)
		}
	}
	t.Logf("%d guesses over %d networks and %d accounts in %v: %v; most judged at one account %d",
		largeGuesses, largeNetworks, largeAccounts, took.Round(100*time.Millisecond), total, most)
	if total["535"]+total["454"] != largeGuesses || total["535"] < largeAccounts {
		t.Error("that is not what was to be measured")
	}
	if took > 10*time.Minute {
		t.Error("it took longer than the time that the bound is for")
	}
}
