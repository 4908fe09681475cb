package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
)

// fate is what a destination does with one recipient: it is put off a number of
// times, then answered for good.
type fate struct {
	deferrals int
	end       int // 250, 550, or 0: put off for ever
}

// story is everything that chance decides of one run.
type story struct {
	letters []tale
	events  []event
	workers int
	crowd   int
	active  int
}

type tale struct {
	stranger bool
	to       []string
	fates    []fate
	after    time.Duration
}

type event struct {
	after time.Duration
	what  string
}

func drawStory(t *rapid.T) story {
	s := story{
		workers: rapid.IntRange(1, 4).Draw(t, "workers"),
		crowd:   rapid.IntRange(1, 6).Draw(t, "crowd"),
		active:  rapid.IntRange(1, 12).Draw(t, "active"),
	}
	domains := []string{"local.test", "remote.test", "slow.test", "far.test"}
	for i := range rapid.IntRange(1, 10).Draw(t, "letters") {
		l := tale{stranger: rapid.IntRange(0, 3).Draw(t, "stranger") == 0}
		l.after = time.Duration(rapid.IntRange(0, 600).Draw(t, "pause")) * time.Second
		for n := range rapid.IntRange(1, 4).Draw(t, "recipients") {
			d := "local.test"
			if !l.stranger {
				d = rapid.SampledFrom(domains).Draw(t, "domain")
			}
			l.to = append(l.to, fmt.Sprintf("r%d-%d@%s", i, n, d))
			l.fates = append(l.fates, fate{
				deferrals: rapid.IntRange(0, 4).Draw(t, "deferrals"),
				end:       rapid.SampledFrom([]int{250, 250, 250, 550, 0}).Draw(t, "end"),
			})
		}
		s.letters = append(s.letters, l)
	}
	for range rapid.IntRange(0, 8).Draw(t, "events") {
		s.events = append(s.events, event{
			after: time.Duration(rapid.IntRange(1, 1500).Draw(t, "after")) * time.Second,
			what:  rapid.SampledFrom([]string{"restart", "full", "well", "freeze", "thaw", "miscount"}).Draw(t, "what"),
		})
	}
	return s
}

