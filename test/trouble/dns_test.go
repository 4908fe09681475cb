package trouble

import (
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/operate"
	"sallyport/test/site"
)

type dns = miekg.Msg

const (
	every = 5 * time.Minute // between two looks at the server, of which an hour has twelve
	looks = 12
	few   = 2 // of them in a sample
)

// steps is how many looks are taken.
func steps() int {
	if os.Getenv("SALLYPORT_TROUBLE") == "" {
		return few
	}
	return looks
}

// kind is one way in which the DNS is in trouble, and what a server is to do meanwhile.
type kind struct {
	name string
	play func(w *world) dnstest.Script
	// answers are what strangers are told, by their author's domain; one that is told 250 is delivered, and
	// its Authentication-Results say what stands behind the 250.
	answers map[string]string
	// waits are the domains mail to which waits, with the last answer in the queue; others get
	// theirs at once.
	waits map[string]string
	mute  bool // our own servers answer nothing, but for what they have at hand
	// deep is what is told whoever forges an author with so many labels that the time of a message
	// ends before the policy above them is found; "": nobody does.
	deep string
}

// Everything waits, and nothing is concluded, while our own servers answer nothing.
func ours(name string, play func(w *world) dnstest.Script) kind {
	const later = "451 4.4.3 the DNS does not answer here"
	return kind{
		name: name, play: play, mute: true,
		answers: map[string]string{"good.test": later, "victim.test": later, "quiet.test": later},
		// The exchanger of known.test is remembered, but whether it must be reached under TLS can't
		// be asked.
		waits: map[string]string{"far.test": "451 4.4.3", "quiet.test": "451 4.4.3", "known.test": "451 4."},
	}
}

func kinds() []kind {
	code := func(c int) func(*world) dnstest.Script {
		return func(*world) dnstest.Script {
			return func(_ string, q *dns) [][]byte {
				wire, err := new(dns).SetRcode(q, c).Pack()
				if err != nil {
					return nil
				}
				return [][]byte{wire}
			}
		}
	}
	slow := func(after time.Duration) func(*world) dnstest.Script {
		return func(w *world) dnstest.Script {
			return func(network string, q *dns) [][]byte {
				time.Sleep(after)
				return w.well(network, q)
			}
		}
	}
	const forged = "550 5.7.26"
	proven := "250 spf=pass dkim=pass dmarc=pass"
	return []kind{
		ours("silent", func(*world) dnstest.Script { return func(string, *dns) [][]byte { return nil } }),
		ours("SERVFAIL", code(miekg.RcodeServerFailure)),
		ours("REFUSED", code(miekg.RcodeRefused)),
		ours("no way out", func(w *world) dnstest.Script {
			return func(network string, q *dns) [][]byte {
				if q.Question[0].Name == "." {
					return w.well(network, q) // from a copy
				}
				return code(miekg.RcodeServerFailure)(w)(network, q)
			}
		}),
		ours("slower than we wait", slow(dnsx.DefaultLimits().Query+time.Second)),
		{
			name: "slow", play: slow(3 * time.Second), deep: "451 4.4.3 the DNS does not answer here",
			answers: map[string]string{"good.test": proven, "victim.test": forged, "quiet.test": "250 spf=pass dmarc=pass"},
		},
		{
			name: "one zone silent", play: func(w *world) dnstest.Script { return w.mute },
			answers: map[string]string{"good.test": proven, "victim.test": forged, "quiet.test": "250 spf=temperror dmarc=temperror"},
			waits:   map[string]string{"quiet.test": "451 4.4.3"},
		},
	}
}

// An hour in which the DNS is silent, fails, refuses or is slow, or in which one domain alone is
// silent: nothing that was to leave comes back or goes astray, nothing forged gets in, mail among
// our own people is delivered, nobody relays, the questions are few; and when all is well again
// everything is delivered once, when its time has come. make test takes two looks at it,
// SALLYPORT_TROUBLE=1 all twelve.
func TestAnHourWithoutTheDNS(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, k := range kinds() {
		// They wait for nearly all of the time: more of them than there are processors run at once.
		all.Go(func() { t.Run(k.name, func(t *testing.T) { k.hour(newWorld(t)) }) })
	}
}

