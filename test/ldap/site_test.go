package ldap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node"
	"sallyport/internal/node/survey/surroundings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/test/slapd"
)

const settings = `hostname = "mx.local.test"
data = "data"
[listen]
mx = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
[tls]
cert = "tls/server.pem"
key = "tls/server.key"
[domain."local.test"]
deliver = "maildir"
accounts = "ldap"
[ldap.office]
urls = ["ldap://127.0.0.1:PORT"]
ca = "CA"
bind_dn = "cn=reader,dc=local,dc=test"
password_file = "reader"
base = "ou=people,dc=local,dc=test"
aliases = ["description"]
every = "10s"
timeout = "1s"
MORE
[limits]
greet_delay = "0s"
min_free = "1MiB"
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
[authentication]
check = "off"
[hijack]
mode = "off"
`

// site is a server whose people a directory has.
type site struct {
	t     *testing.T
	dir   string
	path  string
	cfg   config.Config
	node  *node.Node
	op    *operate.Operator
	roots *x509.CertPool
	stop  func()
}

// start starts one; change are texts of the settings and what stands in their place.
func start(t *testing.T, d *slapd.Server, change ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), roots: x509.NewCertPool()}
	files := pki.In(filepath.Join(s.dir, "tls"))
	check(t, files.Ensure("ldap test", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	text, err := os.ReadFile(files.CA)
	check(t, err)
	s.roots.AppendCertsFromPEM(text)
	s.path = filepath.Join(s.dir, "sallyport.toml")
	check(t, os.WriteFile(filepath.Join(s.dir, "reader"), []byte(slapd.ReaderSecret+"\n"), 0o600))
	s.write(d, change...)
	s.serve()
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes the settings.
func (s *site) write(d *slapd.Server, change ...string) {
	s.t.Helper()
	text := strings.NewReplacer(change...).Replace(settings)
	text = strings.NewReplacer("PORT", fmt.Sprint(d.Port), `"CA"`, fmt.Sprintf("%q", d.CA), "MORE\n", "").Replace(text)
	check(s.t, os.WriteFile(s.path, []byte(text), 0o600))
}

// serve starts the server on what is there.
func (s *site) serve() {
	s.t.Helper()
	cfg, err := config.Load(s.path)
	check(s.t, err)
	s.node, err = node.Open(s.t.Context(), cfg, node.Options{Version: "test"})
	check(s.t, err)
	check(s.t, s.node.Listen(s.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.node.Serve(ctx) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			s.t.Error(err)
		}
		if err := s.node.Close(); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(func() { s.stop() })
	s.op = s.node.Operator()
}

// reload reads the settings again, which fetches the lists.
func (s *site) reload() {
	s.t.Helper()
	r, err := s.node.Reload(s.t.Context(), "test")
	if err != nil || len(r.Faults) > 0 {
		s.t.Fatalf("%v %+v", err, r.Faults)
	}
}

// until waits for something to become so.
func (s *site) until(what string, so func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it never came to this: %s", what)
		}
	}
}

func (s *site) standing(who string) string {
	a, err := s.op.AccountShow(s.t.Context(), operate.Self(), operate.AccountRef{Address: who})
	if err != nil {
		return ""
	}
	return a.Standing
}

// conn is one session.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (s *site) dial(door string) *conn {
	s.t.Helper()
	var c net.Conn
	var err error
	if a := s.node.Addrs(); door == "mx" {
		c, err = net.Dial("tcp", a.MX[0])
	} else {
		c, err = tls.Dial("tcp", a.Submissions[0], &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test"})
	}
	check(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	k := &conn{c, bufio.NewReader(c)}
	k.read()
	k.say("EHLO client.test")
	return k
}

func (c *conn) read() (reply string) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "(" + err.Error() + ")"
		}
		reply += strings.TrimRight(line, "\r\n")
		if len(line) < 4 || line[3] == ' ' {
			return reply
		}
		reply += "\n"
	}
}

func (c *conn) say(line string) string {
	_, _ = fmt.Fprintf(c, "%s\r\n", line)
	return c.read()
}

// signIn says who somebody is, and returns the answer.
func (s *site) signIn(who, password string) string {
	s.t.Helper()
	return s.dial("submissions").plain(who, password)
}

func (c *conn) plain(who, password string) string {
	return c.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+who+"\x00"+password)))
}

