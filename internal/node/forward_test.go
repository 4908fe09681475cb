package node

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/test/port"

	"sallyport/test/load"
)

const forwardsOn = "[forward]\nexternal = \"on\"\n"

// forwarding states that accounts forward, beside what the roster says.
func (n *Node) forwarding(t *testing.T, forwards ...directory.Forward) {
	t.Helper()
	st := n.book.Stated()
	st.Config.Forwards = forwards
	next, err := n.book.Build(t.Context(), st, false)
	must(t, err)
	next.Adopt()
}

func forward(t *testing.T, keep bool, account string, targets ...string) directory.Forward {
	t.Helper()
	f := directory.Forward{Keep: keep}
	for i, s := range append([]string{account}, targets...) {
		a, err := mail.ParseAddress(s, mail.ASCII)
		must(t, err)
		if i == 0 {
			f.Account = a
		} else {
			f.Targets = append(f.Targets, a)
		}
	}
	return f
}

func addAccount(t *testing.T, n *Node, a string) {
	t.Helper()
	_, err := n.Operator().AccountAdd(t.Context(), root, operate.AccountAdd{Address: a, Password: password, Role: "person"})
	must(t, err)
}

// smtpSink starts Postfix's smtp-sink, which keeps each message in a file, with its
// envelope, and returns its address and the folder.
func smtpSink(t *testing.T) (addr, dir string) {
	t.Helper()
	tool, err := exec.LookPath("smtp-sink")
	if err != nil {
		if tool, err = exec.LookPath("/usr/sbin/smtp-sink"); err != nil {
			t.Skip("smtp-sink is not installed")
		}
	}
	dir, err = os.MkdirTemp("", "smtp-sink")
	must(t, err)
	must(t, os.Chmod(dir, 0o777))
	addr = port.Loopback(t)
	args := []string{"-d", "%M.", addr, "10"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...) // it refuses to serve as root
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = os.RemoveAll(dir) })
	eventually(t, "smtp-sink", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return addr, dir
}

// A forward leaves to a real Postfix sink with a return path of ours; its bounce comes
// back through port 25 into the mailbox of its owner, and nowhere else. Forged, changed
// and misused return paths are refused, and the trace tells of all of it.
func TestAForwardAndItsBounce(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, forwardsOn)
	addr, dir := smtpSink(t)
	o := s.options()
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	node, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(node)
	node.forwarding(t, forward(t, false, "alice@local.test", "a@remote.test"))
	n := s.serve(node)
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	text := message("sent-on", "eve@elsewhere.test", 3000)
	reply := c.send("eve@elsewhere.test", text, "alice@local.test")
	n.idle()
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%d messages at the sink", len(files))
	}
	b, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	must(t, err)
	// smtp-sink stores LF line ends, and the envelope as fields.
	if !bytes.Contains(b, []byte(strings.ReplaceAll(text, "\r\n", "\n"))) || !bytes.Contains(b, []byte("Delivered-To: alice@local.test\n")) {
		t.Errorf("the sink has %q", b)
	}
	_, rest, _ := strings.Cut(string(b), "X-Mail-Args: <")
	path, _, _ := strings.Cut(rest, ">")
	if !strings.HasPrefix(path, "SRS0=") || !strings.HasSuffix(path, "@local.test") || strings.Contains(path, "eve") {
		t.Fatalf("the return path is %q", path)
	}
	bounce := message("bounce", "postmaster@remote.test", 500)
	for _, row := range []struct{ from, to, want string }{
		{"", path, "250 2.0.0"},
		{"", strings.ToLower(path), "250 2.0.0"},
		{"eve@elsewhere.test", path, "550 5.7.1"},
		{"", strings.Replace(path, "SRS0=", "SRS0=a", 1), "550 5.7.1"},
		{"", strings.Replace(path, "SRS0=", "SRS1=remote.test==", 1), "550 5.7.1"},
		{"", "SRS0=hhhh=tt=elsewhere.test=eve@local.test", "550 5.7.1"},
		{"", strings.Replace(path, "local.test", "remote.test", 1), "550 5.7.1"},
		{path, "bob@local.test", "550 5.7.1"},
	} {
		if got := c.send(row.from, bounce, row.to); !strings.HasPrefix(got, row.want) {
			t.Errorf("from %q to %q: %q", row.from, row.to, got)
		}
	}
	n.idle()
	found, err := boxOf(vfs.Default, s.cfg.Maildir.Root, "alice")
	must(t, err)
	if files, err = os.ReadDir(dir); err != nil || len(files) != 1 || len(found["bounce"]) != 2 || len(found["sent-on"]) != 0 {
		t.Errorf("%d messages at the sink, alice has %d bounces and %d others", len(files), len(found["bounce"]), len(found["sent-on"]))
	}
	demandFacts(t, n.Node, queueID(reply), fact.KindAccept, fact.KindOutcome)
	answer, err := n.Operator().Trace(t.Context(), root, operate.TraceQuery{Text: "alice@local.test"})
	must(t, err)
	rules := map[string]int{}
	for _, e := range answer.Entries {
		rules[e.Fact.Rule]++
	}
	if rules["forward-relay"] != 1 || rules["forward-return"] < 2 {
		t.Errorf("recorded %v", rules)
	}
}

