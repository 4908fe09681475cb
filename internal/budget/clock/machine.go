package clock

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Machine reads the clocks of this machine. A reading costs no call to the kernel as long as the
// clocks that need none agree: see counter.
func Machine() func() Reading {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // a service may not see it, and is told
	boot := strings.TrimSpace(string(id))
	if boot == "" {
		boot = os.Getenv("SALLYPORT_BOOT")
	}
	boot = strings.ReplaceAll(boot, "-", "") // systemd writes it without
	if boot == "" {
		// Which start of the machine it is nobody knows: this one of the program is as good, until it ends.
		boot = time.Now().Format(time.RFC3339Nano)
	}
	begun := time.Now()
	c := counter{read: sinceBoot, now: func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(begun)
	}}
	return func() Reading {
		wall, since, err := c.since()
		if err != nil {
			return Reading{Boot: boot + " " + begun.String(), Since: time.Since(begun), Wall: wall}
		}
		return Reading{Boot: boot, Since: since, Wall: wall}
	}
}

// sinceBoot is the time since the machine started, with that of sleep. Its clock is asked in the kernel.
func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano()), err
}

const (
	// countFor is how long is counted on from a reading at most.
	countFor = time.Second
	// countApart is by how much what the clock shows and what has passed without sleep may come to differ
	// meanwhile: the clock was set, or the machine slept.
	countApart = 10 * time.Millisecond
)

// counter counts on from a reading of the time since the start of the machine, by the clock that
// stands still while the machine sleeps. Of sleep the time of day knows: when the two come apart,
// and once a second, it reads anew. Its methods may be called concurrently.
type counter struct {
	read func() (time.Duration, error)
	now  func() (wall time.Time, awake time.Duration)

	mu    sync.Mutex
	known bool          // something was read
	start time.Duration // that was read
	wall  time.Time     // what now said then
	awake time.Duration
}

// since returns what the clock shows and how long the machine has run.
func (c *counter) since() (wall time.Time, since time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, awake := c.now()
	passed := awake - c.awake
	apart := wall.Sub(c.wall) - passed
	if c.known && passed < countFor && apart.Abs() < countApart {
		return wall, c.start + passed, nil
	}
	if since, err = c.read(); err != nil {
		return wall, 0, err
	}
	// The moment is taken behind the reading: what comes between makes it lag, never run ahead.
	c.wall, c.awake = c.now()
	c.known, c.start = true, since
	return c.wall, since, nil
}
