package spray

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

const settings = `hostname = "mx.local.test"
data = "data"
[listen]
submissions = ["127.0.0.1:0"]
[tls]
cert = "tls/server.pem"
key = "tls/server.key"
[domain."local.test"]
deliver = "maildir"
[limits]
greet_delay = "0s"
min_free = "1MiB"
[proxy]
from = ["127.0.0.250/32"]
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
waiting = 1000
wait_time = "1m"
[authentication]
check = "off"
`

// accounts of the site, and the networks that guess at all of them.
const (
	accounts = 10
	networks = 40
)

func account(n int) string  { return fmt.Sprintf("owner%d@local.test", n) }
func password(n int) string { return fmt.Sprintf("correct horse battery %d", n) }

var home = netip.MustParseAddr("127.200.0.7")

// site is a server that runs, and has run for so long that every rate is full: the worst moment.
type site struct {
	op   *operate.Operator
	door string
	tls  *tls.Config
}

func start(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	files := pki.In(filepath.Join(dir, "tls"))
	must(t, files.Ensure("spray test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()))
	pem, err := os.ReadFile(files.CA)
	must(t, err)
	s := &site{tls: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "mx.local.test"}}
	s.tls.RootCAs.AppendCertsFromPEM(pem)
	path := filepath.Join(dir, "sallyport.toml")
	must(t, os.WriteFile(path, []byte(settings), 0o600))
	cfg, err := config.Load(path)
	must(t, err)
	var started atomic.Bool
	n, err := node.Open(t.Context(), cfg, node.Options{Version: "test", World: node.World{Now: func() time.Time {
		if started.Load() {
			return time.Now()
		}
		return time.Now().Add(-2 * time.Hour)
	}}})
	must(t, err)
	started.Store(true)
	must(t, n.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-served)
		must(t, n.Close())
	})
	s.op, s.door = n.Operator(), n.Addrs().Submissions[0]
	for a := range accounts {
		_, err := s.op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: account(a), Password: password(a), Role: "person"})
		must(t, err)
	}
	return s
}

// try signs in, and fails the test when there is no answer.
func (s *site) try(t *testing.T, from, proxied netip.Addr, user, password string) string {
	t.Helper()
	code, err := tried(s.door, from, proxied, s.tls, user, password)
	if err != nil {
		t.Errorf("%s from %s: %v", user, from, err)
	}
	return code
}

// answers are how often each code came, for each name.
type answers struct {
	mu sync.Mutex
	of map[string]map[string]int
}

func (a *answers) note(name, code string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]map[string]int{}
	}
	if a.of[name] == nil {
		a.of[name] = map[string]int{}
	}
	a.of[name][code]++
}

// Whoever has forty networks and tries a password from each of them at each of ten accounts has
// at most ten judged at one, and five beside. Meanwhile each owner signs in at home with his
// password, and from a network that guesses with an app password. Names that nobody has are
// answered alike.
func TestSprayOfPasswords(t *testing.T) {
	s := start(t)
	apps := make([]string, accounts)
	for a := range accounts {
		if code := s.try(t, home, netip.Addr{}, account(a), password(a)); code != "235" {
			t.Fatalf("%s at home: %s", account(a), code)
		}
		app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: account(a), Name: "phone", Scope: "send"})
		must(t, err)
		apps[a] = app.Password
	}
	var got, honest answers
	var guessing, owners sync.WaitGroup
	places := make(chan struct{}, 128)
	for n := range networks {
		for a := range accounts + 2 { // two that there are not
			guessing.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				got.note(account(a), s.try(t, network(n, 1+a), netip.Addr{}, account(a), fmt.Sprint("guess ", n)))
			})
		}
	}
	over := make(chan struct{})
	for a := range accounts {
		owners.Go(func() {
			for {
				honest.note("at home", s.try(t, home, netip.Addr{}, account(a), password(a)))
				honest.note("with an app password", s.try(t, network(3*a, 200), netip.Addr{}, account(a), apps[a]))
				select {
				case <-over:
					return
				case <-time.After(500 * time.Millisecond):
				}
			}
		})
	}
	guessing.Wait()
	close(over)
	owners.Wait()
	for a := range accounts + 2 {
		if of := got.of[account(a)]; of["535"] < 5 || of["535"] > 15 || of["535"]+of["454"] != networks {
			t.Errorf("%s: %v", account(a), of)
		}
	}
	for what, of := range honest.of {
		if len(of) != 1 || of["235"] < 2*accounts {
			t.Errorf("%s: %v", what, of)
		}
	}
	status, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
	must(t, err)
	if status.Guessed != accounts {
		t.Errorf("%d accounts are told of as guessed at: %+v", status.Guessed, status.GuessedAt)
	}
}

// What comes by way of a balancer counts for the network that the balancer names: the stranger
// behind it is kept off, his neighbour at the same balancer is not, and the operator sees whose
// network it was.
func TestSprayThroughABalancer(t *testing.T) {
	s := start(t)
	balancer := netip.MustParseAddr("127.0.0.250")
	stranger, other := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.7")
	var got answers
	var guessing sync.WaitGroup
	for n := range 60 {
		guessing.Go(func() {
			got.note("stranger", s.try(t, balancer, stranger, fmt.Sprintf("nobody%d@local.test", n), "guess"))
		})
	}
	guessing.Wait()
	if of := got.of["stranger"]; of["535"] < 30 || of["535"] > 35 || of["535"]+of["454"] != 60 {
		t.Errorf("one network: %v", of)
	}
	if code := s.try(t, balancer, stranger.Next(), account(1), password(1)); code != "454" {
		t.Errorf("his neighbour in the network: %s", code)
	}
	for range 2 {
		s.try(t, balancer, other, account(0), "guess")
	}
	if code := s.try(t, balancer, other, account(1), password(1)); code != "235" {
		t.Errorf("somebody else at the balancer: %s", code)
	}
	for n := range 12 { // by now he guesses too, and from nowhere else
		guessing.Go(func() { s.try(t, balancer, other, account(0), fmt.Sprint("guess ", n)) })
	}
	guessing.Wait()
	v, err := s.op.AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: account(0)})
	must(t, err)
	if v.Guessed == nil || len(v.Guessed.Sources) != 1 || v.Guessed.Sources[0].Network != netip.MustParsePrefix("198.51.100.0/24") {
		t.Errorf("%+v", v.Guessed)
	}
	// An address of the same host that is no balancer is not believed.
	if code, err := tried(s.door, home, stranger, s.tls, account(1), password(1)); err == nil {
		t.Errorf("a header from elsewhere: %s", code)
	}
	if code := s.try(t, home, netip.Addr{}, account(1), password(1)); code != "235" {
		t.Errorf("without one: %s", code)
	}
}
