package operate

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/local/socket/sockettest"
	"sallyport/internal/trace/query"
)

// asks calls an action of a handler as somebody, and returns the answer's code and text.
func asks(h http.Handler, by Caller, action, body string) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "/v1/"+action, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), by)))
	return w.Code, w.Body.String()
}

// A helper may ask what stands on the list, of which each question is a fact; everything else
// is refused, and so is who is not known.
func TestHelpersAskAndDoNothingElse(t *testing.T) {
	w := newWorld(t)
	w.o.Write = w.trace.Write
	h, helper := HelpersHandler(w.Operator, 1), Caller{UID: 4711, Known: true}
	for action, body := range map[string]string{
		"trace":         `{"text":"alice@local.test","rules":["relay-denied"]}`,
		"trace.summary": `{"from":"2026-11-01T00:00:00Z"}`,
		"queue.ls":      `{"account":"alice@local.test"}`,
		"queue.summary": `{"by":"account"}`,
		"status":        `{}`,
	} {
		if code, text := asks(h, helper, action, body); code != http.StatusOK {
			t.Errorf("%s: %d %s", action, code, text)
		}
		if code, text := asks(h, Caller{}, action, body); code != http.StatusForbidden {
			t.Errorf("%s of nobody: %d %s", action, code, text)
		}
	}
	if code, text := asks(h, helper, "queue.show", `{"id":"06f1k4h8m2n5q7r9s1t3v5w7"}`); code != http.StatusNotFound {
		t.Errorf("a message that is not there: %d %s", code, text)
	}
	for _, action := range []string{
		"account.add", "account.passwd", "account.set", "account.freeze", "account.thaw", "account.rm", "account.rename", "account.show", "account.ls", "queue.read", "queue.redirect",
		"queue.hold", "queue.release", "queue.retry", "queue.rm", "learn", "sessions", "trace.verify", "backup", "reload", "incident.ls", "incident.export", "", "anything",
	} {
		if code, text := asks(h, helper, action, `{}`); code != http.StatusForbidden || !strings.Contains(text, "helpers may ask") {
			t.Errorf("%s: %d %s", action, code, text)
		}
	}
	a, err := w.o.Facts.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAll}}, Kinds: []fact.Kind{fact.KindAsk}})
	check(t, err)
	said := map[string]bool{}
	for _, e := range a.Entries {
		said[e.Fact.Text] = true
		if e.Fact.Rule != RuleHelper || len(e.Fact.Evidence) != 1 || e.Fact.Evidence[0].Value != "4711" {
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
	if len(said) != 6 {
		t.Errorf("%d questions are recorded: %v", len(said), said)
	}
}

// What cannot be recorded is not answered.
func TestAQuestionThatCannotBeRecorded(t *testing.T) {
	w := newWorld(t)
	w.o.Write = func(context.Context, ...fact.Fact) error { return errText("the disk is full") }
	h, helper := HelpersHandler(w.Operator, 1), Caller{UID: 4711, Known: true}
	for _, action := range []string{"status", "queue.ls"} {
		if code, text := asks(h, helper, action, `{}`); code == http.StatusOK || !strings.Contains(text, "the disk is full") {
			t.Errorf("%s: %d %s", action, code, text)
		}
	}
}

// The socket is the group's alone, and the kernel says who of it asks.
func TestTheHelpersSocketIsTheGroups(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	w := newWorld(t)
	w.o.Write = w.trace.Write
	path := filepath.Join(dir, "run", "helpers.sock")
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 4002
	}
	ln, err := ListenHelpers(path, group)
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeHelpers(ctx, ln, w.Operator, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		check(t, <-done)
	}()
	info, err := os.Stat(path)
	check(t, err)
	if stat := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != HelpersMode || int(stat.Gid) != group {
		t.Errorf("mode %o, group %d", info.Mode().Perm(), stat.Gid)
	}
	sockettest.As(t, 4002, func() {
		c, err := Dial(t.Context(), path)
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
		if c, err := Dial(t.Context(), path); err == nil {
			c.Close()
			t.Error("somebody who is not of the group connects")
		}
	})
}