// hour is all of it.
func (k kind) hour(w *world) {
	w.before()
	asked := w.dns.Asked()
	w.turn(k.play(w))
	for i := range steps() {
		if i > 0 {
			w.pass(every)
		}
		w.look(k, i)
	}
	w.bounded(k, w.dns.Asked()-asked)
	if k.deep != "" && steps() == looks {
		w.pass(2 * time.Minute) // nothing of the way up is remembered
		w.strangers([]stranger{{author: "a.b.c.d.e.f.victim.test", id: "deep", want: k.deep}})
	}
	w.turn(w.well)
	w.over()
	w.arrived()
}

// before is a world in which all was well until now: what is known of known.test is remembered, and
// no connection to its exchanger is left.
func (w *world) before() {
	w.t.Helper()
	alice := w.SignIn(w.n, true, "alice@local.test")
	w.poked = w.send(alice, "x@remote.test", "poke").queue
	w.send(alice, "x@known.test", "known-before")
	w.patiently("mail while all is well", func() bool { return w.at("known.test").IDs()["known-before"] == 1 && len(w.queue()) == 0 })
	delete(w.sent, "known-before")
	w.listen(atKnown)
	w.pass(2 * time.Minute) // what the DNS denied is not remembered for so long
}

// send submits a message.
func (w *world) send(c *site.Client, to, id string) *letter {
	w.t.Helper()
	text := site.Message(id, "alice@local.test", 600)
	reply := c.Send("alice@local.test", text, to)
	if !strings.HasPrefix(reply, "250") {
		w.t.Fatalf("%s to %s: %s", id, to, reply)
	}
	_, domain, _ := strings.Cut(to, "@")
	l := &letter{domain: domain, queue: site.QueueID(reply), text: text}
	if domain == "local.test" {
		w.wanted[id] = ""
	} else {
		w.sent[id] = l
	}
	return l
}

// look is one of the looks at the server: all that was due is tried, and somebody of each sort comes.
func (w *world) look(k kind, i int) {
	w.t.Helper()
	before, began := w.queue(), w.now()
	alice := w.SignIn(w.n, true, "alice@local.test")
	for _, domain := range []string{"far.test", "known.test", "quiet.test", "local.test"} {
		w.send(alice, "bob@"+domain, fmt.Sprintf("%s-%d", domain, i))
	}
	_ = alice.Conn.Close()
	w.wake()
	var come []stranger
	for author, want := range k.answers {
		come = append(come, stranger{author: author, id: fmt.Sprintf("from-%s-%d", author, i), want: want})
	}
	w.strangers(come)
	w.nobodyRelays()
	w.patiently("local mail", func() bool { return len(w.box("bob")[fmt.Sprintf("local.test-%d", i)]) == 1 })
	w.tried(k, before, began)
}

// stranger is a message that somebody brings to bob.
type stranger struct{ author, id, want string }

// strangers have their mail brought, all at once.
func (w *world) strangers(come []stranger) {
	w.t.Helper()
	replies := make([]string, len(come))
	var all sync.WaitGroup
	for i, s := range come {
		c := site.Connect(w.t, w.n.Addrs().MX[0])
		c.OK("250", "EHLO "+hello)
		text := site.Message(s.id, "u@"+s.author, 600)
		if s.author == "good.test" {
			text = w.sign(text)
		}
		all.Go(func() {
			replies[i] = c.Send("u@"+s.author, text, "bob@local.test")
			_ = c.Conn.Close()
		})
	}
	all.Wait()
	for i, s := range come {
		code, says, _ := strings.Cut(s.want, " ")
		switch {
		case code == "250" && strings.HasPrefix(replies[i], "250"):
			w.wanted[s.id] = says
		case code == "250" || !strings.HasPrefix(replies[i], s.want):
			w.t.Errorf("%s was told %q, want %s", s.id, replies[i], s.want)
		case code == "451":
			w.put = append(w.put, s)
		}
	}
}

// nobodyRelays tries what must be refused whatever the DNS does.
func (w *world) nobodyRelays() {
	w.t.Helper()
	c := site.Connect(w.t, w.n.Addrs().MX[0])
	c.OK("250", "EHLO "+hello)
	c.OK("250", "MAIL FROM:<u@good.test>")
	for _, to := range []string{"bob@far.test", "bob@known.test", "bob@quiet.test", "x@remote.test", "bob%far.test@local.test"} {
		c.OK("550", "RCPT TO:<%s>", to)
	}
	_ = c.Conn.Close()
}