// rcpt asks at the world's door for somebody.
func (s *site) rcpt(who string) string {
	s.t.Helper()
	c := s.dial("mx")
	c.say("MAIL FROM:<somebody@elsewhere.test>")
	return c.say("RCPT TO:<" + who + ">")[:3]
}

// listed reports whether the domain's list is known: until then nobody is refused for good, though who
// is known already gets his mail.
func (s *site) listed() bool {
	return s.rcpt("bob@local.test") == "250" && s.rcpt("xyz@local.test") == "550"
}

func (s *site) expect(what, got, want string) {
	s.t.Helper()
	if !strings.HasPrefix(got, want) {
		s.t.Errorf("%s: %q instead of %s", what, got, want)
	}
}

func people() string {
	return slapd.Person("alice", "mail: alice@local.test", "description: al@local.test", "description: postmaster@local.test") +
		slapd.Person("bob", "mail: bob@local.test")
}

// People of a directory sign in, send as what is theirs, and get mail; whom it does not have is
// nobody. What is ours of an account holds whatever the directory says.
func TestAccountsOfADirectory(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d)
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" && s.listed() })
	c := s.dial("submissions")
	if hello := c.say("EHLO again"); strings.Contains(hello, "SCRAM") || !strings.Contains(hello, "PLAIN LOGIN") {
		t.Errorf("offered: %s", hello)
	}
	s.expect("right", c.plain("alice@local.test", right), "235")
	s.expect("her address", c.say("MAIL FROM:<alice@local.test>"), "250")
	c.say("RSET")
	s.expect("her alias", c.say("MAIL FROM:<al@local.test>"), "250")
	c.say("RSET")
	s.expect("a role is nobody's by this way", c.say("MAIL FROM:<postmaster@local.test>"), "553")
	s.expect("bob's", c.say("MAIL FROM:<bob@local.test>"), "553")
	wrongly := s.signIn("alice@local.test", wrong)
	for _, who := range []string{"nobody@local.test", "al@local.test", "postmaster@local.test", "ALICE@local.test "} {
		if got := s.signIn(who, right); got != wrongly {
			t.Errorf("%s tells itself: %q, %q", who, got, wrongly)
		}
	}
	for who, want := range map[string]string{"alice@local.test": "250", "al@local.test": "250", "bob@local.test": "250", "nobody@local.test": "550", "postmaster@local.test": "250"} {
		s.expect(who, s.rcpt(who), want)
	}
	// The printer is ours; the directory's word for it is not taken.
	_, err := s.op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "printer@local.test", Password: "a password of the printer", Role: "person"})
	check(t, err)
	d.Set("uid=alice,"+slapd.People, "description", "al@local.test", "printer@local.test", "scanner@local.test")
	s.reload()
	s.until("alice has another address", func() bool { return s.rcpt("scanner@local.test") == "250" })
	st, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
	check(t, err)
	if len(st.NotTheirs) != 1 || st.NotTheirs[0] != "printer@local.test of alice@local.test" {
		t.Errorf("%v", st.NotTheirs)
	}
	s.expect("the printer", s.signIn("printer@local.test", "a password of the printer"), "235")
	c = s.dial("submissions")
	c.plain("alice@local.test", right)
	s.expect("the printer's is not hers", c.say("MAIL FROM:<printer@local.test>"), "553")
	// Frozen, she is out, here and now; whatever her directory says.
	_, err = s.op.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "misuse"})
	check(t, err)
	if got := c.say("MAIL FROM:<alice@local.test>"); strings.HasPrefix(got, "250") {
		t.Errorf("her session goes on: %s", got)
	}
	s.expect("frozen", s.signIn("alice@local.test", right), "535")
	s.expect("frozen, she receives", s.rcpt("alice@local.test"), "250")
	_, err = s.op.AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	check(t, err)
	s.expect("thawed", s.signIn("alice@local.test", right), "235")
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send"})
	check(t, err)
	s.expect("app password", s.signIn("alice@local.test", app.Password), "235")
	if _, err := s.op.AccountPassword(t.Context(), operate.Self(), operate.AccountPassword{Address: "alice@local.test", Password: "a password of ours"}); err == nil {
		t.Error("a password is set here for an account of the directory")
	}
	_, err = s.op.AccountPassword(t.Context(), operate.Self(), operate.AccountPassword{Address: "alice@local.test", Elsewhere: true})
	check(t, err)
	shown, err := s.op.AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	check(t, err)
	if shown.Directory != "office" || shown.DN != "uid=alice,"+slapd.People {
		t.Errorf("%+v", shown)
	}
	// A new person and one who left, at the next list.
	d.Add(slapd.Person("carol", "mail: carol@local.test"))
	d.Remove("uid=bob," + slapd.People)
	s.reload()
	s.until("bob is gone", func() bool { return s.rcpt("bob@local.test") == "550" })
	s.expect("carol", s.signIn("carol@local.test", right), "235")
	s.expect("bob", s.signIn("bob@local.test", right), "535")
}

