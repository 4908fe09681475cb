package site

import (
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/budget/clock"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// watch is what a machine says about time: what has passed on it, and by how much its clock was set.
type watch struct {
	mu          sync.Mutex
	begun       time.Time
	boot        string
	on          time.Time     // when it was switched on, by what has passed
	passed, set time.Duration // beside what passes by itself
}

func newWatch() *watch {
	now := time.Now().Round(0)
	return &watch{begun: now, boot: "a", on: now.Add(-time.Hour)}
}

func (w *watch) read() clock.Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now().Add(w.passed)
	return clock.Reading{Boot: w.boot, Since: now.Sub(w.on), Wall: now.Add(w.set).Round(0)}
}

func (w *watch) now() time.Time { return w.read().Wall }

// pass lets time pass, and sets the clock by so much more.
func (w *watch) pass(d, set time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed, w.set = w.passed+d, w.set+set
}

// reboot switches the machine off and on; its clock is set meanwhile.
func (w *watch) reboot(set time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boot, w.on, w.set = w.boot+"'", time.Now().Add(w.passed), w.set+set
}

// jumped is a server with two messages that wait for a foreign domain that can't be reached.
type jumped struct {
	*Site
	w         *watch
	n         *Running
	id, other string
}

func (j *jumped) start() {
	o := j.Options()
	o.Now, o.Clocks = j.w.now, j.w.read
	opened, err := node.Open(j.t.Context(), j.Config, o)
	Must(j.t, err)
	j.n = j.Serve(opened)
}

func (j *jumped) message(id string) operate.Message {
	j.t.Helper()
	m, err := j.n.Operator().QueueShow(j.t.Context(), operate.Self(), operate.QueueRef{ID: id})
	Must(j.t, err)
	return m
}

// look has the queue looked at, as it is at least once a minute: the other message is tried now.
func (j *jumped) look() {
	j.t.Helper()
	before := j.message(j.other).Attempts
	Eventually(j.t, "the other message to be tried", func() bool {
		_, err := j.n.Operator().QueueRetry(j.t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{IDs: []string{j.other}}})
		Must(j.t, err)
		time.Sleep(20 * time.Millisecond)
		return j.message(j.other).Attempts > before
	})
}

// waits demands that the message was tried so often and waits for its next turn, and that nobody is
// told that it failed.
func (j *jumped) waits(when string, attempts int) {
	j.t.Helper()
	j.look()
	Eventually(j.t, when+": the attempts to be made", func() bool {
		m := j.message(j.id)
		return m.Attempts >= attempts && m.Recipients[0].Last != ""
	})
	j.look() // who would go on at once did so by now
	m := j.message(j.id)
	if left := m.NextTry.Sub(j.w.now()); m.State != operate.StateWaiting || m.Attempts != attempts || left > 3*time.Hour || left < -time.Minute {
		j.t.Errorf("%s: %s after %d attempts, the next %v from now; want %d", when, m.State, m.Attempts, left, attempts)
	}
	if told := j.inbox("alice"); len(told) > 0 {
		j.t.Errorf("%s: the sender is told\n%s", when, told[0])
	}
}

// restart ends the server, has something happen to its machine, and starts it.
func (j *jumped) restart(meanwhile func()) {
	j.t.Helper()
	j.n.Stopped()
	meanwhile()
	j.start()
}

// The clock of a server is set, by a day and by ten years, ahead and back, while it runs, while it
// is down, and while its machine is off: no message that waits is given up for it, or tried at
// once, or never again, and what waits for as long as a message may is given up then.
func TestTheQueueOutlivesASetClock(t *testing.T) {
	const day, years = 24 * time.Hour, 10 * 365 * 24 * time.Hour
	for name, set := range map[string]time.Duration{"a day ahead": day, "ten years ahead": years, "a day back": -day, "ten years back": -years} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &jumped{Site: New(t, nil, "[retry]", `warn = "0s"`), w: newWatch()}
			j.Log = Quiet() // the certificate ends meanwhile
			// The time of a connection is the real one: no clock is set behind it.
			j.w.pass(0, 2*max(0, -set))
			j.start()
			j.Populate(j.n.Node)
			j.Unreachable.Store(true)
			c := j.SignIn(j.n, true, "alice@local.test")
			j.id = QueueID(c.Send("alice@local.test", Message("waits", "alice@local.test", 300), "x@remote.test"))
			j.other = QueueID(c.Send("alice@local.test", Message("other", "alice@local.test", 300), "y@remote.test"))
			j.waits("at first", 1)
			j.w.pass(0, set)
			j.waits("set while it runs", 1)
			j.w.pass(6*time.Minute, 0)
			j.waits("six minutes later", 2)
			j.restart(func() { j.w.pass(0, -set) })
			j.waits("set right while it was down", 2)
			j.restart(func() { j.w.pass(0, set) })
			j.waits("set while it was down", 2)
			j.restart(func() { j.w.reboot(set) })
			passed := 2
			if set > 0 { // nobody can know that the machine was not off for that long; a day of it counts
				passed = 3
			}
			j.waits("set while the machine was off", passed)
			j.w.pass(5*day, 0)
			_, err := j.n.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{IDs: []string{j.other}}})
			Must(t, err)
			Eventually(t, "the sender to be told", func() bool { return len(j.inbox("alice")) == 2 })
			for _, text := range j.inbox("alice") {
				if !strings.Contains(text, "delivery time expired") {
					t.Errorf("the sender is told\n%s", text)
				}
			}
			j.n.Idle()
		})
	}
}
