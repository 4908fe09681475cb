package hijack

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/access/partner"
	"sallyport/internal/config"
	"sallyport/internal/incident"
	"sallyport/internal/local/door"
	"sallyport/internal/oidc/oidctest"
	"sallyport/internal/operate"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// walk is a running server at whose doors people sign in, and those whose accounts are stolen.
type walk struct {
	t        *testing.T
	s        *rig.Server
	sink     *load.Sink
	op       *operate.Client
	asks     partnersocket.Client // at the socket of a Dovecot
	provider *oidctest.Provider
	people   []*person
	tickets  map[string]*tickets // by door and what was shown in TLS, from before the containment
	mu       sync.Mutex          // of the maps
	running  sync.WaitGroup
	places   chan struct{}     // for tries at once: a refusal takes a second
	wrong    map[string]string // how a credential that is nobody's is answered, by door and mechanism
	resumed  map[string]bool   // the doors at which such a ticket was taken afterwards
	tried    map[phase]int
}

// doors are all that sign in by a dialogue; the sendmail command and the socket of checkpassword
// are walked beside them.
func doors() []string { return []string{"submission", "submissions", "imap", "imaps", "pop3", "pop3s"} }

func (w *walk) at(door string) string {
	l := w.s.Listen
	return map[string][]string{"submission": l.Submission, "submissions": l.Submissions, "imap": l.IMAP, "imaps": l.IMAPS, "pop3": l.POP3, "pop3s": l.POP3S}[door][0]
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{
		t: t, provider: oidctest.New(t, time.Now), tickets: map[string]*tickets{}, wrong: map[string]string{},
		resumed: map[string]bool{}, tried: map[phase]int{}, places: make(chan struct{}, 30),
	}
	var err error
	w.sink, err = load.NewSink(load.SinkOptions{Keep: true})
	must(t, err)
	t.Cleanup(func() { _ = w.sink.Close() })
	own, err := user.LookupGroupId(fmt.Sprint(os.Getegid()))
	must(t, err)
	short, err := os.MkdirTemp("", "walk") // a socket's path is short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	asked := filepath.Join(short, "checkpassword.sock")
	w.s, err = rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: w.sink.Addr(), Sendmail: true, Reading: true,
		Extra: "[limits]\ngreet_delay = \"0s\"\n\n[auth]\nguesses = 1000\nnetwork_guesses = 100000\ntotal_guesses = 100000\nguess_time = \"1m\"\n" +
			"mechanisms = [\"EXTERNAL\", \"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\", \"OAUTHBEARER\", \"XOAUTH2\"]\n\n[hijack]\nhold = \"1s\"\n" +
			oidcTable(w.provider) + fmt.Sprintf("[checkpassword]\nsocket = %q\ngroup = %q\n[domain.\"bücher.test\"]\ndeliver = \"maildir\"\n[sendmail.users]\n%d = \"alice@local.test\"\n",
			asked, own.Name, os.Geteuid()),
	})
	must(t, err)
	start(t, w.s)
	cfg, err := config.Load(w.s.Config)
	must(t, err)
	w.op, err = operate.Dial(t.Context(), cfg.Socket())
	must(t, err)
	t.Cleanup(w.op.Close)
	w.asks, err = partnersocket.Dial(t.Context(), asked)
	must(t, err)
	t.Cleanup(w.asks.Close)
	return w
}

// account makes one where there is none, and gives it a password; its certificates are enough
// without AUTH.
func (w *walk) account(address, word string) {
	w.t.Helper()
	if _, err := w.op.AccountAdd(w.t.Context(), operate.AccountAdd{Address: address, Password: word, Role: "person"}); err != nil {
		_, err = w.op.AccountPassword(w.t.Context(), operate.AccountPassword{Address: address, Password: word})
		must(w.t, err)
	}
	_, err := w.op.AccountSignIn(w.t.Context(), operate.AccountSignIn{Address: address, Policy: "any", Alone: true})
	must(w.t, err)
}

// talk connects to a door with what is shown in TLS; again: by a session of TLS from before.
func (w *walk) talk(p *person, door string, shown *tls.Certificate, again bool) *talk {
	w.t.Helper()
	c := tlsConfig(w.t, w.s)
	if shown != nil {
		c.Certificates = []tls.Certificate{*shown}
	}
	w.mu.Lock()
	kept := w.tickets[fmt.Sprintf("%s %s %p", p.address, door, shown)]
	if kept == nil {
		kept = &tickets{of: map[string]*tls.ClientSessionState{}}
		w.tickets[fmt.Sprintf("%s %s %p", p.address, door, shown)] = kept
	}
	w.mu.Unlock()
	if again || !kept.isSealed() {
		c.ClientSessionCache = kept
	}
	k := secure(w.t, door, connect(w.t, w.at(door), p.from), c)
	if again && k.tls.ConnectionState().DidResume {
		w.mu.Lock()
		w.resumed[door] = true
		w.mu.Unlock()
	}
	return k
}