// tried waits until all that was due at the beginning of a look has been tried, and demands that it
// waits on as the schedule says, that nothing was tried before its time, and that nothing else is
// in the queue.
func (w *world) tried(k kind, before map[string]operate.Message, began time.Time) {
	w.t.Helper()
	waiting := 0
	for id, l := range w.sent {
		if id != "poke" && k.waits[l.domain] != "" {
			waiting++
		}
	}
	w.patiently("every attempt that is due, and nothing else to be in the queue", func() bool {
		now := w.queue()
		for id, l := range w.sent {
			m, waits := now[l.queue]
			was, old := before[l.queue]
			switch {
			case id == "poke":
			case k.waits[l.domain] == "":
				if waits {
					return false // it is under way
				}
			case !waits:
				w.t.Fatalf("%s waits no more", id)
			case !old && m.Recipients[0].Last == "", old && !was.NextTry.After(began) && m.Recipients[0].LastAt.Before(began):
				return false
			}
		}
		return len(now) == waiting
	})
	now := w.queue()
	for id, l := range w.sent {
		if id == "poke" || k.waits[l.domain] == "" {
			continue
		}
		m := now[l.queue]
		was := before[l.queue]
		l.tries = m.Attempts
		tried := was.ID == "" || !m.Recipients[0].LastAt.Equal(was.Recipients[0].LastAt)
		switch last := m.Recipients[0].Last; {
		case m.State != operate.StateWaiting || !strings.HasPrefix(last, k.waits[l.domain]):
			w.t.Errorf("%s is %s, by %q; want %s", id, m.State, last, k.waits[l.domain])
		case tried != (m.Attempts == was.Attempts+1) || !tried && m.Attempts != was.Attempts:
			w.t.Errorf("%s: %d attempts after %d, one of them now: %v", id, m.Attempts, was.Attempts, tried)
		case was.ID != "" && tried && m.Recipients[0].LastAt.Before(was.NextTry):
			w.t.Errorf("%s was tried at %v, before its time %v", id, m.Recipients[0].LastAt, was.NextTry)
		}
		least, most := w.wait(m.Attempts)
		// An attempt takes a while, and the wait counts from its beginning.
		if d := m.NextTry.Sub(m.Recipients[0].LastAt); d > most || d < least-2*time.Minute {
			w.t.Errorf("%s waits for %v after attempt %d, by a schedule of %v to %v", id, d, m.Attempts, least, most)
		}
	}
}

// wait is how long a message waits after an attempt, at least and at most.
func (w *world) wait(attempt int) (least, most time.Duration) {
	r := w.Config.Retry
	full := min(float64(r.First)*math.Pow(r.Factor, float64(attempt-1)), float64(r.Max))
	return time.Duration(full * (1 - r.Jitter)), time.Duration(full)
}

// tries is how often a message of an age can have been tried at most.
func (w *world) tries(age time.Duration) (n int) {
	for ; age >= 0; n++ {
		least, _ := w.wait(n + 1)
		age -= least
	}
	return n
}

// bounded demands that no more questions were asked than the limits of the DNS and the schedule let
// a server ask.
//
// Everything that may be asked: by a stranger's message, for SPF of sender and greeting, for DMARC
// at the author's domain and above, and for a key; by an attempt, for exchangers, a policy and both
// families of addresses. Behind a question that our own servers do not answer nothing more is
// asked. A question takes Rounds datagrams to each server, and a question for the root where nobody
// answers.
func (w *world) bounded(k kind, asked int) {
	w.t.Helper()
	const servers = 1
	perStranger, perAttempt := 5, 4
	if k.mute {
		perStranger, perAttempt = 4, 2
	}
	l := dnsx.DefaultLimits()
	n, questions, attempts := steps(), 0, 0
	for i := range n {
		questions += len(k.answers) * perStranger
		for _, domain := range []string{"far.test", "known.test", "quiet.test"} {
			tries := 1
			if k.waits[domain] != "" {
				tries = w.tries(time.Duration(n-1-i)*every + time.Minute*time.Duration(n)) // each look takes less than a minute
			}
			attempts += tries
		}
	}
	questions += attempts * perAttempt
	// And for a way out, which is looked for once in Shut at most while there is none; each look
	// takes less than a minute.
	const ways = 4
	bound := questions*(l.Rounds*servers+servers) + n*ways*servers*int(time.Minute/l.Shut)
	tried := 0
	for _, one := range w.sent {
		tried += one.tries
	}
	w.t.Logf("| %s | %d | %d | %d | %d |", k.name, n, tried, asked, bound)
	if asked > bound {
		w.t.Errorf("%d questions, by the limits at most %d", asked, bound)
	}
	if tried > attempts {
		w.t.Errorf("%d attempts, by the schedule at most %d", tried, attempts)
	}
	if k.mute || k.waits["quiet.test"] == "" {
		return
	}
	// What is asked for strangers and what is asked for deliveries is remembered together. A zone
	// is found to be dead when ZoneFailures of its names failed, while as many are under way as are
	// asked for, and as many again while the zone is asked for itself, and so is each name that
	// fails as often. Then one question is let through whenever the rest is over.
	const names = 4 // SPF and DMARC, exchangers and policy
	bound = (l.ZoneFailures + 2*names + 1 + names + n*int(max(every/l.FailureMax, 1))) * l.Rounds
	if asked := w.dns.Below("quiet.test"); asked > bound {
		w.t.Errorf("%d questions for a zone that is dead, by the limits at most %d", asked, bound)
	} else {
		w.t.Logf("of them for the zone that is dead: %d, by the limits at most %d", asked, bound)
	}
}

