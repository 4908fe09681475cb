package doors_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/access/partner"
	"sallyport/internal/fact"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/operate"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/test/site"
)

// greeting is the first line at a door, after what is said first.
func greeting(t *testing.T, network, at, first string) string {
	t.Helper()
	c, err := net.Dial(network, at)
	site.Must(t, err)
	defer c.Close()
	site.Must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprint(c, first)
	site.Must(t, err)
	line, err := bufio.NewReader(c).ReadString('\n')
	site.Must(t, err)
	return line
}

// Every place that a configuration names is bound, and who is served there is who belongs there;
// a reload adds a door and closes one, and what ends leaves no place open.
func TestEveryDoorAnswers(t *testing.T) {
	site.NoLeaks(t)
	dir, err := os.MkdirTemp("", "doors") // a socket's path is short
	site.Must(t, err)
	defer os.RemoveAll(dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	own, err := user.LookupGroupId(fmt.Sprint(os.Getegid()))
	site.Must(t, err)
	s := site.New(t, nil)
	text := strings.Replace(site.Text, "[listen]", fmt.Sprintf("[listen]\nsendmail = %q", in("s")), 1) + fmt.Sprintf(
		"[authentication]\ncheck = \"off\"\n[sendmail.users]\n%d = \"alice@local.test\"\n[helpers]\nsocket = %q\ngroup = %q\n[checkpassword]\nsocket = %q\ngroup = %q\n", os.Geteuid(), in("h"), own.Name, in("c"), own.Name)
	s.Configure(text)
	n := s.Start()
	s.Populate(n.Node)
	a := n.Addrs()
	for _, at := range []string{a.MX[0], a.Submission[0]} {
		if got := greeting(t, "tcp", at, ""); !strings.HasPrefix(got, "220 mx.local.test") {
			t.Errorf("%s: %q", at, got)
		}
	}
	if got := greeting(t, "tcp", a.IMAP[0], ""); !strings.HasPrefix(got, "* OK") {
		t.Errorf("imap: %q", got)
	}
	if got := greeting(t, "tcp", a.POP3[0], ""); !strings.HasPrefix(got, "+OK") {
		t.Errorf("pop3: %q", got)
	}
	if got := greeting(t, "unix", a.Sendmail, localdoor.HelloSMTP+"\r\n"); a.Sendmail != in("s") || !strings.HasPrefix(got, "220 ") {
		t.Errorf("sendmail: %q", got)
	}
	c := s.SignIn(n, true, "alice@local.test")
	if r := c.Send("alice@local.test", site.Message("one", "alice@local.test", 300), "bob@local.test"); !strings.HasPrefix(r, "250") {
		t.Error(r)
	}
	sockets(t, s, n, in("h"), in("c"))
	unserved(t, s, in("s"))

	s.Write(strings.Replace(text, "pop3 = [\"127.0.0.1:0\"]\n", "", 1))
	s.Reload(n)
	if now := n.Addrs(); len(now.POP3) != 0 || !slices.Equal(now.IMAP, a.IMAP) || !slices.Equal(now.MX, a.MX) {
		t.Errorf("after a reload: %+v", now)
	}
	if nc, err := net.Dial("tcp", a.POP3[0]); err == nil {
		nc.Close()
		t.Error("a door that is gone is still open")
	}
	n.Stopped()
	for network, at := range map[string]string{"tcp": a.MX[0], "unix": in("h")} {
		if nc, err := net.Dial(network, at); err == nil {
			nc.Close()
			t.Errorf("%s is still open", at)
		}
	}
}

// unserved finds out from the trace who came to the sendmail command's socket and was not served, and why.
func unserved(t *testing.T, s *site.Site, path string) {
	t.Helper()
	dial := func(text string) net.Conn {
		nc, err := net.Dial("unix", path)
		site.Must(t, err)
		t.Cleanup(func() { nc.Close() })
		_, err = fmt.Fprint(nc, text)
		site.Must(t, err)
		return nc
	}
	dial("GET / HTTP/1.1\n")
	for range localdoor.DefaultLimits().ConnectionsPerUser {
		dial("")
	}
	c, err := operate.Dial(t.Context(), s.Config.Socket())
	site.Must(t, err)
	me, err := user.Current()
	site.Must(t, err)
	who := fmt.Sprintf("%s (uid %d)", me.Username, os.Geteuid())
	for rule, want := range map[string]string{"connections-crowded": who, "connection-ended": localdoor.EndForeign + ": " + who} {
		found := false
		for until := time.Now().Add(20 * time.Second); !found && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			a, err := c.Trace(t.Context(), operate.TraceQuery{Rules: []string{rule}})
			site.Must(t, err)
			for _, f := range a.Facts() {
				found = found || f.Door == "sendmail" && (f.Text == want || slices.ContainsFunc(f.Evidence, func(p fact.Pair) bool { return p.Value == want }))
			}
			if rule == "connections-crowded" && !found {
				nc, err := net.Dial("unix", path) // one too many
				site.Must(t, err)
				nc.Close()
			}
		}
		if !found {
			t.Errorf("nothing in the trace by the rule %s of %q", rule, want)
		}
	}
}

// sockets asks what the operator's, the helpers' and the partner's socket answer.
func sockets(t *testing.T, s *site.Site, n *site.Running, helpers, partners string) {
	t.Helper()
	dial := func(path string) *operate.Client {
		c, err := operate.Dial(t.Context(), path)
		site.Must(t, err)
		return c
	}
	for _, path := range []string{s.Config.Socket(), helpers} {
		status, err := dial(path).Status(t.Context())
		site.Must(t, err)
		if got := status.Server.Listen; len(got) != 8 || len(got["mx"]) != 1 || len(got["sendmail"]) != 1 || got["imaps"][0] != n.Addrs().IMAPS[0] {
			t.Errorf("%s: %v", path, got)
		}
	}
	asks, err := partnersocket.Dial(t.Context(), partners)
	site.Must(t, err)
	asked := partner.Login{User: "alice@local.test", Password: site.Password, Remote: netip.MustParseAddr("192.0.2.7"), Service: "imap", Mechanism: "PLAIN", Secured: true}
	if a, err := asks.SignIn(t.Context(), asked); err != nil || a.Account != "alice@local.test" {
		t.Errorf("%+v, %v", a, err)
	}
	asked.Password += "x"
	if a, err := asks.SignIn(t.Context(), asked); err != nil || a.Account != "" {
		t.Errorf("with another password: %+v, %v", a, err)
	}
	if _, err := dial(partners).Status(t.Context()); err == nil {
		t.Error("a partner reads the status")
	}
}
