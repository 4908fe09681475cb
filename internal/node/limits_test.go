package node

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/kit/memory"
)

// given is everything that rooms are told of the limits of a configuration.
func given(c config.Config) string {
	return fmt.Sprintf("%+v", []any{
		serverLimits(c), intakeLimits(c), spoolLimits(c), dispatchLimits(c),
		identityLimits(c), traceLimits(c), retryPolicy(c), c.Directory(), c.Limits.Free(), c.Limits.UnjudgedMemory, memory.SoftLimit(c.Limits.Memory, 0, 0),
	})
}

// Every limit that can be configured changes what some room is told: a key without
// effect would be a promise that nobody keeps.
func TestEveryLimitTakesEffect(t *testing.T) {
	s := newSite(t, vfs.NewMem())
	// These two are no numbers: TestMechanismsAndOriginTakeEffect looks at them.
	elsewhere := map[string]bool{"Auth.Mechanisms": true, "Trace.Origin": true}
	tried := 0
	for _, section := range []string{"Limits", "Auth", "Retry", "Trace"} {
		fields := reflect.TypeOf(s.cfg).Field(fieldOf(t, s.cfg, section)).Type
		for i := range fields.NumField() {
			name := section + "." + fields.Field(i).Name
			if elsewhere[name] {
				continue
			}
			changed := s.cfg
			enlarge(t, reflect.ValueOf(&changed).Elem().FieldByName(section).Field(i), name)
			if given(changed) == given(s.cfg) {
				t.Errorf("%s has no effect", name)
			}
			tried++
		}
	}
	if tried < 45 {
		t.Errorf("only %d limits were found", tried)
	}
}

func fieldOf(t *testing.T, c config.Config, name string) int {
	f, ok := reflect.TypeOf(c).FieldByName(name)
	if !ok {
		t.Fatalf("a configuration has no %s", name)
	}
	return f.Index[0]
}

// enlarge makes a number larger, by more than any rounding.
func enlarge(t *testing.T, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(2*v.Int() + 5000)
	case reflect.Float64:
		v.SetFloat(2*v.Float() + 0.1)
	default:
		t.Fatalf("%s is a %s: say how to change it", name, v.Kind())
	}
}

func TestMechanismsAndOriginTakeEffect(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.configure(strings.NewReplacer("[auth]", "[auth]\nmechanisms = [\"PLAIN\"]", "[trace]", "[trace]\norigin = \"a.test/log\"").Replace(settings))
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
