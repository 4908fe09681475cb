package doors_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/access/partner"
	"sallyport/internal/fact"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/local/sendmail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/test/site"
)

// local is a folder whose path is short, as a socket's must be, with the sockets of a server in it.
func local(t *testing.T) (in func(name string) string, keys string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "doors")
	site.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	in = func(name string) string { return filepath.Join(dir, name) }
	own, err := user.LookupGroupId(fmt.Sprint(os.Getegid()))
	site.Must(t, err)
	return in, fmt.Sprintf("[sendmail.users]\n%d = \"alice@local.test\"\n[checkpassword]\nsocket = %q\ngroup = %q\n", os.Geteuid(), in("c"), own.Name)
}

// unchecked is a site without a DNS, with a door for programs of this host.
func unchecked(t *testing.T, sendmail, more string) *site.Site {
	t.Helper()
	s := site.New(t, nil)
	s.Configure(strings.Replace(site.Text, "[listen]", fmt.Sprintf("[listen]\nsendmail = %q", sendmail), 1) + "[authentication]\ncheck = \"off\"\n" + more)
	return s
}

// reader is a mail program.
type reader struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func read(t *testing.T, s *site.Site, n *site.Running) *reader {
	t.Helper()
	c, err := tls.Dial("tcp", n.Addrs().IMAPS[0], s.ClientTLS())
	site.Must(t, err)
	t.Cleanup(func() { c.Close() })
	site.Must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := &reader{t, c, bufio.NewReader(c)}
	_, err = r.in.ReadString('\n')
	site.Must(t, err)
	return r
}

// say gives a command and returns all that is answered.
func (r *reader) say(format string, args ...any) (all string) {
	r.t.Helper()
	_, err := fmt.Fprintf(r.Conn, "a "+format+"\r\n", args...)
	site.Must(r.t, err)
	for {
		line, err := r.in.ReadString('\n')
		site.Must(r.t, err)
		if all += line; strings.HasPrefix(line, "a ") {
			return all
		}
	}
}

// Whatever is told of who came by the doors is told with the time that the server's clock shows.
func TestDoorsGoByTheClock(t *testing.T) {
	const ahead = 48 * time.Hour
	in, keys := local(t)
	s := unchecked(t, in("s"), keys)
	o := s.Options()
	o.Now = func() time.Time { return time.Now().Add(ahead) }
	opened, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	s.Populate(opened)
	n := s.Serve(opened)
	r := read(t, s, n)
	if got := r.say("LOGIN alice@local.test wrong"); !strings.Contains(got, "a NO ") {
		t.Error(got)
	}
	if got := r.say("LOGIN alice@local.test %q", site.Password); !strings.Contains(got, "a OK ") {
		t.Error(got)
	}
	r.say("LOGOUT")
	asks, err := partnersocket.Dial(t.Context(), in("c"))
	site.Must(t, err)
	asked := partner.Login{User: "alice@local.test", Password: "wrong", Remote: netip.MustParseAddr("192.0.2.7"), Service: "imap", Mechanism: "PLAIN", Secured: true}
	if a, err := asks.SignIn(t.Context(), asked); err != nil || a.Account != "" {
		t.Errorf("%+v, %v", a, err)
	}
	asked.Mechanism = "NONE"
	if a, err := asks.SignIn(t.Context(), asked); err != nil || a.Account != "" {
		t.Errorf("%+v, %v", a, err)
	}
	c := s.SignIn(n, true, "alice@local.test")
	if got := c.Send("alice@local.test", site.Message("one", "alice@local.test", 300), "bob@local.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	c.Say("QUIT")
	n.Idle()
	var doors []string
	for _, kind := range []fact.Kind{fact.KindAuth, fact.KindRefuse, fact.KindAccept, fact.KindDisconnect} {
		for _, f := range n.Facts(kind) {
			if doors = append(doors, f.Door); f.At.Before(time.Now().Add(ahead - time.Hour)) {
				t.Errorf("it is told with another time: %+v", f)
			}
		}
	}
	for _, door := range []string{"imaps", "submissions", "checkpassword-imap"} {
		if !slices.Contains(doors, door) {
			t.Errorf("nothing is told of %s, of %q", door, doors)
		}
	}
}

// until reads as far as a line that begins so.
func until(t *testing.T, r *bufio.Reader, prefix string) (all string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		site.Must(t, err)
		if all += line; strings.HasPrefix(line, prefix) {
			return all
		}
	}
}

