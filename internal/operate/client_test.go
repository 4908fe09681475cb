package operate_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// A command that has the other ends of connections does all that one at the socket does.
func TestAllIsDoneOverConnectionsMadeBeforehand(t *testing.T) {
	w := operator.New(t)
	var ours, theirs []*net.UnixConn
	for range 2 {
		a, b := pair(t)
		ours, theirs = append(ours, a), append(theirs, b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- operate.ServeConns(ctx, theirs, w.Operator, slog.New(slog.DiscardHandler)) }()
	c := operate.Over(ours)
	_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"})
	operator.Check(t, err)
	_, err = c.DomainAdd(t.Context(), operate.DomainAdd{Name: "added.test"})
	operator.Check(t, err)
	entries, accounts, err := c.Stored(t.Context())
	if err != nil || len(accounts) != 1 || accounts[0].String() != "alice@local.test" || len(entries) != 1 {
		t.Errorf("%+v, %v, %v", entries, accounts, err)
	}
	c.Close()
	cancel()
	operator.Check(t, <-done)
}

// pair are the two ends of a connection.
func pair(t *testing.T) (one, other *net.UnixConn) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "p"), Net: "unix"})
	operator.Check(t, err)
	defer ln.Close()
	one, err = net.DialUnix("unix", nil, ln.Addr().(*net.UnixAddr))
	operator.Check(t, err)
	other, err = ln.AcceptUnix()
	operator.Check(t, err)
	return one, other
}

// Each topic says what kind of failure its rooms mean, over the whole handler.
func TestEveryTopicExplainsItsFailures(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	c, ctx := operate.Direct(w.Operator), t.Context()
	_, err := c.AccountShow(ctx, operate.AccountRef{Address: "nobody@local.test"})
	operator.WantCode(t, err, call.CodeNotFound)
	_, err = c.AccountAdd(ctx, operate.AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"})
	operator.WantCode(t, err, call.CodeExists)
	_, err = c.AccountAdd(ctx, operate.AccountAdd{Address: "bob@local.test", Password: "x", Role: "person"})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.AliasAdd(ctx, operate.AliasAdd{Name: "alice@local.test", Targets: []string{"alice@local.test"}})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.AppAdd(ctx, operate.AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send"})
	operator.Check(t, err)
	_, err = c.AppAdd(ctx, operate.AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send"})
	operator.WantCode(t, err, call.CodeExists)
	if want := "sallyport account app rm ADDRESS"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
	_, err = c.Reload(ctx)
	operator.WantCode(t, err, call.CodeInvalid)
}