// While the directory is away nobody is refused for good, nobody is let in by guess, and nobody
// learns who exists; app passwords work. After a start too.
func TestADirectoryAwayFromAServer(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d, "[auth]\n", "[auth]\nguesses = 4\n")
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" && s.listed() })
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send"})
	check(t, err)
	away := func(how string) {
		t.Helper()
		for _, who := range []string{"alice@local.test", "alice@local.test", "alice@local.test", "alice@local.test", "alice@local.test", "nobody@local.test"} {
			s.expect(how+" "+who, s.signIn(who, wrong+how), "454 4.7.0 temporary authentication failure")
		}
		s.expect(how, s.signIn("bob@local.test", right), "454")
		s.expect(how+" app", s.signIn("alice@local.test", app.Password), "235")
		for who, want := range map[string]string{"alice@local.test": "250", "nobody@local.test": "550"} {
			s.expect(how+" "+who, s.rcpt(who), want)
		}
	}
	d.Freeze()
	away("frozen")
	d.Thaw()
	s.until("it answers again", func() bool { return strings.HasPrefix(s.signIn("alice@local.test", right), "235") })
	s.until("no guess was counted", func() bool { return strings.HasPrefix(s.signIn("alice@local.test", wrong), "535") })
	d.Stop()
	s.reload()
	s.until("it is told", func() bool {
		st, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
		return err == nil && len(st.Directories) == 1 && st.Directories[0].Fault != ""
	})
	away("stopped")
	s.stop()
	s.serve()
	away("stopped, started")
	d.Run()
	s.reload()
	s.until("it is back", func() bool { return strings.HasPrefix(s.signIn("bob@local.test", right), "235") })
}

// Until a directory was heard once, nobody knows who exists.
func TestADirectoryNeverHeard(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	d.Stop()
	s := start(t, d, `MORE`, "[alias]\n\"team@local.test\" = [\"alice@local.test\", \"bob@local.test\"]")
	for who, want := range map[string]string{"alice@local.test": "451", "nobody@local.test": "451", "team@local.test": "451", "postmaster@local.test": "250"} {
		s.expect(who, s.rcpt(who), want)
	}
	s.expect("a sign-in", s.signIn("alice@local.test", right), "454")
	d.Run()
	s.reload()
	s.until("it is heard", func() bool { return s.rcpt("alice@local.test") == "250" })
	s.until("nobody is nobody", func() bool { return s.rcpt("nobody@local.test") == "550" })
	s.expect("the team", s.rcpt("team@local.test"), "250")
}

// What a password policy says is told to whoever has the password, and counts as no guess.
func TestPasswordPolicyAtTheDoor(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Policy: "pwdMaxAge: 2000000\npwdMustChange: TRUE\npwdGraceAuthNLimit: 1\npwdLockout: TRUE\npwdMaxFailure: 3",
		Entries: people() + slapd.Person("reset", "mail: reset@local.test") + slapd.Person("old", "mail: old@local.test", "pwdChangedTime: 20200101000000Z")})
	d.Set("uid=reset,"+slapd.People, "pwdReset", "TRUE")
	s := start(t, d, "[auth]\n", "[auth]\nguesses = 3\n")
	s.until("alice is there", func() bool { return s.standing("old@local.test") == "active" })
	for range 4 {
		s.expect("must change", s.signIn("reset@local.test", right), "535 5.7.8 your password has to be changed first")
	}
	s.expect("must change, wrong", s.signIn("reset@local.test", wrong), "535 5.7.8 user name or password not valid")
	s.expect("in grace", s.signIn("old@local.test", right), "235")
	s.expect("in grace, remembered", s.signIn("old@local.test", right), "235")
	_, err := s.op.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "old@local.test", Reason: "so that it is forgotten"})
	check(t, err)
	_, err = s.op.AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "old@local.test"})
	check(t, err)
	s.expect("expired", s.signIn("old@local.test", right), "535 5.7.8 your password has to be changed first")
	// The same wrong password of a device does not lock its owner out of the directory.
	for range 4 {
		s.expect("wrong", s.signIn("alice@local.test", wrong), "535")
	}
	s.expect("right", s.signIn("alice@local.test", right), "235")
}

