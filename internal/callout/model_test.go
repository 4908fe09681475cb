package callout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// model is what an Asker of one server must do, in the plainest words: two notes for each
// address, and the times of all questions.
type model struct {
	t      *testing.T
	rt     *rapid.T
	asker  *Asker
	limits Limits
	now    time.Time
	// latest is where the clock was before it was set back, and a second: until then less
	// may be asked than at other times.
	latest time.Time

	// What the server is.
	mu     sync.Mutex
	says   map[string]mail.Reply // by address; nobody else is known there
	all    bool                  // it takes anybody
	down   bool
	gate   chan struct{} // a question waits for it; nil: none does
	asked  []string
	probes map[string][]time.Time // by domain

	// What is known of it.
	yes, no   map[string]time.Time // when it was said last, and not taken back
	questions []time.Time
	passed    time.Duration   // by a clock that nobody sets
	spaced    []time.Duration // of questions, by that clock
	catchall  map[string]bool
	news      int // of domains of which anybody is taken, or not any more
	told      int
}

// Ask implements Server.
func (m *model) Ask(_ context.Context, a mail.Address) (mail.Reply, string, error) {
	m.mu.Lock()
	gate := m.gate
	defer m.mu.Unlock()
	m.questions, m.spaced = append(m.questions, m.now), append(m.spaced, m.passed)
	probe := strings.HasPrefix(a.Local(), "sallyport-asks-")
	if probe {
		d := a.Domain().ASCII()
		m.probes[d] = append(m.probes[d], m.now)
		if !m.down && m.catchall[d] != m.all {
			m.catchall[d] = m.all
			m.news++
		}
	} else {
		m.asked = append(m.asked, a.String())
	}
	if gate != nil && !probe {
		m.mu.Unlock()
		<-gate
		m.mu.Lock()
	}
	r, known := m.says[a.String()]
	switch {
	case m.down:
		return mail.Reply{}, "server", errors.New("down")
	case m.all:
		return mail.R(250, "", "anybody"), "server", nil
	case !known:
		return mail.R(550, "5.1.1", "nobody"), "server", nil
	}
	return r, "server", nil
}

// Write implements Journal.
func (m *model) Write(_ context.Context, facts ...fact.Fact) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told += len(facts)
	return nil
}

// One server, what it says of six addresses in two domains, time in both directions, and
// more questions than it is to be asked: whatever happens, an answer is what the server
// said of that address, not longer ago than it counts, and nothing is asked beyond the
// rate, probes included.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In this wrapping rapid does not ask for a deadline, which a bubble has not.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			m := newModel(t, rt)
			rt.Repeat(map[string]func(*rapid.T){
				"ask":     func(rt *rapid.T) { m.ask(m.address(rt), m.client(rt)) },
				"again":   func(rt *rapid.T) { m.ask(m.address(rt), m.client(rt)) },
				"crowd":   m.crowd,
				"change":  m.change,
				"time":    m.pass,
				"refused": m.refused,
				"forget":  m.forget,
				"":        m.check,
			})
		})
	})
}

// clock is the model's.
func (m *model) clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// set changes what questions under way read, too: a probe may outlive the question that
// began it.
func (m *model) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func newModel(t *testing.T, rt *rapid.T) *model {
	l := DefaultLimits()
	l.Rate = rapid.SampledFrom([]int{1, 2, 5, 40}).Draw(rt, "rate")
	l.Waiting = rapid.SampledFrom([]int{1, 2, 8}).Draw(rt, "waiting")
	l.Grace = rapid.SampledFrom([]time.Duration{0, time.Hour, 24 * time.Hour}).Draw(rt, "grace")
	m := &model{
		t: t, rt: rt, limits: l, now: time.Unix(1_800_000_000, 0), says: map[string]mail.Reply{}, probes: map[string][]time.Time{},
		yes: map[string]time.Time{}, no: map[string]time.Time{}, catchall: map[string]bool{},
	}
	a, err := Build(Options{Limits: l, Now: m.clock, Rand: rand.New(rand.NewSource(1)), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Journal: m}, nil)
	if err != nil {
		rt.Fatal(err)
	}
	m.asker = a
	return m
}