// Whatever destinations, disk, operators and shutdowns do: every recipient that was
// accepted ends delivered or reported, once, or is still in the queue. None is
// both delivered and reported as failed, and nobody but the sender is written to.
func TestEveryRecipientEndsOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		var fault string
		policy := sched.Default()
		policy.Expire = 48 * time.Hour // longer than any story keeps a recipient waiting who is reached in the end: each restart may cut an attempt off
		synctest.Test(t, func(t *testing.T) { fault = s.play(newWorldOf(t, policy)) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// stage is a story on its way.
type stage struct {
	w      *world
	s      story
	fates  map[string]*fate
	broken bool // targets miscount
	ids    []mail.ID
}

func (s story) play(w *world) string {
	w.limits.Workers, w.limits.PerDestination, w.limits.Active = s.workers, s.crowd, s.active
	p := &stage{w: w, s: s, fates: map[string]*fate{}}
	for _, l := range s.letters {
		for i, to := range l.to {
			f := l.fates[i]
			p.fates[to] = &f
		}
	}
	for _, g := range []*target{w.local, w.routes["remote.test"], w.routes["slow.test"], w.routes["far.test"]} {
		g.fn = p.answer
	}
	w.start()
	for _, l := range s.letters {
		later(l.after)
		p.send(l)
	}
	for _, e := range s.events {
		later(e.after)
		p.happen(e.what)
	}
	p.happen("well")
	p.happen("thaw")
	// Longer than any message is kept, and the last attempts after that.
	later(w.policy.Expire + 24*time.Hour)
	fault := p.judge()
	w.stop()
	if fault != "" {
		fault += "\n" + w.logged.String()
	}
	return fault
}

func (p *stage) answer(ctx context.Context, j nexthop.Job, to mail.Address) mail.Reply {
	if strings.HasSuffix(to.String(), "slow.test") {
		select {
		case <-ctx.Done():
			return mail.R(451, "4.3.2", "interrupted")
		case <-time.After(3 * time.Minute):
		}
	}
	p.w.local.mu.Lock()
	defer p.w.local.mu.Unlock()
	f := p.fates[to.String()]
	switch {
	case f == nil: // a notification
		return mail.R(250, "2.0.0", "ok")
	case f.deferrals > 0:
		f.deferrals--
		return mail.R(451, "4.0.0", "later")
	case f.end == 0:
		return mail.R(451, "4.0.0", "never")
	}
	return mail.R(f.end, "", "so it is")
}

func (p *stage) send(l tale) {
	m := letterOf{from: "x@innocent.test", to: l.to}
	if !l.stranger {
		m = fresh(l.to...)
	}
	p.ids = append(p.ids, p.w.send(m))
	synctest.Wait()
}

func (p *stage) happen(what string) {
	w := p.w
	switch what {
	case "restart":
		// A process that could not record what it delivered repeats that, which is
		// a story of its own.
		w.disk.full.Store(false)
		later(time.Minute)
		w.restart()
	case "full":
		w.disk.full.Store(true)
	case "well":
		w.disk.full.Store(false)
		later(time.Minute)
		w.routes["far.test"].mu.Lock()
		w.routes["far.test"].raw = nil
		w.routes["far.test"].mu.Unlock()
	case "freeze":
		p.happen("well")
		w.freeze()
		w.holdQueue()
	case "thaw":
		p.happen("well")
		w.thaw()
	case "miscount":
		w.routes["far.test"].mu.Lock()
		w.routes["far.test"].raw = func(nexthop.Job) []mail.Outcome { return nil }
		w.routes["far.test"].mu.Unlock()
	}
	synctest.Wait()
}

// judge compares what became of each recipient with what was told about him.
func (p *stage) judge() string {
	reported, delayed := map[string]int{}, map[string]int{}
	for _, text := range p.w.notices() {
		about := ""
		for line := range strings.SplitSeq(text, "\r\n") {
			if to, ok := strings.CutPrefix(line, "Final-Recipient: rfc822; "); ok {
				about = to
			}
			switch line {
			case "Action: failed":
				reported[about]++
			case "Action: delayed":
				delayed[about]++
			}
		}
	}
	for i, l := range p.s.letters {
		e, queued := p.w.entry(p.ids[i])
		for n, to := range l.to {
			arrived := p.target(to).times(to)
			pending := queued && e.Recipients[n].State == spool.StatePending
			untold := queued && e.Recipients[n].State == spool.StateUntold && !e.Recipients[n].Last.IsZero()
			ends := arrived + reported[to]
			switch end := l.fates[n].end; {
			case delayed[to] > 1 || delayed[to] > 0 && l.stranger:
				return fmt.Sprintf("the delay of %s was told %d times", to, delayed[to])
			case arrived > 1 || reported[to] > 1 || ends > 1:
				return fmt.Sprintf("%s arrived %d times and was reported %d times", to, arrived, reported[to])
			case end == 250 && arrived != 1:
				return fmt.Sprintf("%s did not arrive: %+v", to, e)
			case end != 250 && !l.stranger && reported[to] != 1:
				return fmt.Sprintf("%s failed and was not reported: %+v", to, e)
			case end != 250 && l.stranger && (!untold || e.Held == "" || reported[to] != 0):
				return fmt.Sprintf("%s of a stranger failed and is not held: %+v", to, e)
			case ends == 1 && pending:
				return fmt.Sprintf("%s has ended and is still pending", to)
			}
		}
	}
	return ""
}

func (p *stage) target(to string) *target {
	if g := p.w.routes[to[strings.IndexByte(to, '@')+1:]]; g != nil {
		return g
	}
	return p.w.local
}
