package node_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/ways"
	"sallyport/test/site"
)

// Row K18: a faulty configuration changes nothing, and every fault is told with its
// place.
func TestAFaultyReloadChangesNothing(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	s.Log = site.Quiet()
	n := s.Start()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	site.Must(t, err)
	defer busy.Close()
	also, err := net.Listen("tcp", "127.0.0.1:0")
	site.Must(t, err)
	defer also.Close()
	taken, other := busy.Addr().String(), also.Addr().String()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"syntax":    {site.Text + "\n[limits\n", []string{"sallyport.toml:40:"}},
		"two keys":  {strings.Replace(site.Text, "greet_delay = \"0s\"", "greet_delay = 5\nbogus = 1", 1), []string{"sallyport.toml:28:", "sallyport.toml:29:"}},
		"a circle":  {strings.Replace(site.Text, "[alias]", "[alias]\n\"a@local.test\" = [\"b@local.test\"]\n\"b@local.test\" = [\"a@local.test\"]", 1), []string{"sallyport.toml:21:"}},
		"address":   {strings.Replace(site.Text, "mx = [\"127.0.0.1:0\"]", "mx = [\""+taken+"\"]", 1), []string{"sallyport.toml:5:7: listen.mx[0]: "}},
		"no file":   {strings.Replace(site.Text, "tls/server.pem", "tls/none.pem", 1), []string{"sallyport.toml:14:"}},
		"two rooms": {strings.NewReplacer("mx = [\"127.0.0.1:0\"]", "mx = [\"127.0.0.9:0\", \""+taken+"\"]", "submission = [\"127.0.0.1:0\"]", "submission = [\""+other+"\"]").Replace(site.Text), []string{"sallyport.toml:5:22: listen.mx[1]", "sallyport.toml:6:15: listen.submission[0]"}},
	} {
		s.Write(c.text)
		answer, err := n.Reload(t.Context(), "test")
		site.Must(t, err)
		if len(answer.Faults) != len(c.want) {
			t.Errorf("%s: %d faults, want %d: %v", name, len(answer.Faults), len(c.want), answer.Faults)
			continue
		}
		for i, want := range c.want {
			if line := answer.Faults[i].Line(); !strings.Contains(line, want) {
				t.Errorf("%s: %q, want %q", name, line, want)
			}
		}
		if answer.Generation != 1 {
			t.Errorf("%s: another configuration is in force", name)
		}
	}
	site.Must(t, os.Remove(filepath.Join(s.Dir, "sallyport.toml")))
	if answer, err := n.Reload(t.Context(), "test"); err != nil || len(answer.Faults) != 1 {
		t.Errorf("without a file: %v, %v", answer, err)
	}
	site.Connect(t, n.Addrs().MX[0]).OK("250", "EHLO client.test")
	if facts := n.Facts(fact.KindReload); len(facts) != 7 || facts[0].Rule != "reload-refused" || !strings.Contains(facts[0].Line()+facts[0].Evidence[1].Value, "sallyport.toml:") {
		t.Errorf("the trace holds %v", facts)
	}
}

// Row C39: a transaction sees one configuration, although its domain is removed while
// it runs; the next one on the same connection sees the new one.
func TestATransactionKeepsItsConfiguration(t *testing.T) {
	site.NoLeaks(t)
	two := strings.Replace(site.Text, "[alias]", "[domain.\"second.test\"]\ndeliver = \"maildir\"\n\n[alias]\n\"x@second.test\" = [\"bob@local.test\"]", 1)
	s := site.New(t, vfs.NewMem())
	s.Configure(two)
	n := s.Start()
	s.Populate(n.Node)
	c := site.Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	c.OK("250", "MAIL FROM:<eve@elsewhere.test>")
	s.Write(site.Text)
	s.Reload(n)
	c.OK("250", "RCPT TO:<x@second.test>")
	c.OK("354", "DATA")
	// And once more in the middle of the message.
	s.Write(strings.Replace(site.Text, "[limits]", "[limits]\nheader_fields = 50", 1))
	s.Reload(n)
	stuffed := strings.ReplaceAll("\r\n"+site.Message("kept", "eve@elsewhere.test", 3000), "\r\n.", "\r\n..")[2:]
	c.OK("250 2.0.0", "%s.", stuffed)
	c.OK("250", "MAIL FROM:<eve@elsewhere.test>")
	c.OK("550", "RCPT TO:<x@second.test>")
	c.OK("250", "RCPT TO:<bob@local.test>")
	n.Idle()
	found, err := site.BoxOf(s.FS, s.Config.Maildir.Root, "bob")
	site.Must(t, err)
	if len(found["kept"]) != 1 {
		t.Errorf("%d copies of the message", len(found["kept"]))
	}
}