func (m *model) address(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"ann@x.test", "Ann@x.test", "bob@x.test", "ann@y.test", "bob@y.test", "eve@y.test"}).Draw(rt, "address")
}

func (m *model) client(rt *rapid.T) netip.Addr {
	return netip.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1"}).Draw(rt, "client"))
}

// age is how long ago a note was made; nothing is younger than new.
func (m *model) age(at time.Time) time.Duration { return max(0, m.now.Sub(at)) }

// counts returns what must be said of an address without a question.
func (m *model) counts(a string) (Knowledge, time.Duration) {
	if at, ok := m.yes[a]; ok && m.age(at) < m.limits.PositiveTTL {
		return Yes, m.age(at)
	}
	if at, ok := m.no[a]; ok && m.age(at) < m.limits.NegativeTTL {
		return No, m.age(at)
	}
	return Unknown, 0
}

// learn notes what the server answers to a question about an address now.
func (m *model) learn(a string) Knowledge {
	r, known := m.says[a]
	switch {
	case m.down:
		return Unknown
	case m.all || known && r.OK():
		m.yes[a] = m.now
		delete(m.no, a)
		return Yes
	case !known || aboutRecipient(r):
		m.no[a] = m.now
		delete(m.yes, a)
		return No
	}
	return Unknown
}

func (m *model) ask(a string, client netip.Addr) {
	want, age := m.counts(a)
	before, recent := len(m.asked), m.recent()
	got := m.asker.Ask(m.t.Context(), "server", m, client, mustAddress(m.t, a))
	synctest.Wait() // a probe
	asked := len(m.asked) - before
	switch {
	case want != Unknown:
		if asked != 0 || got.Known != want || got.Age != age {
			m.rt.Fatalf("%s is remembered, %d for %v: %+v after %d questions", a, want, age, got, asked)
		}
		return
	case asked == 1:
		want = m.learn(a)
	case asked > 1:
		m.rt.Fatalf("%d questions for one", asked)
	case recent < max(1, m.limits.Rate/4) && m.now.After(m.latest): // half of what may be asked at once
		m.rt.Fatalf("not asked after %d questions in a second: %+v", recent, got)
	}
	if at, ok := m.yes[a]; want == Unknown && ok && m.age(at) < m.limits.PositiveTTL+m.limits.Grace {
		if got.Known != Yes || got.Age != m.age(at) || got.Why == "" {
			m.rt.Fatalf("%s was taken %v ago: %+v", a, m.age(at), got)
		}
		return
	}
	if got.Known != want || got.Age != 0 || (want == Unknown) != (got.Why != "") {
		m.rt.Fatalf("%s: %+v, want %d", a, got, want)
	}
}

// recent returns how many questions there were in the last second.
func (m *model) recent() (n int) {
	for _, at := range m.questions {
		if m.age(at) <= time.Second {
			n++
		}
	}
	return n
}

// crowd is many who ask at once, while the server takes its time.
func (m *model) crowd(rt *rapid.T) {
	m.set(func() { m.gate = make(chan struct{}) })
	before := len(m.asked)
	var wait sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for i := range rapid.IntRange(1, 20).Draw(rt, "crowd") {
		a, client := fmt.Sprintf("guest%d@x.test", i%5), netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i))
		wait.Go(func() {
			if got := m.asker.Ask(m.t.Context(), "server", m, client, mustAddress(m.t, a)); got.Known == Unknown {
				mu.Lock()
				defer mu.Unlock()
				refused++
			}
		})
		synctest.Wait()
	}
	asked := m.asked[before:]
	m.mu.Lock()
	seen := map[string]bool{}
	for _, a := range asked {
		if seen[a] {
			rt.Fatalf("%s is asked about twice at once", a)
		}
		seen[a] = true
	}
	m.mu.Unlock()
	if len(asked) > m.limits.Waiting {
		rt.Fatalf("%d questions at once, and %d may wait", len(asked), m.limits.Waiting)
	}
	close(m.gate)
	wait.Wait()
	m.set(func() { m.gate = nil })
	synctest.Wait()
	for _, a := range asked {
		m.learn(a)
	}
}