// Groups say who has a mailbox and who sends; when a directory tells of no group any more, nothing
// is taken from anybody.
func TestGroupsOfADirectory(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people() + slapd.Person("carol", "mail: carol@local.test")})
	d.Add(slapd.Group("mail", "alice", "bob"))
	d.Add(slapd.Group("senders", "alice"))
	s := start(t, d, "MORE", "senders = [\""+slapd.GroupDN("senders")+"\"]\nreceivers = [\""+strings.ToUpper(slapd.GroupDN("mail"))+"\"]\n")
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" && s.listed() })
	as := func() {
		t.Helper()
		s.expect("carol has no mailbox", s.rcpt("carol@local.test"), "550")
		s.expect("carol", s.signIn("carol@local.test", right), "535")
		s.expect("bob has one", s.rcpt("bob@local.test"), "250")
		s.expect("bob", s.signIn("bob@local.test", right), "535")
		s.expect("alice", s.signIn("alice@local.test", right), "235")
	}
	as()
	d.Remove(slapd.GroupDN("mail")) // with it goes what entries know of it
	d.Remove(slapd.GroupDN("senders"))
	s.reload()
	s.until("it is told", func() bool {
		st, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
		return err == nil && strings.Contains(st.Directories[0].Fault, "nobody is of the group")
	})
	as()
	d.Add(slapd.Group("mail", "bob"))
	d.Add(slapd.Group("senders", "bob"))
	s.reload()
	s.until("bob sends", func() bool { return strings.HasPrefix(s.signIn("bob@local.test", right), "235") })
	s.expect("alice has left both groups", s.rcpt("alice@local.test"), "550")
	s.expect("alice", s.signIn("alice@local.test", right), "535")
}

// An account that is ours and in the directory too is neither's until it is in one place.
func TestAnAccountInTwoPlaces(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d)
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" })
	_, err := s.op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "dora@local.test", Password: "a password of ours", Role: "person"})
	check(t, err)
	if _, err := s.op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "alice@local.test", Password: "a password of ours", Role: "person"}); err == nil {
		t.Error("alice is made a second time")
	}
	s.expect("ours", s.signIn("dora@local.test", "a password of ours"), "235")
	d.Add(slapd.Person("dora", "mail: dora@local.test"))
	s.reload()
	s.until("she is disputed", func() bool { return s.standing("dora@local.test") == "disputed" })
	s.expect("ours", s.signIn("dora@local.test", "a password of ours"), "535")
	s.expect("theirs", s.signIn("dora@local.test", right), "535")
	s.expect("mail for her", s.rcpt("dora@local.test"), "250")
	st, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
	check(t, err)
	if len(st.Directories[0].Disputed) != 1 {
		t.Errorf("%+v", st.Directories[0])
	}
	if _, err := s.op.AccountRemove(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"}); err == nil {
		t.Error("an account that its directory lists is removed, and would come back without its freeze")
	}
	_, err = s.op.AccountRemove(t.Context(), operate.Self(), operate.AccountRef{Address: "dora@local.test"})
	check(t, err)
	s.reload()
	s.until("she is the directory's", func() bool { return strings.HasPrefix(s.signIn("dora@local.test", right), "235") })
}