// Sessions outlive their listener, and new ones find the new listener.
func TestListenersComeAndGo(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	n := s.Start()
	s.Populate(n.Node)
	old := n.Addrs().MX[0]
	c := site.Connect(t, old)
	c.OK("250", "EHLO client.test")
	s.Write(strings.Replace(site.Text, "mx = [\"127.0.0.1:0\"]", "mx = [\"127.0.0.2:0\"]", 1))
	s.Reload(n)
	at := n.Addrs().MX
	if len(at) != 1 || !strings.HasPrefix(at[0], "127.0.0.2:") {
		t.Fatalf("mx is on %v", at)
	}
	if r := c.Send("eve@elsewhere.test", site.Message("old", "eve@elsewhere.test", 100), "bob@local.test"); !strings.HasPrefix(r, "250 2.0.0") {
		t.Errorf("on the former listener: %q", r)
	}
	site.Connect(t, at[0]).OK("250", "EHLO client.test")
	if nc, err := net.Dial("tcp", old); err == nil {
		nc.Close()
		t.Error("the former listener is still open")
	}
	c.OK("221", "QUIT")
	n.Idle()
}

// A new certificate is presented to new connections; sessions keep theirs, and a
// sign-in is bound to the one that its connection saw.
func TestANewCertificate(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	n := s.Start()
	tickets := tls.NewLRUClientSessionCache(1)
	leaf := func() (presented string, resumed bool) {
		c, err := tls.Dial("tcp", n.Addrs().Submissions[0], &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tickets})
		site.Must(t, err)
		defer c.Close()
		_, err = c.Read(make([]byte, 1)) // a ticket comes before the greeting
		site.Must(t, err)
		return string(c.ConnectionState().PeerCertificates[0].Raw), c.ConnectionState().DidResume
	}
	before, _ := leaf()
	s.Reload(n)
	if _, resumed := leaf(); !resumed {
		t.Error("a reload without a change drops the tickets of clients")
	}
	s.Certificate("other")
	s.Write(strings.ReplaceAll(site.Text, "\"tls/server.", "\"other/server."))
	s.Reload(n)
	if after, resumed := leaf(); after == before || resumed {
		t.Error("the former certificate is still presented")
	}
}

// Files that change are read again without a reload; a pair that is broken leaves the
// former one in force. A session that began before keeps its certificate, also for the
// channel binding of a sign-in.
func TestACertificateIsReadAgain(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	s.Log = site.Quiet()
	n := s.Start()
	before := n.Leaf()
	held := site.ConnectTLS(t, n.Addrs().Submissions[0], s.ClientTLS())
	certFile, keyFile := n.InForce().TLS.Cert, n.InForce().TLS.Key
	site.Must(t, os.WriteFile(certFile, []byte("half a file"), 0o600))
	fault := n.Reread(t.Context(), "")
	if fault == "" || n.Leaf() != before {
		t.Fatalf("a broken certificate: %q", fault)
	}
	if again := n.Reread(t.Context(), fault); again != fault {
		t.Errorf("and again: %q", again)
	}
	other := s.Certificate("other")
	for from, to := range map[string]string{other.Cert: certFile, other.Key: keyFile} {
		text, err := os.ReadFile(from)
		site.Must(t, err)
		site.Must(t, os.WriteFile(to, text, 0o600))
	}
	if fault := n.Reread(t.Context(), fault); fault != "" || n.Leaf().Equal(before) {
		t.Fatalf("the new certificate is not in force: %q", fault)
	}
	for _, at := range []string{n.Addrs().Submissions[0], n.Addrs().IMAPS[0], n.Addrs().POP3S[0]} {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
		site.Must(t, err)
		if !c.ConnectionState().PeerCertificates[0].Equal(n.Leaf()) {
			t.Error("a new connection sees another certificate at", at)
		}
		site.Must(t, c.Close())
	}
	held.OK("250", "EHLO client.test")
	var rules []string
	for _, f := range n.Facts(fact.KindReload) {
		rules = append(rules, f.Rule)
	}
	if !slices.Contains(rules, "certificate-refused") || !slices.Contains(rules, "certificate-renewed") {
		t.Errorf("the trace holds %v", rules)
	}
}

func parsed(t *testing.T, address string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(address, mail.ASCII)
	site.Must(t, err)
	return a
}

// Targets that stay the same keep their connections and what they learnt.
func TestTargetsOutliveAReload(t *testing.T) {
	s := site.New(t, vfs.NewMem())
	n := s.Start()
	first := n.Ways()
	s.Write(strings.Replace(site.Text, "[alias]", "[alias]\n\"new@local.test\" = [\"bob@local.test\"]", 1))
	s.Reload(n)
	second := n.Ways()
	for _, known := range n.Routes() {
		at := func(w *ways.Ways) nexthop.Target {
			return ways.Current(func() *ways.Ways { return w }).Route(known)
		}
		if _, ok := at(first).(*named.Target); !ok || at(first) != at(second) {
			t.Errorf("the target of %v was made again", known)
		}
	}
	if first.Exchangers() != second.Exchangers() {
		t.Error("the mail exchangers were made again")
	}
	s.Write(strings.Replace(site.Text, "2626", "2727", 1) + "\n[mx]\ndelivery = \"off\"\n")
	s.Reload(n)
	if _, ok := ways.Current(n.Ways).Exchanger(parsed(t, "x@elsewhere.test")); ok {
		t.Error("mail exchangers are used although they are switched off")
	}
}
