package keys

import (
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/budget/clock"
)

// machine is what a server runs on: its clock can be set, and it can be switched off.
type machine struct {
	mu    sync.Mutex
	boot  string
	since time.Duration
	set   time.Duration // how far its clock is off
	begun time.Time
}

func (m *machine) read() clock.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return clock.Reading{Boot: m.boot, Since: m.since, Wall: m.begun.Add(m.since + m.set)}
}

func (m *machine) change(passed, set time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since, m.set = m.since+passed, m.set+set
}

// reboot switches it off for so long.
func (m *machine) reboot(off time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot, m.since, m.begun = m.boot+"'", 0, m.begun.Add(m.since+off)
}

const budgets = "[budget]\nperson_hour = 2\nperson_day = 5\n[inflow]\nmailbox_messages = 8\n[hijack]\nmode = \"off\"\n"

// N09: budgets neither begin anew nor stay used up when the clock is set, ahead or back, by a day
// or by ten years, while the server runs or is restarted; what refills them is the time that passes.
func TestTheClockIsSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	// The clock of a connection's time is the real one: none is set behind it.
	for name, off := range map[string][2]time.Duration{"a day ahead": {0, 24 * time.Hour}, "ten years ahead": {0, 10 * year}, "a day back": {24 * time.Hour, 0}, "ten years back": {10 * year, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newMailSite(t, "", limits+balanced+budgets)
			m := &machine{boot: "a", since: time.Hour, begun: time.Now().Add(-time.Hour), set: off[0]}
			by := off[1] - off[0]
			s.clocks = m.read
			first := m.begun.Add(time.Hour)
			s.clock = func() time.Time { return s.now().Add(m.read().Wall.Sub(first)) }
			s.start(map[string]string{aliceBox: "person", bobBox: "person"})
			sends := func() (n int) { // alice, to bob
				t.Helper()
				c, err := s.signIn(aliceBox)
				must(t, err)
				defer func() { _ = c.Close() }()
				v := visitor{c, t}
				if r := v.say("MAIL FROM:<%s>", aliceBox); !strings.HasPrefix(r, "250") {
					t.Fatal(r)
				}
				for {
					if r := v.say("RCPT TO:<%s>", bobBox); !strings.HasPrefix(r, "250") {
						break
					}
					n++
					if r := v.say("DATA"); !strings.HasPrefix(r, "354") {
						t.Fatal(r)
					}
					if r := v.say("From: %s\r\n\r\nhello\r\n.", aliceBox); !strings.HasPrefix(r, "250") {
						return n - 1
					}
					_ = v.say("MAIL FROM:<%s>", aliceBox)
				}
				return n
			}
			comes := func() (n int) { // to alice, from outside
				t.Helper()
				for range 6 {
					if strings.HasPrefix(s.mustVisit("203.0.113.9").offer("x@far.test", aliceBox, 300, true), "250") {
						n++
					}
				}
				return n
			}
			is := func(when string, out, in int) {
				t.Helper()
				if got := sends(); got != out {
					t.Errorf("%s: %d recipients, want %d", when, got, out)
				}
				if got := comes(); got != in {
					t.Errorf("%s: %d messages came, want %d", when, got, in)
				}
			}
			again := func() { s.stop(); s.start(nil) }
			is("at first", 2, 4) // one network may fill half of a mailbox
			m.change(0, by)
			is("set while it runs", 0, 0)
			again()
			is("and restarted", 0, 0)
			s.stop()
			m.change(0, -by)
			s.start(nil)
			is("set right while it was down", 0, 0)
			m.change(2*time.Hour, by)
			is("two hours later", 2, 4)
			s.stop()
			m.reboot(48 * time.Hour)
			s.start(nil)
			is("two days without the machine", 2, 4)
		})
	}
}
