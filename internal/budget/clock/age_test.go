package clock

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// What was written down as the clock showed it is as old as the time that passed since then, in
// whatever order the clock was set before, while the server ran, while it was down and while its
// machine was off, and after a restart.
func TestAge(t *testing.T) {
	for name, set := range map[string]time.Duration{"not": 0, "a day ahead": 24 * time.Hour, "ten years ahead": 10 * year, "a day back": -24 * time.Hour, "ten years back": -10 * year} {
		t.Run(name, func(t *testing.T) {
			st := mem.New()
			m := &machine{boot: "a", since: time.Hour, wall: noon()}
			c := m.open(t, st)
			written := map[string]time.Time{"long before": noon().Add(-90 * 24 * time.Hour)}
			old := map[string]time.Duration{"long before": 90 * 24 * time.Hour}
			pass := func(d time.Duration) {
				m.pass(d)
				for what := range old {
					old[what] += d
				}
			}
			note := func(what string) { written[what], old[what] = m.wall, 0 }
			is := func(when string) {
				t.Helper()
				for what, at := range written {
					if got := c.Age(at); got != old[what] {
						t.Errorf("%s: what was written %s is %v old, want %v", when, what, got, old[what])
					}
				}
			}
			note("at first")
			is("at first")
			pass(100 * 24 * time.Hour)
			is("later")
			m.wall = m.wall.Add(set)
			is("set while it runs")
			note("while it was set")
			pass(100 * 24 * time.Hour)
			is("later still")
			if err := c.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.wall = m.wall.Add(-set)
			c = m.open(t, st)
			is("set right while it was down")
			note("set right")
			pass(100 * 24 * time.Hour)
			c = m.open(t, st)
			is("after a restart")
			m.reboot(0)
			m.wall = m.wall.Add(set)
			c = m.open(t, st)
			for what := range old {
				if set >= 0 {
					old[what] += time.Minute + min(set, OffMost)
				}
			}
			is("set while the machine was off")
			note("then")
			pass(time.Hour)
			is("at last")
		})
	}
}

// Of a time that the clock has not shown, as far as is known, nothing is old.
func TestATimeThatTheClockHasNotShown(t *testing.T) {
	m := &machine{boot: "a", since: time.Hour, wall: noon()}
	c := m.open(t, mem.New())
	m.pass(year)
	m.wall = m.wall.Add(10 * year)
	c.Now()
	m.pass(year)
	for what, at := range map[string]time.Time{"ahead of it": m.wall.Add(year), "which it was set past": noon().Add(5 * year)} {
		if got := c.Age(at); got != 0 {
			t.Errorf("a time %s is %v old", what, got)
		}
	}
}

// Where nobody knows how much time passed, things are as old as the clock says.
func TestAgeByTheClockAlone(t *testing.T) {
	m := &machine{wall: noon()}
	c := m.open(t, mem.New())
	m.wall = m.wall.Add(10 * year)
	if got := c.Age(noon()); got != 10*year {
		t.Errorf("%v", got)
	}
	if got := c.Age(m.wall.Add(year)); got != 0 {
		t.Errorf("what is ahead is %v old", got)
	}
}

// Nothing is taken for older than it is, however the clock is set.
func TestNothingIsOlderThanItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := mem.New()
		m := &machine{boot: "a", since: time.Hour, wall: noon()}
		c := m.open(t, st)
		type note struct{ wall, told time.Time }
		var notes []note
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d := time.Duration(rapid.Int64Range(-int64(2*year), int64(2*year)).Draw(t, "by"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				m.wall = m.wall.Add(d)
			case 1:
				m.wall = m.wall.Add(d / 1_000_000) // within a minute or so
			case 2:
				m.pass(d.Abs())
			case 3, 4:
				if err := c.Keep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if d > 0 {
					m.reboot(d)
				}
				c = m.open(t, st)
			case 5:
				notes = append(notes, note{m.wall, c.Now()})
			}
			now := c.Now()
			for _, n := range notes {
				// By as much as the clock may be set unnoticed, and by as much again when it is
				// looked where it belongs.
				if got, is := c.Age(n.wall), now.Sub(n.told); got > is+2*sets || got < 0 {
					t.Fatalf("%v is %v old, and %v passed", n.wall, got, is)
				}
			}
		}
	})
}

// As many settings as there may be are remembered, and no more.
func TestAClockThatIsSetAllTheTime(t *testing.T) {
	st := mem.New()
	m := &machine{boot: "a", since: time.Hour, wall: noon()}
	c := m.open(t, st)
	for i := range 3 * mostSpans {
		m.pass(time.Hour)
		m.wall = m.wall.Add(time.Hour * time.Duration(1+i%3))
		c.Now()
	}
	if err := c.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := m.wall
	m.pass(time.Hour)
	c = m.open(t, st)
	if got := c.Age(at); got != time.Hour || len(c.spans) != mostSpans {
		t.Errorf("%v old, %d settings", got, len(c.spans))
	}
}

// What is stored reads back, in every release; what does not read is told of, and makes nothing older.
func TestSpansAreStored(t *testing.T) {
	all := []span{{ahead: time.Second}, {noon(), -10 * year}, {noon().Add(time.Hour), 24 * time.Hour}}
	stored := []byte("\x01\x03\x80\xa8\xd6\xb9\x07\x00")
	b := encodeSpans(all)
	if !bytes.HasPrefix(b, stored) {
		t.Errorf("stored as %x", b)
	}
	back, err := decodeSpans(b)
	if err != nil || len(back) != 3 {
		t.Fatal(back, err)
	}
	for i, s := range back {
		if s.ahead != all[i].ahead || !s.from.Equal(all[i].from) {
			t.Errorf("%+v reads as %+v", all[i], s)
		}
	}
	for _, bad := range [][]byte{nil, {2}, {1, 0}, b[:len(b)-1], append(bytes.Clone(b), 0), encodeSpans([]span{{from: noon()}}), encodeSpans([]span{{}, {from: noon()}, {from: noon().Add(-1)}})} {
		if got, err := decodeSpans(bad); err == nil {
			t.Errorf("%x reads as %+v", bad, got)
		}
	}
	st := mem.New()
	m := &machine{boot: "a", since: time.Hour, wall: noon()}
	m.open(t, st)
	if _, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: spansKey(), Value: []byte("x")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	m.wall = m.wall.Add(year)
	c := m.open(t, st)
	if got := c.Age(m.wall); got != 0 || !bytes.Contains([]byte(m.logs.String()), []byte("does not read")) {
		t.Errorf("%v, logged %q", got, m.logs.String())
	}
}
