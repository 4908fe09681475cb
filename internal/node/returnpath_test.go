package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
	"sallyport/internal/returnpath/prvs"
)

// theSigning is how a server signs, and whom it asks for signatures.
func theSigning(n *Node) any { return fmt.Sprintf("%+v", n.data.ReturnPaths.Rules()) }

func mailAddress(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

// sunk returns the envelope senders of what a sink has, sorted.
func sunk(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	var senders []string
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		_, rest, _ := strings.Cut(string(b), "X-Mail-Args: <")
		path, _, _ := strings.Cut(rest, ">")
		senders = append(senders, path)
	}
	slices.Sort(senders)
	return senders
}

// began says that return paths are signed since some days.
func (s *site) began(days int) {
	s.t.Helper()
	must(s.t, returnpath.NoteIn(s.cfg.KeysDir()).Begin(time.Now().Add(-time.Duration(days)*24*time.Hour)))
}

// gets sends a message to each, and demands the reply that is given for it.
func (c *client) gets(rows [][3]string) {
	c.t.Helper()
	for _, row := range rows {
		if got := c.send(row[0], message("returned", "postmaster@remote.test", 500), row[1]); !strings.HasPrefix(got, row[2]) {
			c.t.Errorf("from %q to %q: %q; want %s", row[0], row[1], got, row[2])
		}
	}
}

const (
	longAccount = "an-account-with-a-name-that-is-longer-than-48-octets@local.test"
	signedPaths = "[return_path]\nsign = \"%s\"\nexempt = [\"sales@local.test\"]\n[alias.\"sales@local.test\"]\nto = [\"alice@local.test\"]\n[alias.\"all@local.test\"]\nto = [\"alice@local.test\", \"bob@local.test\"]\n"
)

// Mail leaves for a real Postfix sink with a signed return path, from an account and
// from its alias; a bounce to it reaches the plain address, and what is forged, ended,
// or nobody's is refused. What stays here is not signed, and is found by its account.
func TestReturnPathsAreSigned(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, fmt.Sprintf(signedPaths, "tag"))
	addr, dir := smtpSink(t)
	o := s.options()
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	node, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(node)
	addAccount(t, node, longAccount)
	n := s.serve(node)
	c := s.signIn(n, true, "alice@local.test")
	reply := c.send("alice@local.test", message("out", "alice@local.test", 500), "x@remote.test", "bob@local.test")
	c.gets([][3]string{{"sales@local.test", "x@remote.test", "5"}}) // the message names another author
	if got := c.send("sales@local.test", message("sold", "sales@local.test", 500), "x@remote.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if got := s.signIn(n, true, longAccount).send(longAccount, message("long", longAccount, 500), "x@remote.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	n.idle()
	senders := sunk(t, dir)
	if len(senders) != 3 || senders[0] != longAccount || !strings.HasSuffix(senders[1]+senders[2], "@local.test") {
		t.Fatalf("the sink has mail from %q", senders)
	}
	path := senders[1]
	if !strings.HasSuffix(path, "=alice@local.test") {
		path = senders[2]
	}
	a := mailAddress(t, path)
	read := n.data.ReturnPaths.Read(n.book.Snapshot(), a, true)
	if read.Address.String() != "alice@local.test" || len(path) != len("prvs=0123abcdef=alice@local.test") {
		t.Fatalf("%s is read as %+v", path, read)
	}
	keys, err := returnpath.LoadKeys(s.cfg.KeysDir(), nil)
	must(t, err)
	stale, err := keys.Signed.Sign(read.Address, time.Now().Add(-48*time.Hour))
	must(t, err)
	for _, from := range []string{path, stale.String(), "prvs=0123abcdef=alice@local.test"} {
		if got := c.say("MAIL FROM:<%s>", from); !strings.HasPrefix(got, "553") {
			t.Errorf("alice sends as %s: %q", from, got)
		}
	}
	forged := strings.Replace(path, "=alice@", "=bob@", 1)
	outside := connect(t, n.Addrs().MX[0])
	outside.ok("250", "EHLO client.test")
	outside.gets([][3]string{
		{"", path, "250 2.0.0"}, {"", strings.ToUpper(path), "250 2.0.0"}, {"eve@elsewhere.test", path, "250 2.0.0"},
		{"", forged, "550 5.7.1"}, {"eve@elsewhere.test", forged, "550 5.7.1"}, {"", stale.String(), "550 5.7.1"}, {"eve@elsewhere.test", stale.String(), "250 2.0.0"},
		{"", strings.Replace(path, "local.test", "remote.test", 1), "550 5.7.1"}, {"", "prvs=0123abcdef=eve%remote.test@local.test", "550 5.7.1"},
		{path, "bob@local.test", "550 5.7.1"}, {"", "alice@local.test", "250 2.0.0"}, {"", "postmaster@local.test", "250 2.0.0"},
	})
	c.gets([][3]string{{"", path, "5"}}) // a receipt of alice's must name her
	n.idle()
	found, err := boxOf(vfs.Default, s.cfg.Maildir.Root, "alice")
	must(t, err)
	bob, err := boxOf(vfs.Default, s.cfg.Maildir.Root, "bob")
	must(t, err)
	if len(found["returned"]) != 5 || len(bob["returned"]) != 0 || len(bob["out"]) != 1 || len(sunk(t, dir)) != 3 {
		t.Errorf("alice has %d returned messages, bob %d and %d; %d left", len(found["returned"]), len(bob["returned"]), len(bob["out"]), len(sunk(t, dir)))
	}
	if text := strings.Join(bob["out"], ""); strings.Contains(text, "prvs=") || !strings.Contains(text, "Return-Path: <alice@local.test>") {
		t.Errorf("bob has %q", text)
	}
	n.traced(t, queueID(reply), "<alice@local.test>", "return path", path)
	n.traced(t, path, "<alice@local.test>", "return path", path)
	n.traced(t, "alice@local.test", "", "signed return path", "signed until")
	n.traced(t, stale.String(), "", "text", "signed return path: the signature of alice@local.test ended on")
	n.traced(t, forged, "", "text", "signed return path: the signature was not made here")
}

