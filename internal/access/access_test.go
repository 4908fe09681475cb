package access

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
)

// At every door people read with their password under TLS, with nothing in clear text, and the
// trace knows who, whence and through which door.
func TestPeopleReadUnderTLSAlone(t *testing.T) {
	w := newWorld(t)
	for _, k := range Kinds() {
		if !k.implicit() {
			c := w.dial(k, false, nil)
			if got := c.login(alice, password); ok(got) || !strings.Contains(got, "PRIVACYREQUIRED") && !strings.Contains(got, "encrypt") && !strings.Contains(got, "TLS") {
				t.Errorf("%s in clear text: %q", k, got)
			}
			if c.works() {
				t.Errorf("%s: a mailbox is read without TLS", k)
			}
		}
		c := w.dial(k, true, w.client)
		if got := c.login(alice, "a wrong password"); ok(got) {
			t.Errorf("%s: %q", k, got)
		}
		if got := c.login("nobody@local.test", password); ok(got) {
			t.Errorf("%s: %q", k, got)
		}
		if got := c.login(alice, password); !ok(got) {
			t.Fatalf("%s: %q", k, got)
		}
		if !c.works() {
			t.Errorf("%s: the mailbox does not open", k)
		}
		if k.protocol() == "pop3" { // one session has the mailbox at a time
			c.say("QUIT")
			c.ends()
		}
	}
	for _, rule := range []string{"signin-ok", "signin-bad-password", "signin-no-account"} {
		doors := map[string]int{}
		for _, f := range w.journal.find(rule) {
			if f.Kind != fact.KindAuth || !f.Peer.IsLoopback() || f.Conn == "" || f.TLS == "" {
				t.Errorf("%s: %+v", rule, f)
			}
			doors[f.Door]++
		}
		for _, k := range Kinds() {
			if doors[k.String()] != 1 {
				t.Errorf("%s at %s: %d facts", rule, k, doors[k.String()])
			}
		}
	}
}

// Every way to prove who one is opens every door while it counts, a credential that is to send
// alone opens none, and what was revoked in a containment opens none any more: its sessions
// end within a second, also those that idle, while those of the owner's other credentials go on.
func TestContainmentAtEveryReadingDoor(t *testing.T) {
	w := newWorld(t)
	keptID, kept := w.app("kept", accounts.ScopeAll)
	stolenID, stolen := w.app("stolen", accounts.ScopeReceive)
	_, sends := w.app("printer", accounts.ScopeSend)
	certID, cert := w.certificate("laptop", accounts.ScopeReceive)
	_, sender := w.certificate("scanner", accounts.ScopeSend)
	shows := func(c tls.Certificate) *tls.Config {
		cfg := w.client.Clone()
		cfg.Certificates = []tls.Certificate{c}
		return cfg
	}
	enter := map[string]func(k Kind) (*line, string){
		"password":        func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.login(alice, password) },
		"app password":    func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.login(alice, stolen) },
		"another":         func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.login(alice, kept) },
		"to send alone":   func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.login(alice, sends) },
		"certificate":     func(k Kind) (*line, string) { c := w.dial(k, true, shows(cert)); return c, c.external() },
		"a sender's":      func(k Kind) (*line, string) { c := w.dial(k, true, shows(sender)); return c, c.external() },
		"no certificate":  func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.external() },
		"by PLAIN":        func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.plain(alice, password) },
		"somebody else's": func(k Kind) (*line, string) { c := w.dial(k, true, w.client); return c, c.plain(bob, stolen) },
	}
	good := map[string]bool{"password": true, "app password": true, "another": true, "certificate": true, "by PLAIN": true}
	open := map[string][]*line{}
	for _, k := range Kinds() {
		for what, in := range enter {
			c, got := in(k)
			if ok(got) != good[what] {
				t.Errorf("%s with %s: %q", k, what, got)
			}
			if !good[what] {
				continue
			}
			if k.protocol() == "pop3" { // one session has the mailbox at a time
				c.say("QUIT")
				continue
			}
			if !c.works() {
				t.Errorf("%s with %s: nothing is read", k, what)
			}
			c.idle()
			open[what] = append(open[what], c)
		}
	}
	own, err := w.identity.Credentials(addr(t, alice))
	must(t, err)
	// Who said QUIT was answered before his session was over.
	w.listed(10)
	begun := time.Now()
	if n := w.contain(accounts.Containment{Revoke: accounts.Choice{IDs: []string{own[0].ID, stolenID, certID}}}); n != 8 {
		t.Errorf("%d sessions end, want 8", n)
	}
	for _, what := range []string{"password", "app password", "certificate", "by PLAIN"} {
		for _, c := range open[what] {
			if told, _ := c.ends(); !strings.Contains(told, "* BYE") || strings.Contains(told, "revoked") {
				t.Errorf("%s with %s is told %q", c.kind, what, told)
			}
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %s", took)
	}
	for _, c := range open["another"] {
		c.done()
		if !c.works() {
			t.Errorf("%s: the owner's other session is over", c.kind)
		}
	}
	for _, k := range Kinds() {
		for what, in := range enter {
			c, got := in(k)
			if want := what == "another"; ok(got) != want {
				t.Errorf("after the containment, %s with %s: %q", k, what, got)
			}
			if ok(got) {
				c.say("%s", map[bool]string{true: "LOGOUT", false: "QUIT"}[k.protocol() == "imap"])
			}
		}
	}
	w.contain(accounts.Containment{Freeze: "incident"})
	for _, k := range Kinds() {
		if _, got := enter["another"](k); ok(got) {
			t.Errorf("frozen, %s: %q", k, got)
		}
	}
	for _, c := range open["another"] {
		if _, took := c.ends(); took > time.Second {
			t.Errorf("%s: it took %s", c.kind, took)
		}
	}
	named := false
	for _, f := range w.journal.find("signin-ok") {
		id, _ := f.Find(fact.EvidenceCredential)
		named = named || id == keptID
	}
	if !named {
		t.Error("no fact names the credential")
	}
}

