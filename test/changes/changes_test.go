// Package changes measures what one change of a large directory takes at the operator's socket of a
// server that runs: 100,000 aliases, of which half stand in the configuration, 1,000 domains, and 5,000
// networks of devices.
package changes

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/store/pebble"
	"sallyport/test/load/rig"
)

// sizes are those of a directory.
type sizes struct{ domains, aliases, networks, accounts int }

// site is a server in a process of its own, and a connection to its socket.
type site struct {
	*operate.Client
	t   testing.TB
	of  sizes
	pid int
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func address(t testing.TB, format string, n ...any) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(fmt.Sprintf(format, n...), mail.ASCII)
	must(t, err)
	return a
}

// tables are those of the domains and the networks.
func (n sizes) tables() string {
	var b strings.Builder
	for i := range n.domains {
		fmt.Fprintf(&b, "[domain.\"d%d.test\"]\ndeliver = \"maildir\"\n", i)
	}
	const together = 100
	for i := 0; i < n.networks; i += together {
		var from []string
		for j := i; j < min(i+together, n.networks); j++ {
			from = append(from, fmt.Sprintf("\"10.%d.%d.0/24\"", j/250, j%250))
		}
		fmt.Fprintf(&b, "[network.n%d]\naccount = \"printers%d@d%d.test\"\nfrom = [%s]\n", i, i, i%n.domains, strings.Join(from, ", "))
	}
	return b.String()
}

// stated is the half of the aliases that stands in the configuration.
func (n sizes) stated() string {
	var b strings.Builder
	for i := 0; i < n.aliases; i += 2 {
		fmt.Fprintf(&b, "\"a%d@d%d.test\" = [\"u%d@d%d.test\"]\n", i, i%n.domains, i%n.accounts, i%n.accounts%n.domains)
	}
	return b.String()
}

// begin makes the directory and starts a server on it.
func begin(t testing.TB, of sizes) *site {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s, err := rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: t.TempDir(), Remote: "127.0.0.1:1", Patience: 10 * time.Minute,
		Extra: "[forward]\nexternal = \"on\"\n" + of.tables(),
	})
	must(t, err)
	text, err := os.ReadFile(s.Config)
	must(t, err)
	must(t, os.WriteFile(s.Config, []byte(strings.Replace(string(text), "[alias]\n", "[alias]\n"+of.stated(), 1)), 0o600))
	cfg, err := config.Load(s.Config)
	must(t, err)
	of.fill(t, cfg)
	began := time.Now()
	must(t, s.Start(t.Context()))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d domains, %d aliases, %d networks and %d accounts are served after %.1f s", of.domains, of.aliases, of.networks, of.accounts, time.Since(began).Seconds())
	c, err := operate.Dial(t.Context(), cfg.Socket())
	must(t, err)
	t.Cleanup(c.Close)
	pid, err := s.PID()
	must(t, err)
	return &site{c, t, of, pid}
}

// fill adds accounts and the other half of the aliases while no server runs.
func (n sizes) fill(t testing.TB, cfg config.Config) {
	t.Helper()
	cfg.Aliases = nil // each account would be judged with all of them
	opened, err := node.Open(t.Context(), cfg, node.Options{World: node.World{Logger: slog.New(slog.DiscardHandler)}, Version: "test"})
	must(t, err)
	add := func(a string) {
		_, err := opened.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: a, Password: "correct horse battery", Role: "person"})
		must(t, err)
	}
	for i := 0; i < n.networks; i += 100 {
		add(fmt.Sprintf("printers%d@d%d.test", i, i%n.domains))
	}
	for i := range n.accounts {
		add(fmt.Sprintf("u%d@d%d.test", i, i%n.domains))
	}
	must(t, opened.Close())
	st, err := pebble.Open(pebble.Options{Dir: cfg.StoreDir()})
	must(t, err)
	r, err := roster.Open(t.Context(), st, roster.Options{Limits: roster.DefaultLimits()})
	must(t, err)
	var put []roster.Entry
	for i := 1; i < n.aliases; i += 2 {
		put = append(put, roster.Alias{Alias: directory.Alias{
			Address: address(t, "a%d@d%d.test", i, i%n.domains),
			Targets: []mail.Address{address(t, "u%d@d%d.test", i%n.accounts, i%n.accounts%n.domains)},
			Posting: directory.PostingAnyone,
		}})
	}
	for some := range slices.Chunk(put, 5000) {
		_, err := r.Change(t.Context(), roster.Change{
			Plan:  func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: some}, nil },
			Check: func(context.Context, *roster.State, *roster.State) error { return nil },
		})
		must(t, err)
	}
	must(t, st.Close())
}

// cpu is the processor time of the server. clock_getcpuclockid(3): the id is made of that of the
// process.
func (s *site) cpu() time.Duration {
	s.t.Helper()
	var at unix.Timespec
	must(s.t, unix.ClockGettime(int32(^s.pid<<3|2), &at))
	return time.Duration(at.Nano())
}

