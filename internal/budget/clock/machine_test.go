package clock

import (
	"testing"
	"time"
)

// As much time passes as the machine says, asleep or set to another time, and it is asked once a second.
func TestCounting(t *testing.T) {
	var asked int
	m := struct {
		boot, awake time.Duration
		wall        time.Time
	}{time.Hour, 40 * time.Minute, noon()}
	c := counter{
		read: func() (time.Duration, error) { asked++; return m.boot, nil },
		now:  func() (time.Time, time.Duration) { return m.wall, m.awake },
	}
	pass := func(awake, asleep, set time.Duration) {
		m.boot, m.awake, m.wall = m.boot+awake+asleep, m.awake+awake, m.wall.Add(awake+asleep+set)
	}
	for _, step := range []struct {
		name               string
		awake, asleep, set time.Duration
		asks               int
	}{
		{"at first", 0, 0, 0, 1},
		{"at once", 0, 0, 0, 0},
		{"a moment later", 400 * time.Millisecond, 0, 0, 0},
		{"another", 500 * time.Millisecond, 0, 0, 0},
		{"after a second", 100 * time.Millisecond, 0, 0, 1},
		{"asleep for a minute", time.Millisecond, time.Minute, 0, 1},
		{"asleep for a moment", time.Millisecond, 10 * time.Millisecond, 0, 1},
		{"set ahead", time.Millisecond, 0, 24 * time.Hour, 1},
		{"set back", time.Millisecond, 0, -24 * time.Hour, 1},
		{"and then", 900 * time.Millisecond, 0, 0, 0},
		{"much later", time.Hour, 0, 0, 1},
		{"asleep, and set back by as much", time.Second, time.Hour, -time.Hour, 1},
	} {
		pass(step.awake, step.asleep, step.set)
		before := asked
		wall, since, err := c.since()
		if err != nil || !wall.Equal(m.wall) || since != m.boot {
			t.Errorf("%s: %s and %s, %v; want %s and %s", step.name, wall, since, err, m.wall, m.boot)
		}
		if n := asked - before; n != step.asks {
			t.Errorf("%s: the machine was asked %d times, want %d", step.name, n, step.asks)
		}
	}
}
