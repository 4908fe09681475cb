package dispatch_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/sched"
)

// lead is where a domain leads: by a route to one of two next hops, into the world, or
// nowhere, since it is ours by now.
type lead int

const (
	leadFirst lead = iota
	leadSecond
	leadWorld
	leadOurs
)

// change is one thing that happens while mail is on its way: a domain leads elsewhere,
// alice is frozen or thawed, a next hop gets slow or quick, or a message comes.
type change struct {
	after  time.Duration
	what   string
	domain int
	to     lead
}

// truth is what ought to hold, kept apart from dispatch.
type truth struct {
	mu     sync.Mutex
	w      *world
	leads  [3]lead
	frozen bool
	slow   bool
	defers map[string]int
	count  map[string]int
	faults []string
}

func (m *truth) domain(i int) string { return fmt.Sprintf("d%d.test", i) }

// hop is a next hop that tells when it gets what it must not get.
func (m *truth) hop(name string, is lead) *target {
	g := newTarget(name)
	g.raw = func(j nexthop.Job) []mail.Outcome {
		if m.begins(j, name, is) {
			time.Sleep(2 * time.Minute)
		}
		return m.answers(j, name)
	}
	return g
}

// begins judges a delivery that begins, and says whether it is slow.
func (m *truth) begins(j nexthop.Job, name string, is lead) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, to := range j.Recipients {
		for i := range m.leads {
			if to.Address.Domain().ASCII() == m.domain(i) && m.leads[i] != is {
				m.faults = append(m.faults, fmt.Sprintf("%s went to %s, and its domain leads to %d by then", to.Address, name, m.leads[i]))
			}
		}
		if m.frozen {
			m.faults = append(m.faults, fmt.Sprintf("%s went out while its account was frozen", to.Address))
		}
	}
	return m.slow
}

// answers puts each recipient off as often as is his fate, and then takes the message.
func (m *truth) answers(j nexthop.Job, name string) []mail.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := j.All(mail.R(250, "2.0.0", "ok"), name)
	for i := range out {
		to := out[i].Recipient.String()
		if m.defers[to] > 0 {
			m.defers[to]--
			out[i].Reply = mail.R(451, "4.0.0", "later")
			continue
		}
		m.count[to]++
	}
	return out
}

// publish makes the directory that the truth says.
func (m *truth) publish() {
	c := directory.Config{
		Hostname: addr("x@mx.local.test").Domain(), Detail: '+',
		Domains: []directory.Domain{{Name: addr("x@local.test").Domain(), Deliver: directory.DeliverMaildir}},
	}
	for i, l := range m.leads {
		name := addr("x@" + m.domain(i)).Domain()
		switch l {
		case leadFirst, leadSecond:
			c.Routes = append(c.Routes, directory.Route{Domain: name, Host: []string{"first.test", "second.test"}[l], Port: 25, TLS: mail.TLSRequired})
		case leadOurs:
			c.Domains = append(c.Domains, directory.Domain{Name: name, Deliver: directory.DeliverMaildir})
		}
	}
	s, err := directory.NewSnapshot(c, []mail.Address{addr("alice@local.test")})
	must(m.w.t, err)
	m.w.dir.Store(s)
}

// freeze freezes alice. What began while she was being frozen may go on; what begins
// when that is done may not.
func (m *truth) freeze() {
	if m.frozen {
		return
	}
	m.w.freeze()
	m.w.holdQueue()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = true
}

// set changes the truth and dispatch's view of it in one moment.
func (m *truth) set(c change, n int) {
	if c.what == "freeze" {
		m.freeze()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch c.what {
	case "leads":
		m.leads[c.domain] = c.to
		m.publish()
	case "slow":
		m.slow = !m.slow
	case "thaw":
		if m.frozen {
			m.frozen = false
			_, err := m.w.identity.Thaw(m.w.t.Context(), addr("alice@local.test"), nil)
			must(m.w.t, err)
			must(m.w.t, m.w.spool.ReleaseAccount(m.w.t.Context(), addr("alice@local.test")))
		}
	case "letter":
		if m.frozen {
			return // intake refuses it, and so does the queue
		}
		for k := range 3 { // so that some wait for their turn
			l := fresh()
			for i := range m.leads {
				if (n+k+c.domain)%(i+2) != 0 {
					continue
				}
				to := fmt.Sprintf("r%d-%d@%s", n, k, m.domain(i))
				l.to = append(l.to, to)
				m.defers[to], m.count[to] = (n+k+i)%3, 0
			}
			if len(l.to) > 0 {
				m.w.send(l)
			}
		}
	}
}

// Whatever happens to destinations, account and directory while mail is on its way:
// each delivery goes where the directory says at that moment, none while the account is
// frozen, and in the end every recipient has the message once.
func TestDeliveriesFollowDirectoryAndStanding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(1, 2).Draw(rt, "workers")
		active := rapid.IntRange(1, 60).Draw(rt, "active")
		slow := rapid.Bool().Draw(rt, "slow")
		changes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change {
			return change{
				after:  time.Duration(rapid.IntRange(0, 150).Draw(t, "after")) * time.Second,
				what:   rapid.SampledFrom([]string{"letter", "letter", "letter", "leads", "leads", "slow", "freeze", "thaw"}).Draw(t, "what"),
				domain: rapid.IntRange(0, 2).Draw(t, "domain"),
				to:     lead(rapid.IntRange(0, 3).Draw(t, "to")),
			}
		}), 1, 30).Draw(rt, "changes")
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOf(t, sched.Default())
			w.limits.Workers, w.limits.Active = workers, active
			m := &truth{w: w, slow: slow, defers: map[string]int{}, count: map[string]int{}}
			w.routes = map[string]*target{"first.test": m.hop("first.test", leadFirst), "second.test": m.hop("second.test", leadSecond)}
			world := m.hop("the world", leadWorld)
			w.outside = func(mail.Address) (nexthop.Target, bool) { return world, true }
			m.publish()
			w.start()
			for n, c := range changes {
				later(c.after)
				m.set(c, n)
				synctest.Wait()
			}
			m.set(change{what: "thaw"}, 0)
			synctest.Wait()
			for i := range m.leads {
				m.set(change{what: "leads", domain: i}, 0)
			}
			later(48 * time.Hour)
			for to, n := range m.count {
				if n != 1 {
					m.faults = append(m.faults, fmt.Sprintf("%s has it %d times", to, n))
				}
			}
			w.queued(0, 0)
			w.stop()
			faults = m.faults
		})
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
	})
}