// change is one kind of change, and how to ask for the n-th.
type change struct {
	name string
	do   func(n int) error
}

// changes are all kinds, each of which may rest on those before it.
func (s *site) changes() []change {
	ctx := s.t.Context()
	ignoring := func(_ any, err error) error { return err }
	refused := func(_ any, err error) error {
		if err == nil {
			return fmt.Errorf("it was taken")
		}
		return nil
	}
	alias := func(name, to string) error {
		_, err := s.AliasAdd(ctx, operate.AliasAdd{Name: name, Targets: []string{to}})
		return err
	}
	return []change{
		{"alias add", func(n int) error {
			return alias(fmt.Sprintf("new%d@d7.test", n), fmt.Sprintf("a%d@d%d.test", n, n%s.of.domains))
		}},
		{"alias add, of the first domain", func(n int) error { return alias(fmt.Sprintf("first%d@d0.test", n), "u0@d0.test") }},
		{"alias rm", func(n int) error {
			return ignoring(s.AliasRemove(ctx, operate.AliasRemove{Name: fmt.Sprintf("a%d@d%d.test", 2*n+1, (2*n+1)%s.of.domains)}))
		}},
		{"account add", func(n int) error {
			return ignoring(s.AccountAdd(ctx, operate.AccountAdd{Address: fmt.Sprintf("new.person%d@d9.test", n), Password: "correct horse battery", Role: "person"}))
		}},
		{"account add, of the first domain", func(n int) error {
			return ignoring(s.AccountAdd(ctx, operate.AccountAdd{Address: fmt.Sprintf("a.person%d@d0.test", n), Password: "correct horse battery", Role: "person"}))
		}},
		{"account rm", func(n int) error {
			return ignoring(s.AccountRemove(ctx, operate.AccountRef{Address: fmt.Sprintf("new.person%d@d9.test", n)}))
		}},
		{"account rename", func(n int) error {
			return ignoring(s.AccountRename(ctx, operate.AccountRename{Address: fmt.Sprintf("a.person%d@d0.test", n), To: fmt.Sprintf("b.person%d@d0.test", n), KeepAlias: true}))
		}},
		{"delegate add", func(n int) error {
			return ignoring(s.DelegateAdd(ctx, operate.DelegateChange{Account: fmt.Sprintf("u%d@d%d.test", n, n%s.of.domains), Address: fmt.Sprintf("a%d@d%d.test", 2*n+20, (2*n+20)%s.of.domains)}))
		}},
		{"forward add", func(n int) error {
			return ignoring(s.ForwardAdd(ctx, operate.ForwardAdd{Account: fmt.Sprintf("u%d@d%d.test", n, n%s.of.domains), Targets: []string{fmt.Sprintf("x%d@elsewhere.test", n)}, Keep: true}))
		}},
		{"domain add", func(n int) error {
			return ignoring(s.DomainAdd(ctx, operate.DomainAdd{Name: fmt.Sprintf("new%d.test", n)}))
		}},
		{"refused: an alias that leads out", func(n int) error { return refused(nil, alias(fmt.Sprintf("out%d@d7.test", n), "x@elsewhere.test")) }},
		{"refused: an alias to itself, in a circle", func(n int) error {
			return refused(nil, alias(fmt.Sprintf("c%d@d7.test", n), fmt.Sprintf("c%d@d7.test", n)))
		}},
		{"refused: an alias to nobody", func(n int) error {
			return refused(nil, alias(fmt.Sprintf("no%d@d7.test", n), fmt.Sprintf("nobody%d@d7.test", n)))
		}},
		{"refused: an account of an alias's name", func(n int) error {
			return refused(s.AccountAdd(ctx, operate.AccountAdd{Address: fmt.Sprintf("a%d@d%d.test", 2*n, 2*n%s.of.domains), Password: "correct horse battery", Role: "person"}))
		}},
	}
}

// Each kind of change is answered at the socket, and what it takes is told: on the clock, the median
// and the longest, and of the processor time of the server. SALLYPORT_CHANGES is how often each is asked
// for, of the large directory; SALLYPORT_ONLY is part of the names of those that are.
func TestOneChange(t *testing.T) {
	rounds, of := 3, sizes{20, 2000, 100, 50}
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_CHANGES")); err == nil {
		rounds, of = n, sizes{1000, 100_000, 5000, 1000}
	}
	s := begin(t, of)
	for _, c := range s.changes() {
		if only := os.Getenv("SALLYPORT_ONLY"); !strings.Contains(c.name, only) {
			continue
		}
		must(t, c.do(rounds)) // warm
		var took []time.Duration
		before := s.cpu()
		for n := range rounds {
			began := time.Now()
			if err := c.do(n); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			took = append(took, time.Since(began))
		}
		cpu := (s.cpu() - before) / time.Duration(rounds)
		slices.Sort(took)
		t.Logf("| %s | %.1f | %.1f | %.1f |", c.name, ms(took[len(took)/2]), ms(took[len(took)-1]), ms(cpu))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
