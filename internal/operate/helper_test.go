package operate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/local/socket/sockettest"
	"sallyport/internal/operate"
	"sallyport/internal/operate/helpers"
	"sallyport/internal/operate/socket"
	"sallyport/internal/trace/query"
	"sallyport/test/operator"
)

// A helper may ask what stands on the list, of which each question is a fact; everything else
// is refused, and so is who is not known.
func TestHelpersAskAndDoNothingElse(t *testing.T) {
	w := operator.New(t)
	w.With(func(o *operate.Options) { o.Write = w.Log.Write })
	h, helper := operate.HelpersHandler(w.Operator, 1), operate.Caller{UID: 4711, Known: true}
	for action, body := range map[string]string{
		"trace":         `{"text":"alice@local.test","rules":["relay-denied"]}`,
		"trace.summary": `{"from":"2026-11-01T00:00:00Z"}`,
		"queue.ls":      `{"account":"alice@local.test"}`,
		"queue.summary": `{"by":"account"}`,
		"status":        `{}`,
	} {
		if code, text := operator.Asks(h, helper, action, body); code != http.StatusOK {
			t.Errorf("%s: %d %s", action, code, text)
		}
		if code, text := operator.Asks(h, operate.Caller{}, action, body); code != http.StatusForbidden {
			t.Errorf("%s of nobody: %d %s", action, code, text)
		}
	}
	if code, text := operator.Asks(h, helper, "queue.show", `{"id":"06f1k4h8m2n5q7r9s1t3v5w7"}`); code != http.StatusNotFound {
		t.Errorf("a message that is not there: %d %s", code, text)
	}
	refused := []string{
		"account.add", "account.passwd", "account.set", "account.freeze", "account.thaw", "account.rm", "account.rename", "account.show", "account.ls", "queue.read", "queue.redirect",
		"queue.hold", "queue.release", "queue.retry", "queue.rm", "learn", "sessions", "trace.verify", "backup", "reload", "incident.ls", "incident.export", "", "anything",
	}
	for _, action := range refused {
		if code, text := operator.Asks(h, helper, action, `{}`); code != http.StatusForbidden || !strings.Contains(text, "helpers may ask") {
			t.Errorf("%s: %d %s", action, code, text)
		}
	}
	a, err := w.Options.Facts.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAll}}, Kinds: []fact.Kind{fact.KindAsk}})
	operator.Check(t, err)
	said := map[string]bool{}
	for _, e := range a.Entries {
		said[e.Fact.Text] = true
		if e.Fact.Rule != helpers.RuleHelper || len(e.Fact.Evidence) != 1 || e.Fact.Evidence[0].Value != "4711" {
			t.Errorf("%+v", e.Fact)
		}
	}
	for _, text := range []string{
		`a helper asked for the trace about "alice@local.test", rule "relay-denied"`, "a helper asked for a summary of the trace", `a helper asked for the queue about "alice@local.test"`,
		"a helper asked for a summary of the queue", `a helper asked for a message of the queue, "06f1k4h8m2n5q7r9s1t3v5w7"`, "a helper asked for the status",
	} {
		if !said[text] {
			t.Errorf("%q is not among %v", text, said)
		}
	}
	for _, action := range refused {
		if text := fmt.Sprintf("a helper asked for %q, and was refused", action); !said[text] {
			t.Errorf("%q is not among %v", text, said)
		}
	}
	if len(said) != 6+len(refused) {
		t.Errorf("%d questions are recorded: %v", len(said), said)
	}
}

// What cannot be recorded is not answered.
func TestAQuestionThatCannotBeRecorded(t *testing.T) {
	w := operator.New(t)
	w.With(func(o *operate.Options) {
		o.Write = func(context.Context, ...fact.Fact) error { return errors.New("the disk is full") }
	})
	h, helper := operate.HelpersHandler(w.Operator, 1), operate.Caller{UID: 4711, Known: true}
	for _, action := range []string{"status", "queue.ls"} {
		if code, text := operator.Asks(h, helper, action, `{}`); code == http.StatusOK || !strings.Contains(text, "the disk is full") {
			t.Errorf("%s: %d %s", action, code, text)
		}
	}
}

// The socket is the group's alone, and the kernel says who of it asks.
func TestTheHelpersSocketIsTheGroups(t *testing.T) {
	dir := t.TempDir()
	operator.Check(t, os.Chmod(filepath.Dir(dir), 0o755))
	w := operator.New(t)
	w.With(func(o *operate.Options) { o.Write = w.Log.Write })
	path := filepath.Join(dir, "run", "helpers.sock")
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 4002
	}
	ln, err := socket.ListenGroup(path, group, socket.DefaultLimits().PerUser)
	operator.Check(t, err)
	operator.Check(t, os.Chmod(dir, 0o755))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- operate.ServeHelpers(ctx, ln, w.Operator, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		operator.Check(t, <-done)
	}()
	info, err := os.Stat(path)
	operator.Check(t, err)
	if stat := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != socket.GroupMode || int(stat.Gid) != group {
		t.Errorf("mode %o, group %d", info.Mode().Perm(), stat.Gid)
	}
	sockettest.As(t, 4002, func() {
		c, err := operate.Dial(t.Context(), path)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := c.Status(ctx); err != nil {
			t.Error(err)
		}
	})
	sockettest.As(t, 4003, func() {
		if c, err := operate.Dial(t.Context(), path); err == nil {
			c.Close()
			t.Error("somebody who is not of the group connects")
		}
	})
}
