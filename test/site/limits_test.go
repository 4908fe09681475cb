package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestMechanismsAndOriginTakeEffect(t *testing.T) {
	NoLeaks(t)
	s := New(t, vfs.NewMem())
	s.Configure(strings.NewReplacer("[auth]", "[auth]\nmechanisms = [\"PLAIN\"]", "[trace]", "[trace]\norigin = \"a.test/log\"").Replace(Text))
	n := s.Start()
	c := ConnectTLS(t, n.Addrs().Submissions[0], s.ClientTLS())
	if hello := c.Say("EHLO client.test"); !strings.Contains(hello, "AUTH PLAIN\n") {
		t.Errorf("offered: %q", hello)
	}
	c.OK("504", "AUTH LOGIN")
	checkpoint := filepath.Join(s.Config.CheckpointDir(), "checkpoint")
	Eventually(t, "a checkpoint", func() bool { _, err := os.Stat(checkpoint); return err == nil })
	text, err := os.ReadFile(checkpoint)
	Must(t, err)
	if !strings.HasPrefix(string(text), "a.test/log\n") {
		t.Errorf("the checkpoint begins %q", text)
	}
}

// Some limits, at the socket: what the client is told and where it ends.
func TestLimitsAtTheDoor(t *testing.T) {
	NoLeaks(t)
	s := New(t, vfs.NewMem())
	s.Config.Limits.MessageSize, s.Config.Limits.SessionsPerAccount, s.Config.Limits.QueueMessagesByAccount = 64<<10, 1, 1
	s.Config.Limits.HeaderFields, s.Config.Limits.CommandTimeout = 50, 2*time.Second
	n := s.Start()
	s.Populate(n.Node)
	s.Unreachable.Store(true)
	c := Connect(t, n.Addrs().MX[0])
	if hello := c.Say("EHLO client.test"); !strings.Contains(hello, "SIZE 65536\n") {
		t.Errorf("offered: %q", hello)
	}
	refusals := map[string]string{
		"552 5.3.4": Message("large", "eve@elsewhere.test", 70<<10),
		"552":       strings.Repeat("X-Field: x\r\n", 51) + Message("fields", "eve@elsewhere.test", 100),
	}
	for want, text := range refusals {
		c := Connect(t, n.Addrs().MX[0])
		c.OK("250", "EHLO client.test")
		if reply := c.Send("eve@elsewhere.test", text, "alice@local.test"); !strings.HasPrefix(reply, want) {
			t.Errorf("got %q, want %s", reply, want)
		}
	}
	alice := s.SignIn(n, true, "alice@local.test")
	second := ConnectTLS(t, n.Addrs().Submissions[0], s.ClientTLS())
	second.OK("250", "EHLO client.test")
	second.OK("421", "%s", Plain("alice@local.test"))
	for i, want := range []string{"250", "452"} {
		if reply := alice.Send("alice@local.test", Message("queue", "alice@local.test", 100), "x@remote.test"); !strings.HasPrefix(reply, want) {
			t.Errorf("message %d of one account: got %q, want %s", i, reply, want)
		}
	}
	if r := c.Reply(); !strings.HasPrefix(r, "421") {
		t.Errorf("a silent client was told %q", r)
	}
}