// plain signs in by AUTHENTICATE PLAIN, with an initial response.
func (c *line) plain(user, password string) string {
	return c.sasl("PLAIN", "\x00"+user+"\x00"+password)
}

// external signs in by the certificate.
func (c *line) external() string { return c.sasl("EXTERNAL", "") }

func (c *line) sasl(mechanism, response string) string {
	text := "="
	if response != "" {
		text = base64.StdEncoding.EncodeToString([]byte(response))
	}
	if c.kind.protocol() == "imap" {
		return c.say("AUTHENTICATE %s %s", mechanism, text)
	}
	return c.say("AUTH %s %s", mechanism, text)
}

func (c *line) idle() {
	c.tag++
	fmt.Fprintf(c.nc, "a%d IDLE\r\n", c.tag)
	for got := c.read(); !strings.HasPrefix(got, "+"); got = c.read() {
		if strings.HasPrefix(got, "(") {
			c.t.Fatal("IDLE:", got)
		}
	}
}

func (c *line) done() {
	fmt.Fprintf(c.nc, "DONE\r\n")
	for got := c.read(); !strings.HasPrefix(got, "a"); got = c.read() {
		if strings.HasPrefix(got, "(") {
			c.t.Fatal("DONE:", got)
		}
	}
}

// A session ends with the password that opened it, and with the time of what it was opened with.
func TestSessionsEndWithWhatOpenedThem(t *testing.T) {
	w := newWorld(t)
	c := w.dial(KindIMAPS, true, w.client)
	c.login(alice, password)
	c.works()
	c.idle()
	_, secret, err := w.identity.AddApp(t.Context(), addr(t, alice), accounts.AppPassword{Name: "brief", Scope: accounts.ScopeReceive, Expires: time.Now().Add(2 * time.Second)}, func(accounts.Credential) [][]byte { return nil })
	must(t, err)
	brief := w.dial(KindIMAP, true, w.client)
	if got := brief.login(alice, secret); !ok(got) {
		t.Fatal(got)
	}
	_, err = w.identity.SetPassword(t.Context(), addr(t, alice), "another good password", nil)
	must(t, err)
	if n := w.desk.EndFallen(addr(t, alice)); n != 1 {
		t.Errorf("%d sessions end", n)
	}
	if told, took := c.ends(); took > time.Second || !strings.Contains(told, "* BYE") {
		t.Errorf("%q after %s", told, took)
	}
	if told, took := brief.ends(); took > 4*time.Second || !strings.Contains(told, "* BYE") {
		t.Errorf("%q after %s", told, took)
	}
	if got := len(w.journal.find("connection-ended")); got != 2 {
		t.Errorf("%d ends are facts", got)
	}
}