// A flood of names that the directory lacks asks it nothing, and honest people sign in meanwhile.
func TestAFloodOfNames(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Global: "loglevel none", Entries: people()})
	s := start(t, d, "[auth]\n", "[auth]\nnetwork_guesses = 100000\ntotal_guesses = 1000000\nguesses = 1000\n")
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" })
	s.expect("alice", s.signIn("alice@local.test", right), "235") // known from here now
	flood, end := context.WithCancel(t.Context())
	done := make(chan int, 8)
	for n := range 8 {
		go func() {
			tried := 0
			defer func() { done <- tried }()
			for ; flood.Err() == nil; tried++ {
				s.signIn(fmt.Sprintf("nobody%d-%d@local.test", n, tried), wrong)
			}
		}()
	}
	var slowest time.Duration
	for n := range 8 {
		began := time.Now()
		s.expect("bob", s.signIn("bob@local.test", right), "235")
		s.expect("alice", s.signIn("alice@local.test", fmt.Sprint(wrong, n)), "535")
		slowest = max(slowest, time.Since(began))
	}
	end()
	tried := 0
	for range 8 {
		tried += <-done
	}
	binds := d.Binds()
	t.Logf("%d names tried, %d binds in all, the slowest pair of honest sign-ins took %v", tried, binds, slowest)
	if tried < 50 || binds > 100 {
		t.Errorf("%d names tried, %d binds", tried, binds)
	}
}

// A list is fetched every so often, without anybody asking.
func TestListsAreFetchedByThemselves(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d)
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" })
	d.Add(slapd.Person("carol", "mail: carol@local.test"))
	s.until("carol is there", func() bool { return s.standing("carol@local.test") == "active" })
}

// Recipients of a server behind us are those that the directory lists: others are refused at RCPT,
// and while there is no list nobody is refused for good. The list outlives the directory and a start.
func TestRecipientsOfADirectory(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t,
		slapd.Options{Entries: slapd.Person("alice", "mail: alice@behind.test", "mail: second@behind.test", "mail: alice@other.test", "description: smtp:al@behind.test", "description: SIP:sip@behind.test")})
	d.Stop()
	s := start(t, d, "accounts = \"ldap\"\n", "", "MORE", "[domain.\"behind.test\"]\ndeliver = \"lmtp://127.0.0.1:1\"\nrecipients = \"ldap\"\n")
	s.expect("never listed", s.rcpt("alice@behind.test"), "451")
	s.expect("never listed", s.rcpt("nobody@behind.test"), "451")
	d.Run()
	s.reload()
	as := func() {
		t.Helper()
		s.until("alice is listed", func() bool { return s.rcpt("alice@behind.test") == "250" })
		for who, want := range map[string]string{"ALICE@behind.test": "250", "second@behind.test": "250", "al@behind.test": "250", "sip@behind.test": "550", "nobody@behind.test": "550", "alice@other.test": "550", "postmaster@behind.test": "250", "al%nobody@behind.test": "550"} {
			s.expect(who, s.rcpt(who), want)
		}
	}
	as()
	s.expect("they have no accounts", s.signIn("alice@behind.test", right), "535")
	d.Stop()
	s.reload()
	as()
	s.stop()
	s.serve()
	as()
}

// The doctor names the step that fails, and what is unclear.
func TestTheDoctorLooksAtADirectory(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people() + slapd.Person("dave", "mail: same@local.test") + slapd.Person("erin", "mail: same@local.test")})
	s := start(t, d)
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" })
	findings := func(change ...string) (text string) {
		t.Helper()
		s.write(d, change...)
		cfg, err := config.Load(s.path)
		check(t, err)
		st, err := s.op.Status(t.Context(), operate.Self(), struct{}{})
		check(t, err)
		facts := surroundings.Gather(t.Context(), cfg, surroundings.Options{
			Logger: slog.New(slog.DiscardHandler), Directories: st.Directories,
			Queue: doctor.QueueFacts{Known: true}, Server: doctor.ServerFacts{Running: true},
		})
		for _, f := range doctor.Examine(facts) {
			if f.Check == "directory" {
				text += f.State.String() + " " + f.Subject + ": " + f.What + "\n"
			}
		}
		return text
	}
	for _, c := range []struct{ change, to, want string }{
		{"", "", "answers, and has people"},
		{"", "", "not clear whose these are: same@local.test"},
		{"cn=reader", "cn=writer", "bind fails: "},
		{"base = \"ou=people", "base = \"ou=nowhere", "base fails: "},
		{"every = ", "filter = \"(objectClass=device)\"\nevery = ", "no entry below the base"},
		{"ldap://127.0.0.1", "ldap://localhost", "TLS fails: "},
		{"PORT", "1", "connect fails: "},
	} {
		change := []string{}
		if c.change != "" {
			change = []string{c.change, c.to}
		}
		if got := findings(change...); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\nwithout %q", c.to, got, c.want)
		}
	}
}
