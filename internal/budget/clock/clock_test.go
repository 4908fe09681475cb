package clock

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

const year = 365 * 24 * time.Hour

// noon is when a machine is switched on.
func noon() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

// machine has clocks that a test sets.
type machine struct {
	boot  string
	since time.Duration
	wall  time.Time
	logs  strings.Builder
}

func (m *machine) read() Reading { return Reading{m.boot, m.since, m.wall} }

// pass lets time pass, with or without the clock's knowing.
func (m *machine) pass(d time.Duration) { m.since, m.wall = m.since+d, m.wall.Add(d) }

// reboot lets the machine be off for so long.
func (m *machine) reboot(off time.Duration) {
	m.boot, m.since, m.wall = m.boot+"'", time.Minute, m.wall.Add(off+time.Minute)
}

func (m *machine) open(t interface {
	Context() context.Context
	Fatal(...any)
}, st store.Store) *Clock {
	c, err := Open(t.Context(), st, Options{Read: m.read, Logger: slog.New(slog.NewTextHandler(&m.logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the clock is set to while the machine runs, as much time passes as did, in one run of
// the program and over its restarts; a machine that was off has the clock alone.
func TestWhatPasses(t *testing.T) {
	for name, set := range map[string]time.Duration{"not": 0, "a day ahead": 24 * time.Hour, "ten years ahead": 10 * year, "a day back": -24 * time.Hour, "ten years back": -10 * year} {
		t.Run(name, func(t *testing.T) {
			st := mem.New()
			m := &machine{boot: "a", since: time.Hour, wall: noon()}
			c := m.open(t, st)
			want := noon()
			is := func(when string) {
				t.Helper()
				if got := c.Now(); !got.Equal(want) {
					t.Fatalf("%s: %s, want %s", when, got, want)
				}
			}
			is("at first")
			m.pass(time.Second)
			m.wall = m.wall.Add(set)
			want = want.Add(time.Second)
			is("set while it runs")
			if err := c.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.pass(10 * time.Minute)
			want = want.Add(10 * time.Minute)
			is("later")
			c = m.open(t, st)
			is("after a restart")
			m.pass(time.Minute)
			m.wall = m.wall.Add(-set).Add(set / 2)
			want = want.Add(time.Minute)
			c = m.open(t, st)
			is("set while it was down")
			if set != 0 != strings.Contains(m.logs.String(), "the clock was set") {
				t.Errorf("logged: %s", m.logs.String())
			}
			m.reboot(24 * time.Hour)
			c = m.open(t, st)
			want = want.Add(24*time.Hour + time.Minute)
			is("after a day without the machine")
			m.reboot(0)
			m.wall = m.wall.Add(-48 * time.Hour)
			c = m.open(t, st)
			is("set back while the machine was off")
			m.reboot(10 * year)
			c = m.open(t, st)
			want = want.Add(OffMost + time.Minute)
			is("ten years ahead after a time without the machine")
		})
	}
}

// Time never goes back, however the clocks of the machine do.
func TestTimeNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := mem.New()
		m := &machine{boot: "a", since: time.Hour, wall: noon()}
		c := m.open(t, st)
		last := c.Now()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			d := time.Duration(rapid.Int64Range(-int64(10*year), int64(10*year)).Draw(t, "by"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				m.wall = m.wall.Add(d)
			case 1:
				m.pass(d.Abs())
			case 2:
				m.reboot(d.Abs())
			case 3:
				m.since += d // a machine that is restored from a snapshot
				m.since = max(m.since, 0)
			case 4:
				if err := c.Keep(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 5:
				if err := c.Keep(t.Context()); err != nil {
					t.Fatal(err)
				}
				c = m.open(t, st)
			}
			if got := c.Now(); got.Before(last) {
				t.Fatalf("%s after %s", got, last)
			}
			last = c.Now()
		}
	})
}

// Without a machine's clocks time is what the clock shows, and nothing is written.
func TestTheClockAlone(t *testing.T) {
	st := mem.New()
	m := &machine{wall: noon()}
	c := m.open(t, st)
	m.wall = m.wall.Add(-10 * year)
	if got := c.Now(); !got.Equal(m.wall) {
		t.Errorf("%s, want %s", got, m.wall)
	}
	if err := c.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Get(t.Context(), key()); err == nil {
		t.Error("it was noted")
	}
}

// What does not read is told of, and does not keep the server from starting.
func TestAMomentThatDoesNotRead(t *testing.T) {
	for _, bad := range []string{"", "\x02", string(mark{Reading{"a", 1, noon()}, noon()}.encode()) + "x", "\x01\x01a\x00\x00\x00"} {
		st := mem.New()
		if _, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: key(), Value: []byte(bad)}}}, store.Durable); err != nil {
			t.Fatal(err)
		}
		m := &machine{boot: "a", wall: noon()}
		if c := m.open(t, st); !c.Now().Equal(noon()) || !strings.Contains(m.logs.String(), "does not read") {
			t.Errorf("%q: %s, logged %q", bad, c.Now(), m.logs.String())
		}
	}
}

// Tend notes the last moment when it ends.
func TestTheLastMomentIsNoted(t *testing.T) {
	st := mem.New()
	m := &machine{boot: "a", wall: noon()}
	c := m.open(t, st)
	m.pass(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var end sync.WaitGroup
	end.Go(func() { c.Tend(ctx) })
	cancel()
	end.Wait()
	v, err := st.Get(t.Context(), key())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(v); err != nil || !got.told.Equal(noon().Add(time.Hour)) {
		t.Errorf("%v: %+v", err, got)
	}
}

// The clocks of the machine at hand go on, and know which start of it this is.
func TestMachine(t *testing.T) {
	read := Machine()
	a := read()
	time.Sleep(2 * time.Millisecond)
	b := Machine()()
	if a.Boot == "" || a.Since <= 0 || a.Wall.IsZero() || b.Since-a.Since < time.Millisecond || strings.Contains(a.Boot, "-") {
		t.Errorf("%+v, then %+v", a, b)
	}
}