// enter signs in, and says how it was answered. Who is put off, since so much was tried at once
// after a start, tries again.
func (w *walk) enter(p *person, door, mechanism, user string, c *credential, again bool) (got string) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if got = w.once(p, door, mechanism, user, c, again); !strings.HasPrefix(got, "454") && !strings.Contains(got, "[UNAVAILABLE]") && !strings.Contains(got, "[SYS/TEMP]") {
			break
		}
	}
	return got
}

func (w *walk) once(p *person, door, mechanism, user string, c *credential, again bool) string {
	w.t.Helper()
	k := w.talk(p, door, c.shown, again)
	defer k.leave()
	_ = k.nc.SetDeadline(time.Now().Add(30 * time.Second))
	return k.prove(mechanism, proof{user, c.word})
}

// cell holds one try against the rule, beside others.
func (w *walk) cell(p *person, door, mechanism, name string, c *credential, at phase, again, opens bool) {
	w.places <- struct{}{}
	w.tried[at]++
	w.running.Go(func() {
		defer func() { <-w.places }()
		if opens && protocol(door) == "pop3" { // one session has the mailbox at a time
			p.mailbox.Lock()
			defer p.mailbox.Unlock()
		}
		w.try(p, door, mechanism, name, c, at, again, opens)
	})
}

func (w *walk) try(p *person, door, mechanism, name string, c *credential, at phase, again, opens bool) {
	w.t.Helper()
	got := w.enter(p, door, mechanism, name, c, again)
	nobody := w.nobody(door, c, mechanism)
	switch {
	case good(got) != opens:
		w.t.Errorf("%s, %s at %s by %s as %q with the %s (used %v, made since %v): %q", at, p.address, door, mechanism, name, c.name, c.used, c.since, got)
	case !opens && at != before && got != nobody:
		w.t.Errorf("%s, %s at %s by %s with the %s: %q, where one that is nobody's gets %q", at, p.address, door, mechanism, c.name, got, nobody)
	}
}

// everybody tries every credential of everybody at every door by every mechanism; some: by one of
// them.
func (w *walk) everybody(at phase, some bool) {
	w.t.Helper()
	for _, p := range w.people {
		w.walk(p, at, some)
	}
	w.running.Wait()
}

func (w *walk) walk(p *person, at phase, some bool) {
	w.t.Helper()
	for _, door := range doors() {
		for _, c := range p.all {
			for n, mechanism := range c.mechanisms(door) {
				if some && n > 0 {
					break
				}
				w.cell(p, door, mechanism, p.address, c, at, at == contained && n == 0, c.opens(door, at))
			}
		}
	}
	w.partner(p, at)
}

// partner asks as a Dovecot does, for whom a certificate is any of the account's.
func (w *walk) partner(p *person, at phase) {
	w.t.Helper()
	ask := func(l partner.Login) bool {
		l.User, l.Remote, l.Service, l.Secured = p.address, netip.MustParseAddr("127.0.0.9"), "imap", true
		answer, err := w.asks.SignIn(w.t.Context(), l)
		must(w.t, err)
		w.tried[at]++
		return answer.Verdict == partner.VerdictIn
	}
	certified := false
	for _, c := range p.all {
		opens := c.opens("imap", at)
		switch c.kind {
		case "certificate":
			certified = certified || opens
		case "password", "app":
			if got := ask(partner.Login{Mechanism: "PLAIN", Password: c.word}); got != opens {
				w.t.Errorf("%s, %s at checkpassword with the %s: %v", at, p.address, c.name, got)
			}
		}
	}
	if got := ask(partner.Login{Mechanism: "EXTERNAL", Certificate: true}); got != certified {
		w.t.Errorf("%s, %s at checkpassword by a certificate: %v", at, p.address, got)
	}
}

// spelling is how somebody writes the name of zoe@bücher.test, and whether it names her.
type spelling struct {
	text  string
	names bool
}

func spellings() []spelling {
	return []spelling{
		{"zoe@bücher.test", true}, {"zoe@xn--bcher-kva.test", true}, {"ZOE@BÜCHER.TEST", true}, {"Zoe@XN--BCHER-KVA.test", true}, {"zoe@bu\u0308cher.test", false},
		{`"zoe"@bücher.test`, true}, {`"z\oe"@bücher.test`, true}, {"zoe@bücher.test.", false},
		{"zoe+x@bücher.test", false}, {"zoe", false}, {" zoe@bücher.test", false},
		{"books@bücher.test", false},
	}
}

