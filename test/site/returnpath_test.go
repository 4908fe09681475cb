package site

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
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
	"sallyport/internal/returnpath/prvs"
)

func mailAddress(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	Must(t, err)
	return a
}

// sunk returns the envelope senders of what a sink has, sorted.
func sunk(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	Must(t, err)
	var senders []string
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		Must(t, err)
		_, rest, _ := strings.Cut(string(b), "X-Mail-Args: <")
		path, _, _ := strings.Cut(rest, ">")
		senders = append(senders, path)
	}
	slices.Sort(senders)
	return senders
}

// began says that return paths are signed since some days.
func (s *Site) began(days int) {
	s.t.Helper()
	Must(s.t, returnpath.NoteIn(s.Config.KeysDir()).Begin(time.Now().Add(-time.Duration(days)*24*time.Hour)))
}

// gets sends a message to each, and demands the reply that is given for it.
func (c *Client) gets(rows [][3]string) {
	c.t.Helper()
	for _, row := range rows {
		if got := c.Send(row[0], Message("returned", "postmaster@remote.test", 500), row[1]); !strings.HasPrefix(got, row[2]) {
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
	NoLeaks(t)
	s := New(t, nil, fmt.Sprintf(signedPaths, "tag"))
	addr, dir := smtpSink(t)
	o := s.Options()
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(opened)
	addAccount(t, opened, longAccount)
	n := s.Serve(opened)
	c := s.SignIn(n, true, "alice@local.test")
	reply := c.Send("alice@local.test", Message("out", "alice@local.test", 500), "x@remote.test", "bob@local.test")
	c.gets([][3]string{{"sales@local.test", "x@remote.test", "5"}}) // the message names another author
	if got := c.Send("sales@local.test", Message("sold", "sales@local.test", 500), "x@remote.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if got := s.SignIn(n, true, longAccount).Send(longAccount, Message("long", longAccount, 500), "x@remote.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	n.Idle()
	senders := sunk(t, dir)
	if len(senders) != 3 || senders[0] != longAccount || !strings.HasSuffix(senders[1]+senders[2], "@local.test") {
		t.Fatalf("the sink has mail from %q", senders)
	}
	path := senders[1]
	if !strings.HasSuffix(path, "=alice@local.test") {
		path = senders[2]
	}
	a := mailAddress(t, path)
	keys, err := returnpath.LoadKeys(s.Config.KeysDir(), nil)
	Must(t, err)
	of, _, err := keys.Signed.Open(a, time.Now())
	if err != nil || of.String() != "alice@local.test" || len(path) != len("prvs=0123abcdef=alice@local.test") {
		t.Fatalf("%s is read as %s, %v", path, of, err)
	}
	stale, err := keys.Signed.Sign(of, time.Now().Add(-48*time.Hour))
	Must(t, err)
	for _, from := range []string{path, stale.String(), "prvs=0123abcdef=alice@local.test"} {
		if got := c.Say("MAIL FROM:<%s>", from); !strings.HasPrefix(got, "553") {
			t.Errorf("alice sends as %s: %q", from, got)
		}
	}
	forged := strings.Replace(path, "=alice@", "=bob@", 1)
	outside := Connect(t, n.Addrs().MX[0])
	outside.OK("250", "EHLO client.test")
	outside.gets([][3]string{
		{"", path, "250 2.0.0"}, {"", strings.ToUpper(path), "250 2.0.0"}, {"eve@elsewhere.test", path, "250 2.0.0"},
		{"", forged, "550 5.7.1"}, {"eve@elsewhere.test", forged, "550 5.7.1"}, {"", stale.String(), "550 5.7.1"}, {"eve@elsewhere.test", stale.String(), "250 2.0.0"},
		{"", strings.Replace(path, "local.test", "remote.test", 1), "550 5.7.1"}, {"", "prvs=0123abcdef=eve%remote.test@local.test", "550 5.7.1"},
		{path, "bob@local.test", "550 5.7.1"}, {"", "alice@local.test", "250 2.0.0"}, {"", "postmaster@local.test", "250 2.0.0"},
	})
	c.gets([][3]string{{"", path, "5"}}) // a receipt of alice's must name her
	n.Idle()
	found, err := BoxOf(vfs.Default, s.Config.Maildir.Root, "alice")
	Must(t, err)
	bob, err := BoxOf(vfs.Default, s.Config.Maildir.Root, "bob")
	Must(t, err)
	if len(found["returned"]) != 5 || len(bob["returned"]) != 0 || len(bob["out"]) != 1 || len(sunk(t, dir)) != 3 {
		t.Errorf("alice has %d returned messages, bob %d and %d; %d left", len(found["returned"]), len(bob["returned"]), len(bob["out"]), len(sunk(t, dir)))
	}
	if text := strings.Join(bob["out"], ""); strings.Contains(text, "prvs=") || !strings.Contains(text, "Return-Path: <alice@local.test>") {
		t.Errorf("bob has %q", text)
	}
	n.traced(t, QueueID(reply), "<alice@local.test>", "return path", path)
	n.traced(t, path, "<alice@local.test>", "return path", path)
	n.traced(t, "alice@local.test", "", "signed return path", "signed until")
	n.traced(t, stale.String(), "", "text", "signed return path: the signature of alice@local.test ended on")
	n.traced(t, forged, "", "text", "signed return path: the signature was not made here")
}

// signing is how far the signing of return paths has come; nil: none are signed.
func (n *Running) signing() *operate.ReturnPath {
	n.t.Helper()
	status, err := n.Operator().Status(n.t.Context(), operate.Self(), struct{}{})
	Must(n.t, err)
	return status.Health.ReturnPath
}

// traced demands a fact that a question finds, of this sender, with this evidence.
func (n *Running) traced(t *testing.T, question, sender, name, value string) {
	t.Helper()
	Eventually(t, "a fact of "+question+" with "+name+": "+value, func() bool {
		answer, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: question})
		Must(t, err)
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
	NoLeaks(t)
	s := New(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "require"))
	n := s.Start()
	s.Populate(n.Node)
	keys, err := returnpath.LoadKeys(s.Config.KeysDir(), nil)
	Must(t, err)
	path, err := keys.Signed.Sign(mailAddress(t, "alice+shop@local.test"), time.Now().Add(30*24*time.Hour))
	Must(t, err)
	for _, days := range []int{13, 15} {
		n.Stopped()
		s.began(days)
		n = s.Start()
		want := "250"
		if days > 14 {
			want = "550 5.7.1"
		}
		c := Connect(t, n.Addrs().MX[0])
		c.OK("250", "EHLO client.test")
		c.gets([][3]string{
			{"", "alice@local.test", want}, {"", "all@local.test", want}, {"", path.String(), "250"}, {"eve@elsewhere.test", "alice@local.test", "250"},
			{"", "sales@local.test", "250"}, {"", "postmaster@local.test", "250"}, {"", "PostMaster", "250"},
		})
		own := s.SignIn(n, true, "bob@local.test") // what our own people send is asked for nothing
		own.OK("250", "MAIL FROM:<>")
		own.OK("250", "RCPT TO:<alice@local.test>")
		health := n.signing()
		if health == nil || health.Sign != "require" || health.RefusesFrom != health.Since.Add(14*24*time.Hour) || time.Now().Before(health.RefusesFrom) != (days < 14) {
			t.Errorf("after %d days: %+v", days, health)
		}
	}
	n.traced(t, "all@local.test", "", "text", "signed return path: not signed, which is required since")
}

// Since when return paths are signed outlasts restarts and reloads, and begins anew
// after they were not, or with another key.
func TestSinceWhenReturnPathsAreSigned(t *testing.T) {
	NoLeaks(t)
	s := New(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "require"))
	s.began(20)
	old, err := returnpath.NoteIn(s.Config.KeysDir()).Read()
	Must(t, err)
	n := s.Start() // makes the key: what was signed before was not signed with this one
	first := n.signing().Since
	if !first.After(old) || time.Since(first) > time.Hour {
		t.Fatalf("a new key counts from %s", first)
	}
	s.began(20)
	old, err = returnpath.NoteIn(s.Config.KeysDir()).Read()
	Must(t, err)
	text, err := os.ReadFile(s.Config.File)
	Must(t, err)
	change := func(to string) {
		s.Write(strings.Replace(string(text), `sign = "require"`, `sign = "`+to+`"`, 1))
		s.Reload(n)
	}
	change("tag")
	if got := n.signing(); got == nil || got.Sign != "tag" || !got.Since.Equal(old) {
		t.Errorf("a reload counts from %+v, not %s", got, old)
	}
	change("off")
	if at, err := returnpath.NoteIn(s.Config.KeysDir()).Read(); err != nil || !at.IsZero() {
		t.Errorf("off leaves %s, %v", at, err)
	}
	Must(t, os.WriteFile(string(returnpath.NoteIn(s.Config.KeysDir())), []byte("yesterday\n"), 0o600))
	s.refused(n, string(text), "does not say since when return paths are signed")
}

// refused demands that a reload of a configuration fails so.
func (s *Site) refused(n *Running, text, words string) {
	s.t.Helper()
	s.Write(text)
	out, err := n.Reload(s.t.Context(), "a test")
	Must(s.t, err)
	if len(out.Faults) != 1 || !strings.Contains(out.Faults[0].Message, words) {
		s.t.Errorf("the reload says %+v", out.Faults)
	}
}

func TestSignaturesOutlastTheirMail(t *testing.T) {
	if config.ReturnTime != prvs.ReturnTime {
		t.Errorf("the configuration asks for %s, and what leaves late has %s", config.ReturnTime, prvs.ReturnTime)
	}
}