// over is the time after: who was put off comes again, and what waits is tried when its time has come.
func (w *world) over() {
	w.t.Helper()
	w.pass(dnsx.DefaultLimits().FailureMax + time.Second) // failures are remembered no longer
	come := w.put
	for i, s := range come {
		come[i].want = map[string]string{
			"good.test": "250 spf=pass dkim=pass dmarc=pass", "victim.test": "550 5.7.26",
			"quiet.test": "250 spf=pass dmarc=pass", "a.b.c.d.e.f.victim.test": "550 5.7.26",
		}[s.author]
	}
	w.put = nil
	for ; len(come) > 0; come = come[min(len(come), 8):] {
		w.strangers(come[:min(len(come), 8)])
	}
	now, last := w.now(), w.now()
	for _, m := range w.queue() {
		_, most := w.wait(m.Attempts)
		if m.NextTry.Sub(now) > most {
			w.t.Errorf("%s waits for %v more, by the schedule at most for %v", m.ID, m.NextTry.Sub(now), most)
		}
		if m.NextTry.After(last) {
			last = m.NextTry
		}
	}
	w.pass(last.Sub(now) + time.Second)
	w.wake()
	w.patiently("what waited to be delivered", func() bool { return len(w.queue()) == 0 })
	w.mu.Lock()
	w.routed = true
	w.mu.Unlock()
	w.wake()
	w.n.Idle()
}

// arrived demands that everything is where it belongs, once and whole, and nothing else anywhere.
func (w *world) arrived() {
	w.t.Helper()
	w.patiently("bob's mail", func() bool { return len(w.box("bob")) >= len(w.wanted) })
	bob := w.box("bob")
	for id, says := range w.wanted {
		if len(bob[id]) != 1 {
			w.t.Errorf("bob has %d of %s", len(bob[id]), id)
			continue
		}
		found := strings.Join(strings.Fields(bob[id][0]), " ")
		for _, word := range strings.Fields(says) {
			if !strings.Contains(found, "Authentication-Results: mx.local.test;") || !strings.Contains(found, word) {
				t := strings.SplitN(bob[id][0], "\r\n\r\n", 2)[0]
				w.t.Errorf("%s lacks %q:\n%s", id, word, t)
			}
		}
	}
	if len(bob) != len(w.wanted) {
		w.t.Errorf("bob has %d messages, and is to have %d", len(bob), len(w.wanted))
	}
	if alice := w.box("alice"); len(alice) != 0 {
		w.t.Errorf("alice was written to: %q", alice)
	}
	count := map[string]int{}
	for id, l := range w.sent {
		count[l.domain]++
		sink, to := w.Sink, "x@remote.test"
		if l.domain != "remote.test" {
			sink, to = w.at(l.domain), "bob@"+l.domain
		}
		copies := site.Arrived(sink, 0, sink.Messages())[id+" "+to]
		if len(copies) != 1 {
			w.t.Errorf("%d of %s arrived", len(copies), id)
			continue
		}
		if err := site.Exact(copies[0], l.text); err != nil {
			w.t.Errorf("%s: %v", id, err)
		}
	}
	for domain, n := range count {
		if domain != "remote.test" && w.at(domain).Messages() != n {
			w.t.Errorf("%d messages arrived at %s, sent were %d", w.at(domain).Messages(), domain, n)
		}
	}
}