// What the configuration says of doors is what who comes meets.
func TestDoorsAreThoseOfTheConfiguration(t *testing.T) {
	in, keys := local(t)
	s := site.New(t, nil)
	text := "notice = \"strangers are counted\"\n" + strings.Replace(site.Text, "[listen]", fmt.Sprintf("[listen]\nsendmail = %q", in("s")), 1) + "[authentication]\ncheck = \"off\"\n" + keys +
		"[mailbox]\nquota = \"3MiB\"\n[proxy]\nfrom = [\"127.0.0.1/32\"]\n"
	text = strings.NewReplacer("greet_delay = \"0s\"\n", "greet_delay = \"0s\"\nmessage_size = \"128KiB\"\n", "[auth]\n", "[auth]\nmechanisms = [\"PLAIN\"]\n").Replace(text)
	s.Configure(text)
	n := s.Start()
	s.Populate(n.Node)
	const from = "PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\n"
	come := func(at string) *bufio.ReadWriter {
		t.Helper()
		c, err := net.Dial("tcp", at)
		site.Must(t, err)
		t.Cleanup(func() { c.Close() })
		site.Must(t, c.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(c, from)
		site.Must(t, err)
		return bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	}
	mx := come(n.Addrs().MX[0])
	line, err := mx.ReadString('\n')
	site.Must(t, err)
	if !strings.Contains(line, "strangers are counted") {
		t.Errorf("the greeting is %q", line)
	}
	fmt.Fprint(mx, "EHLO client.test\r\n")
	site.Must(t, mx.Flush())
	if got := until(t, mx.Reader, "250 "); !strings.Contains(got, "SIZE 131072\r\n") {
		t.Errorf("it is answered %q", got)
	}
	fmt.Fprint(mx, "MAIL FROM:<x@far.test>\r\nRCPT TO:<y@elsewhere.test>\r\nQUIT\r\n")
	site.Must(t, mx.Flush())
	until(t, mx.Reader, "221")
	site.Eventually(t, "it is told who that was", func() bool {
		return slices.ContainsFunc(n.Facts(fact.KindRefuse), func(f fact.Fact) bool { return f.Peer == netip.MustParseAddr("198.51.100.7") })
	})
	raw, err := net.Dial("tcp", n.Addrs().Submissions[0])
	site.Must(t, err)
	defer raw.Close()
	site.Must(t, raw.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(raw, from)
	site.Must(t, err)
	conn := tls.Client(raw, s.ClientTLS())
	_, err = io.WriteString(conn, "EHLO client.test\r\n")
	site.Must(t, err)
	if got := until(t, bufio.NewReader(conn), "250 "); !strings.Contains(got, "AUTH PLAIN\r\n") {
		t.Errorf("offered is %q", got)
	}
	raw, err = net.Dial("tcp", n.Addrs().IMAPS[0])
	site.Must(t, err)
	defer raw.Close()
	site.Must(t, raw.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(raw, from)
	site.Must(t, err)
	conn = tls.Client(raw, s.ClientTLS())
	r := &reader{t, conn, bufio.NewReader(conn)}
	if _, err = r.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if got := r.say("LOGIN alice@local.test %q", site.Password); !strings.Contains(got, "a OK ") {
		t.Fatal(got)
	}
	if got := r.say("ID NIL"); !strings.Contains(got, "\"test\"") {
		t.Errorf("the version of the program is not in %q", got)
	}
	if got := r.say("GETQUOTAROOT INBOX"); !strings.Contains(got, "3072") {
		t.Errorf("the quota is not in %q", got)
	}
	if !slices.ContainsFunc(n.Facts(fact.KindAuth), func(f fact.Fact) bool { return f.Door == "imaps" && f.Peer == netip.MustParseAddr("198.51.100.7") }) {
		t.Error("it is not told who read")
	}
}

// A program of this host sees what its user has in the queue, and who has the server has all of it tried again.
func TestProgramsOfThisHostSeeTheQueue(t *testing.T) {
	in, keys := local(t)
	s := unchecked(t, in("s"), keys)
	n := s.Start()
	s.Populate(n.Node)
	s.Unreachable.Store(true)
	c := s.SignIn(n, true, "alice@local.test")
	reply := c.Send("alice@local.test", site.Message("waits", "alice@local.test", 300), "x@remote.test")
	id := site.QueueID(reply)
	if id == "" {
		t.Fatal(reply)
	}
	ask := func(hello string) (all string) {
		site.Must(t, sendmail.Ask(t.Context(), in("s"), hello, func(line []byte) error { all += string(line) + "\n"; return nil }))
		return all
	}
	if got := ask(localdoor.HelloQueue); !strings.Contains(got, id) {
		t.Errorf("%s is not in %q", id, got)
	}
	site.Eventually(t, "it was tried in vain", func() bool { return len(n.Facts(fact.KindOutcome)) > 0 })
	s.Unreachable.Store(false)
	ask(localdoor.HelloRetry)
	n.Idle()
	if s.Sink.Messages() != 1 {
		t.Errorf("%d messages arrived", s.Sink.Messages())
	}
}

// Who may not use an account any more is ended at the server beside us, with the key of its file.
func TestSessionsAtAServerBesideUsAreEnded(t *testing.T) {
	in, keys := local(t)
	at, err := net.Listen("unix", in("k"))
	site.Must(t, err)
	var mu sync.Mutex
	var asked []string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked = append(asked, r.Header.Get("Authorization")+" "+string(body))
		mu.Unlock()
		fmt.Fprint(w, `[["doveadmResponse",[],"sallyport"]]`)
	})}
	go server.Serve(at)
	t.Cleanup(func() { server.Close() })
	site.Must(t, os.WriteFile(in("key"), []byte("a key\n"), 0o600))
	s := unchecked(t, in("s"), keys+fmt.Sprintf("kick = %q\nkick_key_file = %q\n", in("k"), in("key")))
	n := s.Start()
	s.Populate(n.Node)
	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	site.Must(t, err)
	site.Eventually(t, "it is asked", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(asked) > 0
	})
	mu.Lock()
	defer mu.Unlock()
	if want := "X-Dovecot-API " + base64.StdEncoding.EncodeToString([]byte("a key")) + " "; !strings.HasPrefix(asked[0], want) || !strings.Contains(asked[0], "alice@local.test") {
		t.Errorf("asked %q", asked)
	}
}

// That sessions at the server beside us may go on is in the trace, with the time of the clock, also when the server ends meanwhile.
func TestSessionsThatGoOnBesideUsAreAnAlarm(t *testing.T) {
	const ahead = 48 * time.Hour
	in, keys := local(t)
	site.Must(t, os.WriteFile(in("key"), []byte("a key\n"), 0o600))
	s := unchecked(t, in("s"), keys+fmt.Sprintf("kick = %q\nkick_key_file = %q\n", in("nobody"), in("key")))
	s.Log = site.Quiet()
	o := s.Options()
	o.Now = func() time.Time { return time.Now().Add(ahead) }
	opened, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	s.Populate(opened)
	n := s.Serve(opened)
	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	site.Must(t, err)
	n = s.Restart(n)
	var told []fact.Fact
	site.Eventually(t, "it is told", func() bool {
		told = slices.DeleteFunc(n.Facts(fact.KindAlarm), func(f fact.Fact) bool { return f.Rule != partner.RuleKick })
		return len(told) > 0
	})
	if told[0].Account != "alice@local.test" || told[0].At.Before(time.Now().Add(ahead-time.Hour)) {
		t.Errorf("told: %+v", told[0])
	}
}