// spell tries every way to write the name, with what the thief has and with another credential.
func (w *walk) spell(p *person, at phase) {
	w.t.Helper()
	for _, door := range doors() {
		for _, s := range spellings() {
			for _, c := range []*credential{p.stolen, p.other} {
				w.cell(p, door, "PLAIN", s.text, c, at, at == contained, s.names && c.opens(door, at))
			}
		}
	}
	w.running.Wait()
}

// kernel tries the sendmail command, where the kernel's word is the credential: it sends alone.
func (w *walk) kernel(at phase) {
	w.t.Helper()
	err := program(w.t, w.s, "friend@remote.test")
	if opens := at == before || at == ended; opens != (err == nil) || err != nil && !strings.Contains(err.Error(), "550 5.7.13") {
		w.t.Errorf("%s, a program of this host: %v", at, err)
	}
}

// nobodys notes how each door answers a credential that is nobody's.
func (w *walk) nobodys(p *person) {
	w.t.Helper()
	for _, door := range doors() {
		for _, c := range w.strangers(p) {
			for _, mechanism := range c.mechanisms(door) {
				w.running.Go(func() {
					got := w.enter(p, door, mechanism, p.address, c, false)
					w.mu.Lock()
					defer w.mu.Unlock()
					w.wrong[door+" "+c.kind+" "+mechanism] = got
				})
			}
		}
	}
	w.running.Wait()
	for _, door := range []string{"submission", "submissions"} {
		for _, mechanism := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
			if got := w.wrong[door+" password "+mechanism]; !strings.HasPrefix(got, "535 5.7.8") {
				w.t.Fatalf("%s: a wrong password by %s gets %q", door, mechanism, got)
			}
		}
	}
}

// nobody is how a wrong password is answered, or a certificate that is no account's: what is refused
// in a containment is answered in the same way.
func (w *walk) nobody(door string, c *credential, mechanism string) string {
	if c.kind != "certificate" {
		return w.wrong[door+" password PLAIN"]
	}
	return w.wrong[door+" certificate "+mechanism]
}

// opened signs in and keeps the session.
func (w *walk) opened(p *person, door string, c *credential) *talk {
	w.t.Helper()
	k := w.talk(p, door, c.shown, false)
	if got := k.prove(c.mechanisms(door)[0], proof{p.address, c.word}); !good(got) {
		w.t.Fatalf("%s at %s with the %s: %q", p.address, door, c.name, got)
	}
	k.idle()
	return k
}

// opens opens sessions at every door: by what the thief has, by what is made since, and by another
// one. A mailbox has one session of POP3 at a time, so that each person has one.
func (w *walk) opens(p *person, c *credential, n int) {
	w.t.Helper()
	turn := map[string]int{"pop3": 0, "pop3s": 1}
	for _, door := range doors() {
		first, pop := turn[door]
		if c == p.other {
			first += 2
		}
		if c.opens(door, before) && (!pop || n%4 == first) {
			p.live = append(p.live, session{w.opened(p, door, c), c})
		}
	}
}

// stolenBy has the thief begin, and the person get new credentials meanwhile.
func (w *walk) stolenBy(p *person, n int) {
	w.t.Helper()
	w.opens(p, p.stolen, n)
	w.opens(p, p.other, n)
	p.door = []string{"submissions", "submission"}[n%2]
	p.thief = w.talk(p, p.door, p.stolen.shown, false)
	mechanism := p.stolen.mechanisms(p.door)[0]
	if got := p.thief.prove(mechanism, proof{p.typed, p.stolen.word}); !good(got) {
		w.t.Fatalf("the thief of %s: %q", p.address, got)
	}
	w.gives(p, true)
	p.stolen.used = true
	for _, c := range p.all {
		if c.since && strings.HasPrefix(c.name, "app to send,receive") {
			for _, door := range []string{"submission", "imaps"} {
				p.live = append(p.live, session{w.opened(p, door, c), c})
			}
		}
	}
}

// blast sends until the thief is stopped, and says when that was.
func (p *person) blast(t *testing.T) time.Time {
	t.Helper()
	c := client{p.thief.nc, p.thief.in}
	for n := range 200 {
		if got := c.send(ascii(p.address), fmt.Sprintf("stranger-%d-%s@remote.test", n, strings.ReplaceAll(ascii(p.address), "@", "-at-"))); !strings.HasPrefix(got, "2") {
			if !strings.HasPrefix(got, "421") && !strings.HasPrefix(got, "550 5.7.") {
				t.Errorf("the thief of %s is stopped by %q", p.address, got)
			}
			return time.Now()
		}
	}
	t.Fatalf("nobody stops the thief of %s", p.address)
	return time.Time{}
}

