package ledger_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

var (
	noon   = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	limits = budget.Limits{Hour: 100, Day: 150}
)

type clock struct{ now atomic.Int64 }

func (c *clock) time() time.Time { return noon.Add(time.Duration(c.now.Load())) }

func (c *clock) pass(d time.Duration) { c.now.Add(int64(d)) }

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t fataler, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func open(t *testing.T, st store.Store, c *clock) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), st, ledger.Options{Now: c.time, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return l
}

// spend lets n recipients through, durably.
func spend(t *testing.T, l *ledger.Ledger, name ledger.Line, n int) {
	t.Helper()
	c := l.Charge(name)
	if v, _ := c.Take(n, limits); !v.OK {
		t.Fatalf("%d refused: %+v", n, v)
	}
	must(t, c.Keep(t.Context(), store.Durable))
	c.Done()
}

// Many sessions of one account at once get exactly what there is, however many of their
// messages come to nothing meanwhile.
func TestManySessionsShareOneBudget(t *testing.T) {
	l := open(t, mem.New(), &clock{})
	name := ledger.Account(addr(t, "alice@local.test"))
	var sent, refused, alarms atomic.Int64
	var all sync.WaitGroup
	for s := range 64 {
		all.Go(func() {
			for m := range 30 {
				c := l.Charge(name)
				for range 3 {
					v, alarm := c.Take(1, limits)
					if !v.OK {
						refused.Add(1)
					}
					if alarm {
						alarms.Add(1)
					}
				}
				if (s+m)%3 == 0 {
					c.Release() // RSET, a lost connection, a refused message
					continue
				}
				_, _ = c.Mutation()
				n := c.Taken()
				c.Done()
				c.Release() // as after each message; it takes nothing back
				sent.Add(int64(n))
			}
		})
	}
	all.Wait()
	if sent.Load() > int64(limits.Hour) || refused.Load() == 0 || alarms.Load() != 1 {
		t.Errorf("%d sent of %d, %d refused, %d alarms", sent.Load(), limits.Hour, refused.Load(), alarms.Load())
	}
	// What came to nothing left its room.
	for c := l.Charge(name); ; c.Done() {
		if v, _ := c.Take(1, limits); !v.OK {
			break
		}
		sent.Add(1)
	}
	if u := l.Use(name); sent.Load() != int64(limits.Hour) || u.Hour != limits.Hour {
		t.Errorf("%d sent in the end, counted %+v", sent.Load(), u)
	}
}

// Messages are made durable in any order, some fail, and the process dies at any moment:
// the next one counts no less than what became durable, nor more than what was asked for.
func TestACrashGivesNothingAnew(t *testing.T) {
	type act struct {
		charge *ledger.Charge
		tx     store.Tx
		n      int
	}
	rapid.Check(t, func(rt *rapid.T) {
		st, c := mem.New(), &clock{}
		name := ledger.Account(addr(rt, "alice@local.test"))
		var flying []act
		durable, asked := 0, 0
		l := open(t, st, c)
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0, 1, 2, 3: // a message on its way to the disk
				a := act{charge: l.Charge(name), n: rapid.IntRange(1, 9).Draw(rt, "n")}
				if v, _ := a.charge.Take(a.n, budget.Limits{Hour: 1 << 20, Day: 1 << 20}); !v.OK {
					rt.Fatal("refused")
				}
				m, ok := a.charge.Mutation()
				if !ok {
					rt.Fatal("nothing to write")
				}
				asked += a.n
				a.tx.Mutations = []store.Mutation{m}
				flying = append(flying, a)
			case 4, 5, 6, 7, 8: // one of them arrives, or fails
				if len(flying) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(flying)-1).Draw(rt, "which")
				a := flying[i]
				flying = append(flying[:i:i], flying[i+1:]...)
				if rapid.Bool().Draw(rt, "fails") {
					a.charge.Release()
					continue
				}
				_, err := st.Apply(t.Context(), a.tx, store.Durable)
				must(rt, err)
				durable += a.n
				if rapid.IntRange(0, 3).Draw(rt, "answered") > 0 { // else the process dies, or is slow
					a.charge.Done()
				}
			default:
				flying = nil
				l = open(t, st, c)
				if u := l.Use(name); u.Hour < durable || u.Hour > asked {
					rt.Fatalf("%d were let through, %d asked for, and %d are counted", durable, asked, u.Hour)
				}
			}
		}
		l = open(t, st, c)
		if u := l.Use(name); u.Hour < durable || u.Hour > asked {
			rt.Fatalf("%d were let through, %d asked for, and %d are counted", durable, asked, u.Hour)
		}
	})
}