// An account has so many sessions to read, which are none of those to send.
func TestReadersOfAnAccountAreBounded(t *testing.T) {
	w := newWorld(t, func(_ *Config, l *signin.Limits) { l.ReadersPerAccount, l.SessionsPerAccount = 2, 1 })
	var open []*line
	for n := range 3 {
		c := w.dial(KindIMAPS, true, w.client)
		if got := c.login(alice, password); ok(got) != (n < 2) || n == 2 && !strings.Contains(got, "[LIMIT]") {
			t.Errorf("session %d: %q", n, got)
		}
		open = append(open, c)
	}
	other := w.dial(KindIMAPS, true, w.client)
	if got := other.login(bob, password); !ok(got) {
		t.Errorf("somebody else: %q", got)
	}
	open[0].say("LOGOUT")
	open[0].ends()
	if got := w.dial(KindIMAPS, true, w.client).login(alice, password); !ok(got) {
		t.Errorf("where one left: %q", got)
	}
	n := 0
	for since, s := range w.desk.Sessions() {
		if n++; s.Door != "imaps" || since.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if n != 3 {
		t.Errorf("%d sessions are listed", n)
	}
}

// A TLS session resumes at the door where it began and at no other.
func TestTicketsOfReadersResumeAtTheirDoorAlone(t *testing.T) {
	w := newWorld(t)
	for _, from := range Kinds() {
		for _, to := range Kinds() {
			cfg := w.client.Clone()
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			resumed := false
			for _, k := range []Kind{from, to} {
				c := w.dial(k, true, cfg)
				c.say("NOOP")
				over, _ := c.nc.(*tls.Conn)
				resumed = over.ConnectionState().DidResume
			}
			if resumed != (from == to) {
				t.Errorf("from %s to %s: %v", from, to, resumed)
			}
		}
	}
}

// What a program says of itself is in the list of sessions and in the trace, in one printable
// line of bounded length, and is told to who watches accounts once, also if it is said late.
func TestProgramsAreKnownByWhatTheySay(t *testing.T) {
	w := newWorld(t)
	c := w.dial(KindIMAPS, true, w.client)
	c.login(alice, password)
	c.say(`ID ("name" "Mail%sder" "version" {9+}`+"\r\n1.0\tbeta\x07"+` "os" "%s")`, "\u00e9", strings.Repeat("x", 500))
	for _, s := range w.desk.Sessions() {
		if !strings.HasPrefix(s.Hello, "Mail") || len(s.Hello) > maxProgram || strings.ContainsAny(s.Hello, "\t\x07") {
			t.Errorf("%q", s.Hello)
		}
	}
	c.say("LOGOUT")
	c.ends()
	if all := w.journal.find("connection-ended"); len(all) != 1 || !strings.HasPrefix(all[0].Hello, "Mail") {
		t.Errorf("%+v", all)
	}
	mute := w.dial(KindIMAP, true, w.client)
	mute.login(alice, password)
	mute.say("LOGOUT")
	mute.ends()
	for begun := time.Now(); len(w.watch.programs()) < 2 && time.Since(begun) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if got := w.watch.programs(); len(got) != 2 || !strings.Contains(got[0], "Mail") || !strings.HasPrefix(got[1], "imap PLAIN TLS") {
		t.Errorf("%q", got)
	}
}

// A balancer's word on who comes is what the trace and the limits go by, and without one nobody
// behind it is answered.
func TestReadersBehindABalancer(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *signin.Limits) {
		c.Balancers, c.Limits.Door.ConnectionsPerNetwork = loopback(), 1
	})
	dial := func(header string) *line {
		c := &line{t: t, kind: KindIMAP}
		raw, err := net.Dial("tcp", w.at[KindIMAP])
		must(t, err)
		t.Cleanup(func() { raw.Close() })
		c.raw, c.nc = raw, raw
		c.r = bufio.NewReader(raw)
		fmt.Fprint(raw, header)
		return c
	}
	c := dial("PROXY TCP4 192.0.2.9 192.0.2.1 4711 143\r\n")
	if got := c.read(); !strings.HasPrefix(got, "* OK") {
		t.Fatal(got)
	}
	if got := c.say("STARTTLS"); !ok(got) {
		t.Fatal(got)
	}
	c.secure(w.client)
	if got := c.login(alice, password); !ok(got) {
		t.Fatal(got)
	}
	if f := w.journal.find("signin-ok"); len(f) != 1 || f[0].Peer.String() != "192.0.2.9" {
		t.Errorf("%+v", f)
	}
	if got := dial("PROXY TCP4 192.0.2.10 192.0.2.1 4711 143\r\n").read(); !strings.HasPrefix(got, "* BYE [UNAVAILABLE] too many") {
		t.Errorf("one too many of a network: %q", got)
	}
	if got := dial("a1 NOOP\r\n").read(); !strings.HasPrefix(got, "(") {
		t.Errorf("without a header: %q", got)
	}
	f := w.await(door.RuleProxyHeader, func(f fact.Fact) bool { return f.Door == KindIMAP.String() })
	if f.Kind != fact.KindRefuse || !f.Peer.IsLoopback() || !f.Reply.IsZero() || !strings.Contains(f.Text, "PROXY header") {
		t.Errorf("nobody can learn why: %+v", f)
	}
}

