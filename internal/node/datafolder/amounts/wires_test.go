package amounts

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/clock"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/budget/quota"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// machine is one on which no time passes by itself, and whose clock somebody sets. It shows a year far from that of the test,
// so that whoever asks another clock is found out.
type machine struct {
	mu   sync.Mutex
	read clock.Reading
}

func newMachine() *machine {
	return &machine{read: clock.Reading{Boot: "a", Since: time.Hour, Wall: time.Date(2041, 2, 3, 4, 5, 6, 0, time.UTC)}}
}

func (m *machine) reading() clock.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read
}

func (m *machine) now() time.Time { return m.reading().Wall }

func (m *machine) world() settings.World {
	return settings.World{Now: m.now, Clocks: m.reading}.Complete()
}

// goes lets so much time pass, and sets the clock by so much.
func (m *machine) goes(passes, set time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read.Since, m.read.Wall = m.read.Since+passes, m.read.Wall.Add(passes+set)
}

// What accounts may write to, and networks bring, is given anew by the time that passes, whatever the clock is set to; when that
// will be, and was, is told as the clock shows it.
func TestBudgetsGoByTheTimeThatPasses(t *testing.T) {
	m := newMachine()
	cfg := load(t)
	cfg.Inflow.Connections = 2
	f := openAs(t, cfg, m.world())
	alice, network := address(t, "alice@local.test"), netip.MustParseAddr("192.0.2.7")
	may := func() budget.Verdict {
		c := f.Ledger.Charge(ledger.Account(alice))
		v, _ := c.Take(1, budget.Limits{Hour: 1, Day: 10})
		c.Done()
		return v
	}
	comes := func() bool { return f.Inflow.Connect(network).OK }
	for n := range 10 {
		if may().OK != (n == 0) {
			t.Errorf("recipient %d", n)
		}
		if comes() && n > 4 {
			t.Errorf("connection %d, and 2 may be", n)
		}
	}
	for _, set := range []time.Duration{10 * year, -20 * year} {
		m.goes(0, set)
		if v := may(); v.OK || v.Again.Before(m.now()) || v.Again.After(m.now().Add(2*time.Hour)) {
			t.Errorf("at %v, when the clock was set by %v: %+v", m.now(), set, v)
		}
		if comes() {
			t.Errorf("a clock that is set by %v lets a network in", set)
		}
		if of := f.Inflow.Limited(10); len(of) != 1 || !of[0].Last.Equal(m.now()) {
			t.Errorf("at %v it is told of %+v", m.now(), of)
		}
	}
	if m.goes(2*time.Hour, 0); !may().OK || !comes() {
		t.Error("what was used is not given anew")
	}
}

// Who writes to a full mailbox is put off until it was full for so long that he is refused, as the time passes.
func TestFullMailboxesGoByTheTimeThatPasses(t *testing.T) {
	m := newMachine()
	f, alice := openIn(t, m.world()), address(t, "alice@local.test")
	f.holds[alice.Key()] = mailbox.Usage{Octets: 950, Messages: 1}
	f.bound(quota.Quota{Octets: 1000, Messages: quota.Unbounded}, quota.None())
	code := func() int {
		_, v := f.Quota.Add(t.Context(), alice, quota.Usage{Octets: 100, Messages: 1})
		return v.Reply().Code
	}
	if got := code(); got != 452 {
		t.Errorf("at first %d", got)
	}
	for _, set := range []time.Duration{10 * year, -20 * year} {
		if m.goes(0, set); code() != 452 {
			t.Errorf("a clock that is set by %v refuses for good", set)
		}
	}
	if m.goes(quota.DefaultLimits().Lasting, 0); code() != 552 {
		t.Error("nobody is refused for good")
	}
}

// What comes from a network must find room in its mailbox.
func TestWhatComesAsksForRoom(t *testing.T) {
	f, alice := open(t), address(t, "alice@local.test")
	f.holds[alice.Key()] = mailbox.Usage{Octets: 990, Messages: 1}
	f.bound(quota.Quota{Octets: 1000, Messages: quota.Unbounded}, quota.None())
	for size, want := range map[int64]inflow.Rule{5: "", 500: inflow.RuleQuota} {
		c := f.Inflow.Charge(inflow.Stranger(netip.MustParseAddr("192.0.2.7")), size, false)
		if v := c.AddWithin(t.Context(), []mail.Address{alice}, alice); v.OK != (want == "") || v.Rule != want && want != "" {
			t.Errorf("%d octets: %+v", size, v)
		}
		c.Release()
	}
}

// Strangers are put off for as long as the configuration says.
func TestStrangersArePutOffAsConfigured(t *testing.T) {
	m := newMachine()
	cfg := load(t)
	cfg.Screen.Greylist = 7 * time.Minute
	f := openAs(t, cfg, m.world())
	taken := func() bool {
		return f.Greylist.Judge(t.Context(), netip.MustParseAddr("192.0.2.7"), mail.PathOf(address(t, "eve@elsewhere.test")), address(t, "alice@local.test")).OK
	}
	for n, want := range []bool{false, false, true} {
		if taken() != want {
			t.Errorf("taken at the %d. try: %v", n+1, !want)
		}
		m.goes(4*time.Minute, 0)
	}
}

// Every account's mailbox is looked at, also one that nobody wrote to since the start.
func TestMailboxesOfAllAccountsAreLookedAt(t *testing.T) {
	f := open(t)
	for _, name := range []string{"alice@local.test", "bob@local.test"} {
		f.holds[address(t, name).Key()] = mailbox.Usage{Octets: 950, Messages: 1}
	}
	f.bound(quota.Quota{Octets: 1000, Messages: quota.Unbounded}, quota.None())
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	told := make(chan string, 10)
	go func() {
		defer close(ended)
		f.Quota.Run(ctx, func(_ context.Context, w quota.Warning) error {
			select {
			case told <- w.Account.String():
			default:
			}
			return quota.ErrNobody
		})
	}()
	of := map[string]bool{}
	for until := time.After(30 * time.Second); len(of) < 2; {
		select {
		case name := <-told:
			of[name] = true
		case <-until:
			t.Fatalf("told of %v alone", of)
		}
	}
	end()
	<-ended
	if got := fmt.Sprint(of); got != "map[alice@local.test:true bob@local.test:true]" {
		t.Errorf("told of %s", got)
	}
}
