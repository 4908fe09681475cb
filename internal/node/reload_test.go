package node

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/ways"
)

// write replaces the configuration file, and nothing else.
func (s *site) write(text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, "sallyport.toml"), []byte(unwatched(text)), 0o600))
}

// reload reloads a configuration that is right.
func (s *site) reload(n *running) {
	s.t.Helper()
	answer, err := n.Reload(s.t.Context(), "test")
	must(s.t, err)
	for _, f := range answer.Faults {
		s.t.Fatalf("not reloaded: %s\n%s", f.Line(), f.Excerpt)
	}
}

// certificate makes a certificate of another CA in a folder of the site.
func (s *site) certificate(dir string) pki.Files {
	s.t.Helper()
	files := pki.In(filepath.Join(s.dir, dir))
	must(s.t, files.Ensure(dir, pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	return files
}

// Row K18: a faulty configuration changes nothing, and every fault is told with its
// place.
func TestAFaultyReloadChangesNothing(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.log = quiet()
	n := s.start()
	before := n.now()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	also, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer also.Close()
	taken, other := busy.Addr().String(), also.Addr().String()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"syntax":    {siteText + "\n[limits\n", []string{"sallyport.toml:40:"}},
		"two keys":  {strings.Replace(siteText, "greet_delay = \"0s\"", "greet_delay = 5\nbogus = 1", 1), []string{"sallyport.toml:28:", "sallyport.toml:29:"}},
		"a circle":  {strings.Replace(siteText, "[alias]", "[alias]\n\"a@local.test\" = [\"b@local.test\"]\n\"b@local.test\" = [\"a@local.test\"]", 1), []string{"sallyport.toml:21:"}},
		"address":   {strings.Replace(siteText, "mx = [\"127.0.0.1:0\"]", "mx = [\""+taken+"\"]", 1), []string{"sallyport.toml:5:7: listen.mx[0]: "}},
		"no file":   {strings.Replace(siteText, "tls/server.pem", "tls/none.pem", 1), []string{"sallyport.toml:14:"}},
		"two rooms": {strings.NewReplacer("mx = [\"127.0.0.1:0\"]", "mx = [\"127.0.0.9:0\", \""+taken+"\"]", "submission = [\"127.0.0.1:0\"]", "submission = [\""+other+"\"]").Replace(siteText), []string{"sallyport.toml:5:22: listen.mx[1]", "sallyport.toml:6:15: listen.submission[0]"}},
	} {
		s.write(c.text)
		answer, err := n.Reload(t.Context(), "test")
		must(t, err)
		if len(answer.Faults) != len(c.want) {
			t.Errorf("%s: %d faults, want %d: %v", name, len(answer.Faults), len(c.want), answer.Faults)
			continue
		}
		for i, want := range c.want {
			if line := answer.Faults[i].Line(); !strings.Contains(line, want) {
				t.Errorf("%s: %q, want %q", name, line, want)
			}
		}
		if n.now() != before || answer.Generation != 1 {
			t.Errorf("%s: another configuration is in force", name)
		}
	}
	must(t, os.Remove(filepath.Join(s.dir, "sallyport.toml")))
	if answer, err := n.Reload(t.Context(), "test"); err != nil || len(answer.Faults) != 1 {
		t.Errorf("without a file: %v, %v", answer, err)
	}
	connect(t, n.Addrs().MX[0]).ok("250", "EHLO client.test")
	if facts := n.facts(fact.KindReload); len(facts) != 7 || facts[0].Rule != "reload-refused" || !strings.Contains(facts[0].Line()+facts[0].Evidence[1].Value, "sallyport.toml:") {
		t.Errorf("the trace holds %v", facts)
	}
}

// facts returns the facts of a kind, in their order.
func (r *running) facts(kind fact.Kind) (all []fact.Fact) {
	r.t.Helper()
	must(r.t, r.data.Trace.Sync(r.t.Context()))
	must(r.t, r.data.Store.Facts(r.t.Context(), 1, r.data.Store.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		if err == nil && f.Kind == kind {
			all = append(all, f)
		}
		return true, err
	}))
	return all
}

// Row C39: a transaction sees one configuration, although its domain is removed while
// it runs; the next one on the same connection sees the new one.
func TestATransactionKeepsItsConfiguration(t *testing.T) {
	noLeaks(t)
	two := strings.Replace(siteText, "[alias]", "[domain.\"second.test\"]\ndeliver = \"maildir\"\n\n[alias]\n\"x@second.test\" = [\"bob@local.test\"]", 1)
	s := newSite(t, vfs.NewMem())
	s.configure(two)
	n := s.start()
	s.populate(n.Node)
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	c.ok("250", "MAIL FROM:<eve@elsewhere.test>")
	s.write(siteText)
	s.reload(n)
	c.ok("250", "RCPT TO:<x@second.test>")
	c.ok("354", "DATA")
	// And once more in the middle of the message.
	s.write(strings.Replace(siteText, "[limits]", "[limits]\nheader_fields = 50", 1))
	s.reload(n)
	stuffed := strings.ReplaceAll("\r\n"+message("kept", "eve@elsewhere.test", 3000), "\r\n.", "\r\n..")[2:]
	c.ok("250 2.0.0", "%s.", stuffed)
	c.ok("250", "MAIL FROM:<eve@elsewhere.test>")
	c.ok("550", "RCPT TO:<x@second.test>")
	c.ok("250", "RCPT TO:<bob@local.test>")
	n.idle()
	found, err := boxOf(s.fs, s.cfg.Maildir.Root, "bob")
	must(t, err)
	if len(found["kept"]) != 1 {
		t.Errorf("%d copies of the message", len(found["kept"]))
	}
}