func ascii(address string) string { return strings.ReplaceAll(address, "bücher", "xn--bcher-kva") }

// sessions holds those that were open against the rule: those that send are cut, or their next
// command is; those that read with what is dead end within a second, and the others go on.
func (w *walk) sessions(p *person, since time.Time) {
	w.t.Helper()
	for _, s := range p.live {
		switch {
		case sends(s.door):
			if got := s.say("MAIL FROM:<" + ascii(p.address) + ">"); !strings.HasPrefix(got, "421") && !strings.HasPrefix(got, "550 5.7.") {
				w.t.Errorf("%s: an open session at %s by the %s is told %q", p.address, s.door, s.by.name, got)
			}
		case s.by.dead():
			if !s.ends(since.Add(time.Second)) {
				w.t.Errorf("%s: a session at %s by the %s goes on", p.address, s.door, s.by.name)
			}
		default:
			if got, reads := s.reads(); !reads {
				w.t.Errorf("%s: the owner's session at %s by the %s is told %q", p.address, s.door, s.by.name, got)
			}
		}
	}
	for _, s := range p.live {
		if !sends(s.door) && !s.by.dead() {
			s.leave()
		}
	}
}

// receives sends a letter from outside, which the owner reads with another credential.
func (w *walk) receives(p *person) {
	w.t.Helper()
	c := client{connect(w.t, w.s.Listen.MX[0], nil), nil}
	c.in = bufio.NewReader(c.Conn)
	c.line()
	c.say("EHLO remote.test")
	if got := c.send("friend@remote.test", ascii(p.address)); !strings.HasPrefix(got, "250") {
		w.t.Fatalf("a letter to %s: %q", p.address, got)
	}
	k := w.talk(p, "imaps", p.other.shown, false)
	defer k.leave()
	got := k.prove(p.other.mechanisms("imaps")[0], proof{p.address, p.other.word})
	if !good(got) {
		w.t.Errorf("%s: the owner does not read: %q", p.address, got)
		return
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		k.say("SELECT INBOX")
		if got = k.say("FETCH 1 RFC822.SIZE"); good(got) {
			return
		}
		if time.Now().After(end) {
			w.t.Errorf("%s receives nothing: %q", p.address, got)
			return
		}
	}
}

// local opens a session at the socket of the sendmail command.
func (w *walk) local() client {
	w.t.Helper()
	nc, err := net.Dial("unix", w.s.Sendmail())
	must(w.t, err)
	w.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	c := client{nc, bufio.NewReader(nc)}
	c.say(door.HelloSMTP)
	c.say("EHLO local")
	return c
}

// release ends everybody's incident, for each with a new credential.
func (w *walk) release() {
	w.t.Helper()
	numbers := map[string]uint64{}
	must(w.t, w.op.IncidentList(w.t.Context(), operate.IncidentSelect{Open: true}, func(i incident.Incident) error {
		numbers[i.Account.Key()] = i.Number
		return nil
	}))
	for _, p := range w.people {
		n := numbers[ascii(p.address)]
		if n == 0 {
			w.t.Fatalf("%s has no incident: %v", p.address, numbers)
		}
		fresh := &credential{name: "new credential", kind: "password", scope: "send,receive", word: "a new and better password of " + p.address}
		if p.stolen.kind == "password" {
			if _, err := w.op.IncidentRelease(w.t.Context(), operate.IncidentRelease{Number: n}); err == nil {
				w.t.Errorf("the incident of %s ends without a new password", p.address)
			}
			_, err := w.op.AccountPassword(w.t.Context(), operate.AccountPassword{Address: p.address, Password: fresh.word})
			must(w.t, err)
		} else {
			app, err := w.op.AppAdd(w.t.Context(), operate.AppAdd{Account: p.address, Name: "new phone", Scope: "send,receive"})
			must(w.t, err)
			fresh.kind, fresh.word = "app", app.Password
		}
		p.all = append(p.all, fresh)
		_, err := w.op.IncidentRelease(w.t.Context(), operate.IncidentRelease{Number: n})
		must(w.t, err)
	}
}

// works has the owner send at both doors by what is new and by what was there before.
func (w *walk) works(p *person) (letters int) {
	w.t.Helper()
	for _, c := range []*credential{p.other, p.all[len(p.all)-1]} {
		for _, door := range doors()[:2] {
			k := w.opened(p, door, c)
			if got := (&client{k.nc, k.in}).send(ascii(p.address), "friend@remote.test"); !strings.HasPrefix(got, "250") {
				w.t.Errorf("%s sends at %s with the %s: %q", p.address, door, c.name, got)
			}
			letters++
			k.leave()
		}
	}
	return letters
}