// A sign-in that the engine refuses before a credential is looked at is in the trace, with its words and nothing that the client sent.
func TestARefusedSignInIsTraced(t *testing.T) {
	w := newWorld(t)
	for k, command := range map[Kind]string{KindIMAP: "LOGIN " + alice + " s3cretWord", KindPOP3: "USER s3cretWord"} {
		w.dial(k, false, nil).say("%s", command)
		f := w.await(RuleProtocol, func(f fact.Fact) bool { return f.Door == k.String() })
		verb, _, _ := strings.Cut(command, " ")
		if f.Kind != fact.KindRefuse || f.Conn == "" || f.Text != verb+": encryption is required to sign in; the credential was not looked at" {
			t.Errorf("%s: %+v", k, f)
		}
	}
	w.broken.Store(true)
	c := w.dial(KindIMAPS, true, w.client)
	if got := c.login(alice, password); ok(got) || !strings.Contains(got, "the mailbox cannot be opened now") {
		t.Errorf("%q", got)
	}
	f := w.await(RuleMailboxUnavailable, func(fact.Fact) bool { return true })
	if f.Kind != fact.KindRefuse || f.Account != alice || f.Door != KindIMAPS.String() || f.Reply.Code != 421 {
		t.Errorf("%+v", f)
	}
}

// Who is told to go is told why by the trace: others needed his place, or what he signed in with gives no right any more.
func TestWhyASessionHadToGo(t *testing.T) {
	for text, want := range map[string]string{makeWay: endCrowded, farewell: imap.EndPolicy} {
		r := &reader{}
		r.ends(text)
		r.ends(makeWay)
		if got := r.why(imap.EndPolicy); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if got := r.why(imap.EndTimeout); got != imap.EndTimeout {
			t.Errorf("%s: it timed out, and %q is told", text, got)
		}
	}
	w := newWorld(t)
	c := w.dial(KindIMAPS, true, w.client)
	if got := c.login(alice, password); !ok(got) {
		t.Fatal(got)
	}
	_, err := w.identity.SetPassword(t.Context(), addr(t, alice), password+" anew", nil)
	must(t, err)
	if n := w.desk.EndFallen(addr(t, alice)); n != 1 {
		t.Errorf("%d sessions end", n)
	}
	f := w.await(fact.RuleConnectionEnded, func(f fact.Fact) bool { return f.Door == KindIMAPS.String() })
	if why, _ := f.Find("standing"); f.Text != imap.EndPolicy || f.Account != alice || why == "" {
		t.Errorf("%+v", f)
	}
}

// Who asks for TLS and then fails at it finds out from the trace at what.
func TestFailedSTARTTLSIsTraced(t *testing.T) {
	w := newWorld(t)
	for k, command := range map[Kind]string{KindIMAP: "STARTTLS", KindPOP3: "STLS"} {
		c := w.dial(k, false, nil)
		if got := c.say("%s", command); !ok(got) {
			t.Fatalf("%s: %q", k, got)
		}
		fmt.Fprint(c.raw, "this is no TLS\r\n")
		f := w.await(fact.RuleConnectionEnded, func(f fact.Fact) bool { return f.Door == k.String() })
		if f.Conn == "" || f.Text != "tls-handshake: "+door.CauseNoTLS {
			t.Errorf("%s: %+v", k, f)
		}
	}
}

