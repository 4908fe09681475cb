package dispatch_test

import (
	"context"
	"fmt"
	"strings"
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

// forwarded is what becomes of one letter at one account that forwards.
type forwarded struct {
	deferrals int // at the target
	end       int // 250, 550, or 0: never
}

// forwardStory is a rapid draw: letters to accounts that forward, and what happens.
type forwardStory struct {
	keep   []bool
	fates  [][]forwarded // by letter and account
	events []event
	most   int
}

func drawForwardStory(t *rapid.T) forwardStory {
	s := forwardStory{most: rapid.IntRange(1, 4).Draw(t, "forwards in one attempt")}
	for range rapid.IntRange(1, 4).Draw(t, "accounts") {
		s.keep = append(s.keep, rapid.Bool().Draw(t, "keep"))
	}
	for range rapid.IntRange(1, 3).Draw(t, "letters") {
		var l []forwarded
		for range s.keep {
			l = append(l, forwarded{rapid.IntRange(0, 3).Draw(t, "deferrals"), rapid.SampledFrom([]int{250, 250, 550, 0}).Draw(t, "end")})
		}
		s.fates = append(s.fates, l)
	}
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		s.events = append(s.events, event{
			after: time.Duration(rapid.IntRange(1, 1500).Draw(t, "after")) * time.Second,
			what:  rapid.SampledFrom([]string{"restart", "full", "well"}).Draw(t, "what"),
		})
	}
	return s
}

// Whatever the targets, the disk and restarts do: a letter to an account that forwards
// is in its mailbox once if it keeps copies or the target refused, and reaches the target
// once or its owner is told once; nobody else is ever written to, and the queue ends
// empty.
func TestForwardsAreAccounted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawForwardStory(rt)
		var fault string
		policy := sched.Default()
		policy.Expire = 12 * time.Hour
		synctest.Test(t, func(t *testing.T) { fault = s.play(t, newWorldOf(t, policy)) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func (s forwardStory) play(t *testing.T, w *world) string {
	w.limits.Forwards = s.most
	var to []string
	for i, keep := range s.keep {
		a := fmt.Sprintf("u%d@local.test", i)
		w.account(a)
		to = append(to, a)
		w.forwards = append(w.forwards, directory.Forward{Account: addr(a), Targets: []mail.Address{addr(fmt.Sprintf("t%d@remote.test", i))}, Keep: keep})
	}
	w.publish(to...)
	var mu sync.Mutex
	reached := map[string]int{}
	w.routes["remote.test"].fn = func(_ context.Context, j nexthop.Job, target mail.Address) mail.Reply {
		var letter, account int
		_, rest, _ := strings.Cut(read(j), "\r\nSubject: letter ")
		_, err1 := fmt.Sscanf(rest, "%d", &letter)
		_, err2 := fmt.Sscanf(target.Local(), "t%d", &account)
		if err1 != nil || err2 != nil {
			return mail.R(250, "2.0.0", "what is this?")
		}
		mu.Lock()
		defer mu.Unlock()
		f := &s.fates[letter][account]
		switch {
		case f.deferrals > 0:
			f.deferrals--
			return mail.R(451, "4.0.0", "later")
		case f.end == 0:
			return mail.R(451, "4.0.0", "never")
		case f.end == 250:
			reached[fmt.Sprint(letter, " ", account)]++
		}
		return mail.R(f.end, "", "so it is")
	}
	w.start()
	for i := range s.fates {
		l := stranger(to...)
		l.body = fmt.Sprintf("Subject: letter %d\r\n\r\nbody\r\n", i)
		w.send(l)
		later(time.Second)
	}
	for _, e := range s.events {
		later(e.after)
		switch e.what {
		case "full":
			w.disk.full.Store(true)
		case "well", "restart":
			w.disk.full.Store(false)
			later(time.Minute)
		}
		if e.what == "restart" {
			w.restart()
		}
	}
	w.disk.full.Store(false)
	later(w.policy.Expire + 24*time.Hour)
	fault := s.judge(w, reached)
	w.stop()
	if fault != "" {
		fault += "\n" + w.logged.String()
	}
	return fault
}

// judge counts what is where.
func (s forwardStory) judge(w *world, reached map[string]int) string {
	copies, told := map[string]int{}, map[string]int{}
	for i, j := range w.local.jobs {
		text := w.local.texts[i]
		_, rest, _ := strings.Cut(text, "\r\nSubject: letter ")
		letter, _, _ := strings.Cut(rest, "\r\n")
		for _, r := range j.Recipients {
			key := letter + " " + strings.TrimPrefix(r.Mailbox.Local(), "u")
			if strings.Contains(text, "\r\nAuto-Submitted: ") {
				told[key]++
			} else {
				copies[key]++
			}
		}
	}
	for letter, l := range s.fates {
		for account, f := range l {
			key := fmt.Sprint(letter, " ", account)
			arrived, box, notices := 0, 0, 0
			if f.end == 250 {
				arrived = 1
			} else {
				box, notices = 1, 1
			}
			if s.keep[account] {
				box = 1
			}
			if reached[key] != arrived || copies[key] != box || told[key] != notices {
				return fmt.Sprintf("letter and account %s: reached %d, %d copies, told %d; want %d, %d, %d", key, reached[key], copies[key], told[key], arrived, box, notices)
			}
		}
	}
	for _, g := range w.routes {
		for _, j := range g.jobs {
			for _, r := range j.Recipients {
				if !strings.HasSuffix(r.Address.String(), "@remote.test") {
					return "written to " + r.Address.String()
				}
			}
		}
	}
	if st := w.spool.Stats(); st.Entries != 0 {
		return fmt.Sprintf("%d messages are left", st.Entries)
	}
	return ""
}
