package partner_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/access/partner"
	"sallyport/internal/local/socket/sockettest"
	"sallyport/internal/operate/call"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/internal/operate/socket"
	"sallyport/test/operator"
)

// letsIn lets in whoever says so.
func letsIn(_ context.Context, l partner.Login) partner.Answer {
	if l.Password == "right" && l.Remote == netip.MustParseAddr("192.0.2.7") && l.Secured {
		return partner.Answer{Verdict: partner.VerdictIn, Account: l.User}
	}
	return partner.Answer{Verdict: partner.VerdictRefused}
}

// A partner may ask who signs in, and nothing else that there is.
func TestAPartnerAsksWhoSignsInAndDoesNothingElse(t *testing.T) {
	h, by := partnersocket.Handler(letsIn, 1), call.Caller{UID: 106, Known: true}
	text, err := json.Marshal(partner.Login{User: "alice@local.test", Password: "right", Remote: netip.MustParseAddr("192.0.2.7"), Secured: true})
	operator.Check(t, err)
	if code, said := operator.Asks(h, by, "signin", string(text)); code != http.StatusOK || !strings.Contains(said, `"verdict":"in"`) || !strings.Contains(said, "alice@local.test") {
		t.Errorf("%d %s", code, said)
	}
	if code, said := operator.Asks(h, by, "signin", `{}`); code != http.StatusOK || !strings.Contains(said, `"refused"`) {
		t.Errorf("nothing said: %d %s", code, said)
	}
	if code, said := operator.Asks(h, call.Caller{}, "signin", string(text)); code != http.StatusForbidden {
		t.Errorf("who is not known: %d %s", code, said)
	}
	for _, action := range []string{"account.add", "account.passwd", "account.show", "account.ls", "account.freeze", "trace", "status", "sessions", "queue.ls", "mailbox.ls", "backup", "reload", "", "signin2"} {
		for _, caller := range []call.Caller{by, {UID: 0, Known: true}, {UID: 1, Known: true}} {
			if code, said := operator.Asks(h, caller, action, `{}`); code != http.StatusForbidden || !strings.Contains(said, "a partner may ask who signs in") {
				t.Errorf("%s: %d %s", action, code, said)
			}
		}
	}
}

// The socket is the group's alone.
func TestThePartnersSocketIsTheGroups(t *testing.T) {
	dir := t.TempDir()
	operator.Check(t, os.Chmod(filepath.Dir(dir), 0o755))
	operator.Check(t, os.Chmod(dir, 0o755))
	path, group := filepath.Join(dir, "run", "checkpassword.sock"), os.Getegid()
	if os.Geteuid() == 0 {
		group = 4002
	}
	ln, err := partnersocket.Listen(path, group)
	operator.Check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- partnersocket.Serve(ctx, ln, letsIn, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		operator.Check(t, <-done)
	}()
	info, err := os.Stat(path)
	operator.Check(t, err)
	if info.Mode().Perm() != socket.GroupMode {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	sockettest.As(t, 4002, func() {
		c, err := partnersocket.Dial(t.Context(), path)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		a, err := c.SignIn(t.Context(), partner.Login{User: "alice@local.test", Password: "right", Remote: netip.MustParseAddr("192.0.2.7"), Secured: true})
		if err != nil || a.Verdict != partner.VerdictIn {
			t.Errorf("%+v, %v", a, err)
		}
	})
	sockettest.As(t, 4003, func() {
		if c, err := partnersocket.Dial(t.Context(), path); err == nil {
			c.Close()
			t.Error("somebody who is not of the group connects")
		}
	})
}