// traced demands a fact that a question finds, of this sender, with this evidence.
func (n *Node) traced(t *testing.T, question, sender, name, value string) {
	t.Helper()
	eventually(t, "a fact of "+question+" with "+name+": "+value, func() bool {
		answer, err := n.Operator().Trace(t.Context(), root, operate.TraceQuery{Text: question})
		must(t, err)
		for _, e := range answer.Entries {
			for _, p := range append(slices.Clone(e.Fact.Evidence), fact.Pair{Name: "text", Value: e.Fact.Text}) {
				if (p.Name == name || name == "text" && p.Name == "detail") && strings.Contains(p.Value, value) && (sender == "" || strings.Trim(e.Fact.Sender, "<>") == strings.Trim(sender, "<>")) {
					return true
				}
			}
		}
		return false
	})
}

// Who requires signatures refuses bounces to bare addresses from the start that comes 14
// days after signing began, and says so.
func TestSignaturesAreRequired(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "require"))
	n := s.start()
	s.populate(n.Node)
	path, ok := n.data.ReturnPaths.Sign(n.book.Snapshot(), mailAddress(t, "alice+shop@local.test"), time.Now())
	if !ok {
		t.Fatal("alice is not signed")
	}
	for _, days := range []int{13, 15} {
		n.stopped()
		s.began(days)
		n = s.start()
		want := "250"
		if days > 14 {
			want = "550 5.7.1"
		}
		c := connect(t, n.Addrs().MX[0])
		c.ok("250", "EHLO client.test")
		c.gets([][3]string{
			{"", "alice@local.test", want}, {"", "all@local.test", want}, {"", path.String(), "250"}, {"eve@elsewhere.test", "alice@local.test", "250"},
			{"", "sales@local.test", "250"}, {"", "postmaster@local.test", "250"}, {"", "PostMaster", "250"},
		})
		own := s.signIn(n, true, "bob@local.test") // what our own people send is asked for nothing
		own.ok("250", "MAIL FROM:<>")
		own.ok("250", "RCPT TO:<alice@local.test>")
		status, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{})
		must(t, err)
		health := status.Health.ReturnPath
		if health == nil || health.Sign != "require" || health.RefusesFrom != health.Since.Add(14*24*time.Hour) || time.Now().Before(health.RefusesFrom) != (days < 14) {
			t.Errorf("after %d days: %+v", days, health)
		}
	}
	n.traced(t, "all@local.test", "", "text", "signed return path: not signed, which is required since")
}

// Since when return paths are signed outlasts restarts and reloads, and begins anew
// after they were not, or with another key.
func TestSinceWhenReturnPathsAreSigned(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "require"))
	s.began(20)
	old, err := returnpath.NoteIn(s.cfg.KeysDir()).Read()
	must(t, err)
	n := s.start() // makes the key: what was signed before was not signed with this one
	first := n.data.ReturnPaths.Rules().Since
	if !first.After(old) || time.Since(first) > time.Hour {
		t.Fatalf("a new key counts from %s", first)
	}
	s.began(20)
	old, err = returnpath.NoteIn(s.cfg.KeysDir()).Read()
	must(t, err)
	text, err := os.ReadFile(s.cfg.File)
	must(t, err)
	change := func(to string) {
		s.write(strings.Replace(string(text), `sign = "require"`, `sign = "`+to+`"`, 1))
		s.reload(n)
	}
	change("tag")
	if got := n.data.ReturnPaths.Rules(); got.Mode != returnpath.ModeTag || !got.Since.Equal(old) {
		t.Errorf("a reload counts from %+v, not %s", got, old)
	}
	change("off")
	if at, err := returnpath.NoteIn(s.cfg.KeysDir()).Read(); err != nil || !at.IsZero() {
		t.Errorf("off leaves %s, %v", at, err)
	}
	must(t, os.WriteFile(string(returnpath.NoteIn(s.cfg.KeysDir())), []byte("yesterday\n"), 0o600))
	s.refused(n, string(text), "does not say since when return paths are signed")
}

// refused demands that a reload of a configuration fails so.
func (s *site) refused(n *running, text, words string) {
	s.t.Helper()
	s.write(text)
	out, err := n.Reload(s.t.Context(), "a test")
	must(s.t, err)
	if len(out.Faults) != 1 || !strings.Contains(out.Faults[0].Message, words) {
		s.t.Errorf("the reload says %+v", out.Faults)
	}
}

func TestSignaturesOutlastTheirMail(t *testing.T) {
	if config.ReturnTime != prvs.ReturnTime {
		t.Errorf("the configuration asks for %s, and what leaves late has %s", config.ReturnTime, prvs.ReturnTime)
	}
}
