package site

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

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
	"sallyport/test/port"

	"sallyport/test/load"
)

const forwardsOn = "[forward]\nexternal = \"on\"\n"

// forward has the mail of an account sent on.
func forward(t *testing.T, n *node.Node, keep bool, account string, targets ...string) {
	t.Helper()
	_, err := n.Operator().ForwardAdd(t.Context(), operate.Self(), operate.ForwardAdd{Account: account, Targets: targets, Keep: keep})
	Must(t, err)
}

func addAccount(t *testing.T, n *node.Node, a string) {
	t.Helper()
	_, err := n.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: a, Password: Password, Role: "person"})
	Must(t, err)
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
	Must(t, err)
	Must(t, os.Chmod(dir, 0o777))
	addr = port.Loopback(t)
	args := []string{"-d", "%M.", addr, "10"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...) // it refuses to serve as root
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = os.RemoveAll(dir) })
	Eventually(t, "smtp-sink", func() bool {
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
	NoLeaks(t)
	s := New(t, nil, forwardsOn)
	addr, dir := smtpSink(t)
	o := s.Options()
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(opened)
	forward(t, opened, false, "alice@local.test", "a@remote.test")
	n := s.Serve(opened)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	text := Message("sent-on", "eve@elsewhere.test", 3000)
	reply := c.Send("eve@elsewhere.test", text, "alice@local.test")
	n.Idle()
	files, err := os.ReadDir(dir)
	Must(t, err)
	if len(files) != 1 {
		t.Fatalf("%d messages at the sink", len(files))
	}
	b, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	Must(t, err)
	// smtp-sink stores LF line ends, and the envelope as fields.
	if !bytes.Contains(b, []byte(strings.ReplaceAll(text, "\r\n", "\n"))) || !bytes.Contains(b, []byte("Delivered-To: alice@local.test\n")) {
		t.Errorf("the sink has %q", b)
	}
	_, rest, _ := strings.Cut(string(b), "X-Mail-Args: <")
	path, _, _ := strings.Cut(rest, ">")
	if !strings.HasPrefix(path, "SRS0=") || !strings.HasSuffix(path, "@local.test") || strings.Contains(path, "eve") {
		t.Fatalf("the return path is %q", path)
	}
	bounce := Message("bounce", "postmaster@remote.test", 500)
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
		if got := c.Send(row.from, bounce, row.to); !strings.HasPrefix(got, row.want) {
			t.Errorf("from %q to %q: %q", row.from, row.to, got)
		}
	}
	n.Idle()
	found, err := BoxOf(vfs.Default, s.Config.Maildir.Root, "alice")
	Must(t, err)
	if files, err = os.ReadDir(dir); err != nil || len(files) != 1 || len(found["bounce"]) != 2 || len(found["sent-on"]) != 0 {
		t.Errorf("%d messages at the sink, alice has %d bounces and %d others", len(files), len(found["bounce"]), len(found["sent-on"]))
	}
	DemandFacts(t, n.Node, QueueID(reply), fact.KindAccept, fact.KindOutcome)
	answer, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "alice@local.test"})
	Must(t, err)
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
	NoLeaks(t)
	s := New(t, nil, "[forward]\nreturn_age = \"1d\"\n")
	n := s.Start()
	s.Populate(n.Node)
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	Must(t, err)
	keys, err := returnpath.LoadKeys(s.Config.KeysDir(), nil)
	Must(t, err)
	fresh, err := keys.Forward.Path(alice, time.Now())
	Must(t, err)
	stale, err := keys.Forward.Path(alice, time.Now().Add(-72*time.Hour))
	Must(t, err)
	n.Stopped()
	n = s.Start()
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	c.OK("250", "MAIL FROM:<>")
	c.OK("250", "RCPT TO:<%s>", fresh)
	c.OK("550", "RCPT TO:<%s>", stale)
	c.OK("250", "RSET")
	_, err = n.Operator().AccountRemove(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	Must(t, err)
	c.OK("250", "MAIL FROM:<>")
	c.OK("550", "RCPT TO:<%s>", fresh)
}

// Two servers whose accounts forward to each other: the message comes to rest, each
// mailbox that keeps copies has one, and the queues are empty.
func TestTwoServersForwardToEachOther(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			NoLeaks(t)
			here, there := New(t, nil, forwardsOn), New(t, nil)
			swap := strings.NewReplacer("local.test", "remote.test", "remote.test", "local.test")
			there.Configure(swap.Replace(strings.Replace(Text, "mx.local.test", "mx.far.test", 1)) + forwardsOn)
			mx := map[*Site]string{}
			open := func(s, peer *Site, account, target string) *Running {
				o := s.Options()
				o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, mx[peer])
				}
				n, err := node.Open(t.Context(), s.Config, o)
				Must(t, err)
				addAccount(t, n, account)
				forward(t, n, keep, account, target)
				r := s.Serve(n)
				mx[s] = r.Addrs().MX[0]
				return r
			}
			a := open(here, there, "alice@local.test", "alice@remote.test")
			b := open(there, here, "alice@remote.test", "alice@local.test")
			c := Connect(t, a.Addrs().MX[0])
			c.OK("250", "EHLO client.test")
			const messages = 20
			for i := range messages {
				if got := c.Send("eve@elsewhere.test", Message(fmt.Sprintf("loop-%d", i), "eve@elsewhere.test", 1000), "alice@local.test"); !strings.HasPrefix(got, "250") {
					t.Fatal(got)
				}
			}
			rests := func() bool { return a.Queue().Messages+b.Queue().Messages == 0 }
			Eventually(t, "the loop to end", func() bool {
				time.Sleep(50 * time.Millisecond)
				first := rests()
				time.Sleep(50 * time.Millisecond)
				return first && rests()
			})
			for i := range messages {
				id := fmt.Sprintf("loop-%d", i)
				mine, err := BoxOf(vfs.Default, here.Config.Maildir.Root, "alice")
				Must(t, err)
				theirs := copiesIn(t, filepath.Join(there.Config.Maildir.Root, "remote.test", "alice", "new"), id)
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
	Must(t, err)
	n := 0
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		Must(t, err)
		if Identifier(string(load.Wire(b))) == id {
			n++
		}
	}
	return n
}