// A restart, an hour, a day, and a clock that is set back.
func TestBudgetOverTime(t *testing.T) {
	st, c := mem.New(), &clock{}
	name := ledger.Account(addr(t, "alice@local.test"))
	l := open(t, st, c)
	left := func() int {
		l = open(t, st, c) // each time by another process
		n, x := 0, l.Charge(name)
		defer x.Release()
		for ; ; n++ {
			if v, _ := x.Take(1, limits); !v.OK {
				return n
			}
		}
	}
	spend(t, l, name, 100)
	for _, step := range []struct {
		what  string
		after time.Duration
		want  int
	}{
		{"at once", 0, 0},
		{"an hour less a minute", 59 * time.Minute, 0},
		{"the clock set back by half a year", -180 * 24 * time.Hour, 0},
		{"and by a minute", -time.Minute, 0},
	} {
		c.pass(step.after)
		if got := left(); got != step.want {
			t.Errorf("%s: %d left, not %d", step.what, got, step.want)
		}
	}
	c.pass(70 * time.Minute)
	// By the clock as it goes now it is the day that counts: 150 less 100.
	if v, _ := l.Charge(name).Take(51, limits); v.OK || v.Rule != budget.RuleDay {
		t.Errorf("beyond the day: %+v", v)
	}
	spend(t, l, name, 50)
	if got := left(); got != 0 {
		t.Errorf("the day is used up, and %d are left", got)
	}
	c.pass(26 * time.Hour)
	if got := left(); got != limits.Hour {
		t.Errorf("a day later %d are left", got)
	}
}

// Whoever gave up has lost nothing, in memory and on disk; lines know nothing of each
// other, and a name in other letters is the same line.
func TestLines(t *testing.T) {
	st, c := mem.New(), &clock{}
	l := open(t, st, c)
	alice, target := addr(t, "alice@local.test"), addr(t, "a@remote.test")
	for range 5 {
		x := l.Charge(ledger.Account(alice))
		x.Take(100, limits)
		x.Release()
		x.Release()
	}
	spend(t, l, ledger.Account(addr(t, "Alice@local.test")), 3)
	spend(t, l, ledger.Forward(alice, target), 5)
	spend(t, l, ledger.Forward(alice, addr(t, "b@remote.test")), 7)
	for range 2 {
		for want, name := range map[int]ledger.Line{
			3: ledger.Account(alice), 5: ledger.Forward(alice, target), 7: ledger.Forward(alice, addr(t, "b@remote.test")), 0: ledger.Account(target),
		} {
			if got := l.Use(name); got.Hour != want || got.Day != want {
				t.Errorf("%v: %+v, not %d", name, got, want)
			}
		}
		l = open(t, st, c)
	}
}

// A count that cannot be read is no fresh budget.
func TestUnreadableCountIsUsedUp(t *testing.T) {
	st, c := mem.New(), &clock{}
	name := ledger.Account(addr(t, "alice@local.test"))
	x := open(t, st, c).Charge(name)
	x.Take(1, limits)
	m, _ := x.Mutation()
	for _, value := range [][]byte{nil, []byte("x"), m.Value[:len(m.Value)-1], append(bytes.Clone(m.Value), 0)} {
		_, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: m.Key, Value: value}}}, store.Durable)
		must(t, err)
		var logged strings.Builder
		l, err := ledger.Open(t.Context(), st, ledger.Options{Now: c.time, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		must(t, err)
		if v, _ := l.Charge(name).Take(1, limits); v.OK || !strings.Contains(logged.String(), "cannot be read") {
			t.Errorf("%q: %+v, logged %q", value, v, logged.String())
		}
	}
}

// What counts no more is forgotten, on disk too, with all keys that it had; what begins
// again then counts from the start and outlives the next restart.
func TestSweep(t *testing.T) {
	st, c := mem.New(), &clock{}
	name := ledger.Account(addr(t, "alice@local.test"))
	l := open(t, st, c)
	var all []*ledger.Charge
	for range 4 { // at the same time, so that there are four keys
		x := l.Charge(name)
		x.Take(1, limits)
		m, _ := x.Mutation()
		_, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{m}}, store.Durable)
		must(t, err)
		all = append(all, x)
	}
	for _, x := range all {
		x.Done()
	}
	keys := func() (n int) {
		must(t, st.Scan(t.Context(), store.Prefix(nil), func(_, _ []byte) (bool, error) { n++; return true, nil }))
		return n
	}
	if keys() != 4 {
		t.Fatalf("%d keys", keys())
	}
	c.pass(2 * time.Hour)
	l.Sweep(t.Context())
	if keys() != 4 || l.Use(name).Day != 4 {
		t.Errorf("what still counts was swept: %d keys, %+v", keys(), l.Use(name))
	}
	c.pass(24 * time.Hour)
	l.Sweep(t.Context())
	if keys() != 0 {
		t.Errorf("%d keys after the sweep", keys())
	}
	spend(t, l, name, 9)
	if l = open(t, st, c); l.Use(name).Hour != 9 {
		t.Errorf("counted %+v", l.Use(name))
	}
}

// What one recipient costs: to be judged at RCPT, and its part of a message's count.
func BenchmarkCharge(b *testing.B) {
	l, err := ledger.Open(b.Context(), mem.New(), ledger.Options{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	must(b, err)
	name := ledger.Account(addr(b, "alice@local.test"))
	wide := budget.Limits{Hour: 1 << 40, Day: 1 << 40}
	b.Run("recipient", func(b *testing.B) {
		c := l.Charge(name)
		defer c.Release()
		for b.Loop() {
			if v, _ := c.Take(1, wide); !v.OK {
				b.Fatal("refused")
			}
		}
	})
	b.Run("message", func(b *testing.B) {
		for b.Loop() {
			c := l.Charge(name)
			c.Take(1, wide)
			c.Mutation()
			c.Done()
		}
	})
}