// Sessions outlive their listener, and new ones find the new listener.
func TestListenersComeAndGo(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	n := s.start()
	s.populate(n.Node)
	old := n.Addrs().MX[0]
	c := connect(t, old)
	c.ok("250", "EHLO client.test")
	s.write(strings.Replace(siteText, "mx = [\"127.0.0.1:0\"]", "mx = [\"127.0.0.2:0\"]", 1))
	s.reload(n)
	at := n.Addrs().MX
	if len(at) != 1 || !strings.HasPrefix(at[0], "127.0.0.2:") {
		t.Fatalf("mx is on %v", at)
	}
	if r := c.send("eve@elsewhere.test", message("old", "eve@elsewhere.test", 100), "bob@local.test"); !strings.HasPrefix(r, "250 2.0.0") {
		t.Errorf("on the former listener: %q", r)
	}
	connect(t, at[0]).ok("250", "EHLO client.test")
	if nc, err := net.Dial("tcp", old); err == nil {
		nc.Close()
		t.Error("the former listener is still open")
	}
	c.ok("221", "QUIT")
	n.idle()
}

// A new certificate is presented to new connections; sessions keep theirs, and a
// sign-in is bound to the one that its connection saw.
func TestANewCertificate(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	n := s.start()
	leaf := func() string {
		c, err := tls.Dial("tcp", n.Addrs().Submissions[0], &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		defer c.Close()
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	before, config := leaf(), n.now().tls
	s.reload(n)
	if n.now().tls != config {
		t.Error("a reload without a change drops the tickets of clients")
	}
	s.certificate("other")
	s.write(strings.ReplaceAll(siteText, "\"tls/server.", "\"other/server."))
	s.reload(n)
	if leaf() == before {
		t.Error("the former certificate is still presented")
	}
}

// Files that change are read again without a reload; a pair that is broken leaves the
// former one in force. A session that began before keeps its certificate, also for the
// channel binding of a sign-in.
func TestACertificateIsReadAgain(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.log = quiet()
	n := s.start()
	before := n.leaf()
	held := connectTLS(t, n.Addrs().Submissions[0], s.clientTLS())
	certFile, keyFile := n.config().TLS.Cert, n.config().TLS.Key
	must(t, os.WriteFile(certFile, []byte("half a file"), 0o600))
	fault := n.certificate.Reread(t.Context(), "")
	if fault == "" || n.leaf() != before {
		t.Fatalf("a broken certificate: %q", fault)
	}
	if again := n.certificate.Reread(t.Context(), fault); again != fault {
		t.Errorf("and again: %q", again)
	}
	other := s.certificate("other")
	for from, to := range map[string]string{other.Cert: certFile, other.Key: keyFile} {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(to, text, 0o600))
	}
	if fault := n.certificate.Reread(t.Context(), fault); fault != "" || n.leaf().Equal(before) {
		t.Fatalf("the new certificate is not in force: %q", fault)
	}
	c, err := tls.Dial("tcp", n.Addrs().Submissions[0], &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	if !c.ConnectionState().PeerCertificates[0].Equal(n.leaf()) {
		t.Error("a new connection sees another certificate")
	}
	must(t, c.Close())
	held.ok("250", "EHLO client.test")
	var rules []string
	for _, f := range n.facts(fact.KindReload) {
		rules = append(rules, f.Rule)
	}
	if !slices.Contains(rules, "certificate-refused") || !slices.Contains(rules, "certificate-renewed") {
		t.Errorf("the trace holds %v", rules)
	}
}

func parsed(t *testing.T, address string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(address, mail.ASCII)
	must(t, err)
	return a
}

// Targets that stay the same keep their connections and what they learnt.
func TestTargetsOutliveAReload(t *testing.T) {
	s := newSite(t, vfs.NewMem())
	n := s.start()
	first := n.now()
	s.write(strings.Replace(siteText, "[alias]", "[alias]\n\"new@local.test\" = [\"bob@local.test\"]", 1))
	s.reload(n)
	second := n.now()
	for _, known := range n.book.Stated().Config.Routes {
		at := func(g *generation) nexthop.Target {
			return ways.Current(func() *ways.Ways { return g.ways }).Route(known)
		}
		if _, ok := at(first).(*named.Target); !ok || at(first) != at(second) {
			t.Errorf("the target of %v was made again", known)
		}
	}
	if first.ways.Exchangers() != second.ways.Exchangers() {
		t.Error("the mail exchangers were made again")
	}
	s.write(strings.Replace(siteText, "2626", "2727", 1) + "\n[mx]\ndelivery = \"off\"\n")
	s.reload(n)
	if _, ok := n.ways().Exchanger(parsed(t, "x@elsewhere.test")); ok {
		t.Error("mail exchangers are used although they are switched off")
	}
}