// A return path that is older than forward.return_age is refused, and one of an account
// that is gone; the key survives a restart.
func TestOldReturnPathsAreRefused(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, "[forward]\nreturn_age = \"1d\"\n")
	n := s.start()
	s.populate(n.Node)
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	fresh, err := n.data.ReturnPaths.Forward(alice, time.Now())
	must(t, err)
	stale, err := n.data.ReturnPaths.Forward(alice, time.Now().Add(-72*time.Hour))
	must(t, err)
	n.stopped()
	n = s.start()
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	c.ok("250", "MAIL FROM:<>")
	c.ok("250", "RCPT TO:<%s>", fresh)
	c.ok("550", "RCPT TO:<%s>", stale)
	c.ok("250", "RSET")
	_, err = n.Operator().AccountRemove(t.Context(), root, operate.AccountRef{Address: "alice@local.test"})
	must(t, err)
	c.ok("250", "MAIL FROM:<>")
	c.ok("550", "RCPT TO:<%s>", fresh)
}

// Two servers whose accounts forward to each other: the message comes to rest, each
// mailbox that keeps copies has one, and the queues are empty.
func TestTwoServersForwardToEachOther(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			noLeaks(t)
			here, there := newSite(t, nil, forwardsOn), newSite(t, nil)
			swap := strings.NewReplacer("local.test", "remote.test", "remote.test", "local.test")
			there.configure(swap.Replace(strings.Replace(siteText, "mx.local.test", "mx.far.test", 1)) + forwardsOn)
			mx := map[*site]string{}
			open := func(s, peer *site, f directory.Forward) *running {
				o := s.options()
				o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, mx[peer])
				}
				n, err := Open(t.Context(), s.cfg, o)
				must(t, err)
				addAccount(t, n, f.Account.String())
				n.forwarding(t, f)
				r := s.serve(n)
				mx[s] = r.Addrs().MX[0]
				return r
			}
			a := open(here, there, forward(t, keep, "alice@local.test", "alice@remote.test"))
			b := open(there, here, forward(t, keep, "alice@remote.test", "alice@local.test"))
			c := connect(t, a.Addrs().MX[0])
			c.ok("250", "EHLO client.test")
			const messages = 20
			for i := range messages {
				if got := c.send("eve@elsewhere.test", message(fmt.Sprintf("loop-%d", i), "eve@elsewhere.test", 1000), "alice@local.test"); !strings.HasPrefix(got, "250") {
					t.Fatal(got)
				}
			}
			rests := func() bool { return a.data.Spool.Stats().Entries+b.data.Spool.Stats().Entries == 0 }
			eventually(t, "the loop to end", func() bool {
				time.Sleep(50 * time.Millisecond)
				first := rests()
				time.Sleep(50 * time.Millisecond)
				return first && rests()
			})
			for i := range messages {
				id := fmt.Sprintf("loop-%d", i)
				mine, err := boxOf(vfs.Default, here.cfg.Maildir.Root, "alice")
				must(t, err)
				theirs := copiesIn(t, filepath.Join(there.cfg.Maildir.Root, "remote.test", "alice", "new"), id)
				if want := map[bool]int{true: 1}[keep]; len(mine[id]) != 1 || theirs != want {
					t.Errorf("%s: %d copies here, %d there, want 1 and %d", id, len(mine[id]), theirs, want)
				}
				// It was received once by eve's server's next hop, and once for each turn.
				if hops := strings.Count(mine[id][0], "\nReceived: "); !keep && hops > 3 {
					t.Errorf("%s took %d hops", id, hops)
				}
			}
		})
	}
}

// copiesIn counts the files of a folder that hold a message.
func copiesIn(t *testing.T, dir, id string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return 0
	}
	must(t, err)
	n := 0
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		if identifier(string(load.Wire(b))) == id {
			n++
		}
	}
	return n
}
