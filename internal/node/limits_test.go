package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestMechanismsAndOriginTakeEffect(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.configure(strings.NewReplacer("[auth]", "[auth]\nmechanisms = [\"PLAIN\"]", "[trace]", "[trace]\norigin = \"a.test/log\"").Replace(siteText))
	n := s.start()
	c := connectTLS(t, n.Addrs().Submissions[0], s.clientTLS())
	if hello := c.say("EHLO client.test"); !strings.Contains(hello, "AUTH PLAIN\n") {
		t.Errorf("offered: %q", hello)
	}
	c.ok("504", "AUTH LOGIN")
	checkpoint := filepath.Join(s.cfg.CheckpointDir(), "checkpoint")
	eventually(t, "a checkpoint", func() bool { _, err := os.Stat(checkpoint); return err == nil })
	text, err := os.ReadFile(checkpoint)
	must(t, err)
	if !strings.HasPrefix(string(text), "a.test/log\n") {
		t.Errorf("the checkpoint begins %q", text)
	}
}

// Some limits, at the socket: what the client is told and where it ends.
func TestLimitsAtTheDoor(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.cfg.Limits.MessageSize, s.cfg.Limits.SessionsPerAccount, s.cfg.Limits.QueueMessagesByAccount = 64<<10, 1, 1
	s.cfg.Limits.HeaderFields, s.cfg.Limits.CommandTimeout = 50, 2*time.Second
	n := s.start()
	s.populate(n.Node)
	s.unreachable.Store(true)
	c := connect(t, n.Addrs().MX[0])
	if hello := c.say("EHLO client.test"); !strings.Contains(hello, "SIZE 65536\n") {
		t.Errorf("offered: %q", hello)
	}
	refusals := map[string]string{
		"552 5.3.4": message("large", "eve@elsewhere.test", 70<<10),
		"552":       strings.Repeat("X-Field: x\r\n", 51) + message("fields", "eve@elsewhere.test", 100),
	}
	for want, text := range refusals {
		c := connect(t, n.Addrs().MX[0])
		c.ok("250", "EHLO client.test")
		if reply := c.send("eve@elsewhere.test", text, "alice@local.test"); !strings.HasPrefix(reply, want) {
			t.Errorf("got %q, want %s", reply, want)
		}
	}
	alice := s.signIn(n, true, "alice@local.test")
	second := connectTLS(t, n.Addrs().Submissions[0], s.clientTLS())
	second.ok("250", "EHLO client.test")
	second.ok("421", "%s", plain("alice@local.test"))
	for i, want := range []string{"250", "452"} {
		if reply := alice.send("alice@local.test", message("queue", "alice@local.test", 100), "x@remote.test"); !strings.HasPrefix(reply, want) {
			t.Errorf("message %d of one account: got %q, want %s", i, reply, want)
		}
	}
	if r := c.reply(); !strings.HasPrefix(r, "421") {
		t.Errorf("a silent client was told %q", r)
	}
}