// While there is no certificate, connections are turned away, and doors that could never have one
// are not opened.
func TestNoDoorWithoutACertificate(t *testing.T) {
	w := newWorld(t)
	bare := w.config
	bare.TLS = nil
	if _, err := w.doors.Build(bare, KindIMAP); err == nil {
		t.Error("a door without TLS opens")
	}
	bare.Awaiting = true
	w.use(bare)
	raw, err := net.Dial("tcp", w.at[KindIMAP])
	must(t, err)
	defer raw.Close()
	c := &line{t: t, raw: raw, nc: raw}
	c.r = bufio.NewReader(raw)
	if got := c.read(); !strings.HasPrefix(got, "* BYE [UNAVAILABLE] there is no certificate yet") {
		t.Errorf("%q", got)
	}
	for name, spoil := range map[string]func(*Config){
		"no host":   func(c *Config) { c.Hostname = mail.Domain{} },
		"no limits": func(c *Config) { c.Limits.Door = door.Limits{} },
		"no engine": func(c *Config) { c.Limits.IMAP.Messages = 0 },
	} {
		c := w.config
		spoil(&c)
		if _, err := w.doors.Build(c, KindIMAPS); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if _, err := w.doors.Build(w.config, KindUnknown); err == nil {
		t.Error("a door of no kind opens")
	}
}

// Who is turned away, and whose TLS fails before anything is said, finds out from the trace why, and when.
func TestWhoIsNotServedIsTraced(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *signin.Limits) { c.Limits.Door.Connections = 1 })
	seat := w.dial(KindIMAP, false, nil)
	for _, k := range Kinds() {
		c, err := net.Dial("tcp", w.at[k])
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		said, _ := bufio.NewReader(c).ReadString('\n')
		if k.implicit() != (said == "") {
			t.Errorf("%s says %q", k, said)
		}
		must(t, c.Close())
		f := w.await(door.RuleConnectionsCrowded, func(f fact.Fact) bool { return f.Door == k.String() })
		if f.Kind != fact.KindRefuse || !f.Peer.IsLoopback() || f.Reply.Code != 421 {
			t.Errorf("%s: %+v", k, f)
		}
	}
	must(t, seat.raw.Close())
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	for _, k := range []Kind{KindIMAPS, KindPOP3S} {
		for tries := 0; ; tries++ { // until the seat is free
			raw, err := net.Dial("tcp", w.at[k])
			must(t, err)
			if err := tls.Client(raw, old).Handshake(); err == nil {
				t.Error("TLS 1.1 will do")
			}
			must(t, raw.Close())
			if tries > 200 {
				t.Fatal("the seat is not free")
			}
			time.Sleep(20 * time.Millisecond)
			if w.journal.any(fact.RuleConnectionEnded, func(f fact.Fact) bool { return f.Door == k.String() }) {
				break
			}
		}
		f := w.await(fact.RuleConnectionEnded, func(f fact.Fact) bool { return f.Door == k.String() })
		if f.Kind != fact.KindDisconnect || f.Text != "tls-handshake: "+door.CauseVersion || !f.Peer.IsLoopback() {
			t.Errorf("%s: %+v", k, f)
		}
	}
}

// any reports whether there is a fact of a rule that is as wanted.
func (j *journal) any(rule string, wanted func(fact.Fact) bool) bool {
	for _, f := range j.find(rule) {
		if wanted(f) {
			return true
		}
	}
	return false
}

// await returns the fact of a rule that is as wanted, once it is there.
func (w *world) await(rule string, wanted func(fact.Fact) bool) fact.Fact {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, f := range w.journal.find(rule) {
			if wanted(f) {
				return f
			}
		}
	}
	w.t.Fatalf("no fact of %s", rule)
	return fact.Fact{}
}

// A program that calls itself something else all the time is judged, and remembered, as a few.
func TestOneConnectionIsFewPrograms(t *testing.T) {
	w := newWorld(t)
	c := w.dial(KindIMAPS, true, w.client)
	if got := c.login(alice, password); !ok(got) {
		t.Fatal(got)
	}
	for i := range 50 {
		for range 2 {
			if got := c.say(`ID ("name" "program %d")`, i); !ok(got) {
				t.Fatal(got)
			}
		}
	}
	if got := w.watch.programs(); len(got) != mostPrograms || !strings.HasSuffix(got[3], "program 3") {
		t.Errorf("%q", got)
	}
}
