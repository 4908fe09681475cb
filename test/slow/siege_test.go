package slow

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	attackersAtOnce = 10_000
	everyOctet      = 10 * time.Second
	mostLife        = 5 * time.Minute // of an attacker's connection
	senderOctets    = 64 << 10        // of memory for one of them
	perSecond       = 20              // honest messages
	calm            = time.Minute     // before and after
	ramp            = 25 * time.Second
	mostOthers      = 30 // hundredths of the machine that others may take where p99 is judged
)

// A siege is what is measured while attackers come.
type siege struct {
	*land
	rss, sockets int64 // the most that was seen
}

// watch looks at the server until done is closed.
func (s *siege) watch(done <-chan struct{}) {
	for {
		if r, err := s.Resources(); err == nil {
			s.rss, s.sockets = max(s.rss, r.RSS), max(s.sockets, int64(r.Sockets))
		}
		select {
		case <-done:
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// machine is the time of all processors that was not idle, with that of the host around us.
func machine(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	ticks := 0
	for i, f := range strings.Fields(line)[1:] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		if i < 8 && i != 3 && i != 4 { // neither idle nor waiting; guests are among the rest
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// load says how busy the machine was, and with what.
type load struct {
	t      *testing.T
	began  time.Time
	all    time.Duration
	parts  []func() time.Duration // of the server, of the attackers, of the honest
	before []time.Duration
}

func (s *siege) load(children ...*child) *load {
	l := &load{t: s.t, began: time.Now(), all: machine(s.t)}
	l.parts = append(l.parts, func() time.Duration { return busy(s.t, s.Server) })
	for _, c := range children {
		l.parts = append(l.parts, func() time.Duration { return processor(s.t, c.cmd.Process.Pid) })
	}
	for _, p := range l.parts {
		l.before = append(l.before, p())
	}
	return l
}

// told logs the parts in hundredths of the whole machine, and returns that of all others.
func (l *load) told(when string) (others int) {
	l.t.Helper()
	whole := time.Since(l.began) * time.Duration(runtime.NumCPU())
	part := func(d time.Duration) int { return int(100 * d / whole) }
	rest := machine(l.t) - l.all
	var parts []string
	for i, p := range l.parts {
		d := p() - l.before[i]
		rest -= d
		parts = append(parts, fmt.Sprintf("%s %d", []string{"server", "honest", "attackers"}[i], part(d)))
	}
	l.t.Logf("%s, of %d processors in hundredths: %s, all others %d", when, runtime.NumCPU(), strings.Join(parts, ", "), part(rest))
	return part(rest)
}

// judge demands that p99 of honest people does not double. Beside others who want the processors it
// says how busy those were, and is told but not judged.
func judge(t *testing.T, before, during phase, others ...int) {
	t.Helper()
	t.Logf("p99 during is %.2f of p99 before, the half %.2f", float64(during.p99)/float64(before.p99), float64(during.p50)/float64(before.p50))
	switch {
	case slices.Max(others) > mostOthers:
		t.Logf("p99 is not judged: others took %v hundredths of the machine", others)
	case during.p99 > 2*before.p99:
		t.Errorf("p99 of honest people was %v, and is %v", before.p99, during.p99)
	}
}

// Ten thousand senders let an octet drip every ten seconds, wherever a session can stand still, and
// come again for two and a half minutes when they are hung up on. Each connection is over within
// five minutes, memory stays within what so many sessions may take, and honest people's p99 does
// not double.
func TestSiege(t *testing.T) {
	asked(t)
	s := &siege{land: newLand(t, "[limits]\nconnections = 20000\n")}
	honest := s.send("TestHonest", errand{MX: s.Listen.MX[0], PerSecond: perSecond, Patience: time.Minute})
	time.Sleep(5 * time.Second) // until everybody is known
	began, quiet := time.Now(), s.load(honest)
	time.Sleep(calm)
	base, err := s.Resources()
	if err != nil {
		t.Fatal(err)
	}
	goroutines := s.goroutines()
	others := quiet.told("before")
	attacked, loud := time.Now(), s.load(honest)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(done) }()
	attackers := s.send("TestAttackers", attack{
		MX: s.Listen.MX[0], Submissions: s.Listen.Submissions[0], Count: attackersAtOnce, Ramp: ramp, Stay: 150 * time.Second, Pause: 5 * time.Second,
		Every: everyOctet, Most: mostLife + time.Minute,
	})
	time.Sleep(150 * time.Second)
	meanwhile := loud.told("while they came")
	var all []*gone
	attackers.report(&all)
	over := time.Now()
	close(done)
	<-watched
	time.Sleep(calm)
	honest.stop()
	var honestly []sent
	honest.report(&honestly)
	s.judgeAttackers(all)
	s.judgeHonest(within(honestly, began, attacked), within(honestly, attacked, over), within(honestly, over, time.Now()))
	judge(t, within(honestly, began, attacked), within(honestly, attacked, over), others, meanwhile)
	standing := attacked.Add(ramp)
	for secure, name := range map[bool]string{false: "in clear", true: "under TLS"} {
		these := slices.DeleteFunc(slices.Clone(honestly), func(s sent) bool { return s.Secure != secure })
		t.Logf("%s: before %v; while they come %v; when they are there %v", name, within(these, began, attacked), within(these, attacked, standing), within(these, standing, over))
	}
	most := s.rss - base.RSS
	t.Logf("memory: %d MiB before, %d MiB more at most with %d connections, %.1f KiB each", base.RSS>>20, most>>20, s.sockets, float64(most)/float64(s.sockets)/1024)
	if most > attackersAtOnce*senderOctets {
		t.Errorf("the server grew by %d MiB", most>>20)
	}
	s.back(base.Sockets, base.Files, goroutines)
}

// judgeAttackers demands that all of them came, and each was hung up on in time.
func (s *siege) judgeAttackers(all []*gone) {
	s.t.Helper()
	for _, g := range all {
		s.t.Logf("%s: %d connections, hung up on after %v to %v, half within %v; %d turned away, %d left", g.Stage, g.Came,
			g.Shortest.Round(100*time.Millisecond), g.Longest.Round(100*time.Millisecond), g.Median.Round(100*time.Millisecond), g.Away, g.Left)
		if g.Longest > mostLife || g.Left > 0 || g.Came == 0 {
			s.t.Errorf("%s: a connection lasted %v, %d lasted for ever", g.Stage, g.Longest, g.Left)
		}
	}
	if s.sockets < attackersAtOnce*8/10 { // who is in a handshake comes and goes
		s.t.Errorf("at most %d connections were there at once", s.sockets)
	}
}

func (s *siege) judgeHonest(before, during, after phase) {
	s.t.Helper()
	s.t.Logf("honest before: %v", before)
	s.t.Logf("honest during: %v", during)
	s.t.Logf("honest after: %v", after)
	if n := before.failed() + during.failed() + after.failed(); n > 0 {
		s.t.Errorf("%d honest messages were not taken", n)
	}
}

// back demands that the server has what it had.
func (s *siege) back(sockets, files, goroutines int) {
	s.t.Helper()
	left := -1
	for end := time.Now().Add(recovery); ; time.Sleep(100 * time.Millisecond) {
		r, err := s.Resources()
		if err != nil {
			s.t.Fatal(err)
		}
		left = s.goroutines()
		fine := r.Sockets <= sockets && r.Files <= files+50 && left <= goroutines+10 // tables of the store come and go
		if !fine && time.Now().Before(end) {
			continue
		}
		s.t.Logf("afterwards: %d sockets (%d), %d other descriptors (%d), %d goroutines (%d), %d MiB", r.Sockets, sockets, r.Files, files, left, goroutines, r.RSS>>20)
		if !fine {
			s.t.Error("the server keeps what it needed for the siege")
		}
		return
	}
}

// With limits as they come, ten thousand of them want three thousand places, and honest people get in all
// the same, wherever the attackers let their octets drip.
func TestSiegeByDefault(t *testing.T) {
	asked(t)
	for _, row := range []struct {
		name string
		only []string
	}{{"wherever", nil}, {"in a message's text", []string{"a message's text"}}, {"in a chunk", []string{"a chunk"}}} {
		t.Run(row.name, func(t *testing.T) {
			s := &siege{land: newLand(t, "")}
			honest := s.send("TestHonest", errand{MX: s.Listen.MX[0], PerSecond: perSecond, Patience: time.Minute})
			time.Sleep(5 * time.Second)
			began, quiet := time.Now(), s.load(honest)
			time.Sleep(calm / 2)
			attacked, others, loud := time.Now(), quiet.told("before"), s.load(honest)
			attackers := s.send("TestAttackers", attack{
				MX: s.Listen.MX[0], Submissions: s.Listen.Submissions[0], Count: attackersAtOnce, Ramp: 15 * time.Second, Stay: time.Hour, Pause: 5 * time.Second,
				Every: everyOctet, Most: mostLife + time.Minute, Only: row.only,
			})
			time.Sleep(100 * time.Second)
			over, meanwhile := time.Now(), loud.told("while they came")
			attackers.stop()
			honest.stop()
			var sent []sent
			honest.report(&sent)
			before, during := within(sent, began, attacked), within(sent, attacked, over)
			t.Logf("honest before: %v", before)
			t.Logf("honest during: %v", during)
			if before.failed() > 0 || during.failed()*100 > during.messages {
				t.Errorf("%d of %d honest messages were not taken", during.failed(), during.messages)
			}
			judge(t, before, during, others, meanwhile)
		})
	}
}