// change is a server that others administer.
func (m *model) change(rt *rapid.T) {
	a := m.address(rt)
	what := rapid.IntRange(0, 8).Draw(rt, "change")
	m.mu.Lock()
	defer m.mu.Unlock()
	switch what {
	case 0:
		m.down = !m.down
	case 1:
		m.all = !m.all
	case 2, 3, 4:
		m.says[a] = mail.R(250, "2.1.5", "ok")
	case 5:
		m.says[a] = mail.R(550, "5.7.1", "relaying denied") // says nothing of the recipient
	case 6:
		m.says[a] = mail.R(451, "4.3.0", "later")
	default:
		delete(m.says, a)
	}
}

func (m *model) pass(rt *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		10 * time.Millisecond, 300 * time.Millisecond, time.Second, time.Minute, m.limits.NegativeTTL,
		50 * time.Minute, m.limits.PositiveTTL, 5 * time.Hour, m.limits.ProbeEvery, m.limits.Grace,
		-time.Second, -2 * time.Hour,
	}).Draw(rt, "passes")
	if d < 0 && m.now.Add(time.Second).After(m.latest) {
		m.latest = m.now.Add(time.Second)
	}
	m.set(func() { m.now, m.passed = m.now.Add(d), m.passed+max(d, 0) })
}

// refused is a delivery that the server refuses for good.
func (m *model) refused(rt *rapid.T) {
	a := m.address(rt)
	m.asker.Refused("server", mustAddress(m.t, a))
	delete(m.yes, a)
}

func (m *model) forget(rt *rapid.T) {
	a := m.address(rt)
	want := 0
	for _, notes := range []map[string]time.Time{m.yes, m.no} {
		if _, ok := notes[a]; ok {
			want++
		}
		delete(notes, a)
	}
	if n := m.asker.Forget(func(_, address string) bool { return address == a }); n != want {
		rt.Fatalf("%d answers about %s were forgotten, want %d", n, a, want)
	}
}

// check compares what the operator sees with the notes, and questions with their bounds.
func (m *model) check(rt *rapid.T) {
	for d, at := range m.probes {
		for i := range at[1:] {
			if gap := at[i+1].Sub(at[i]); gap >= 0 && gap < m.limits.ProbeEvery {
				rt.Fatalf("%s was probed again after %v", d, gap)
			}
		}
	}
	for i, at := range m.spaced {
		n := 1 // in the second that begins with it, however the clock is set
		for ; i+n < len(m.spaced) && m.spaced[i+n]-at < time.Second; n++ {
		}
		if n > m.limits.Rate {
			rt.Fatalf("%d questions in a second, at a rate of %d", n, m.limits.Rate)
		}
	}
	for _, d := range m.asker.Catchall("server") {
		if !m.catchall[d.ASCII()] {
			rt.Fatalf("%s takes not just anybody", d)
		}
	}
	if m.told != m.news {
		rt.Fatalf("the operator was told %d times of %d", m.told, m.news)
	}
	want := map[string]bool{}
	for a, at := range m.yes {
		if m.age(at) < m.limits.PositiveTTL+m.limits.Grace {
			want[a+" yes"] = true
		}
	}
	for a, at := range m.no {
		if m.age(at) < m.limits.NegativeTTL {
			want[a+" no"] = true
		}
	}
	got := map[string]bool{}
	m.asker.Remembered(func(r Remembered) bool {
		got[r.Address+map[Knowledge]string{Yes: " yes", No: " no"}[r.Answer.Known]] = true
		return true
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		rt.Fatalf("remembered is %v, want %v", got, want)
	}
}
