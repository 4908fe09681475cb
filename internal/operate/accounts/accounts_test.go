package accounts_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// TestAccountsLiveOneLife makes every account action by both ways in.
func TestAccountsLiveOneLife(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			c, ctx := w.Clients(t)[way], t.Context()
			add := operate.AccountAdd{Address: "Alice@local.test", Password: "correct horse", Role: "person"}
			a, err := c.AccountAdd(ctx, add)
			operator.Check(t, err)
			if a.Address != "alice@local.test" || a.Standing != "active" {
				t.Errorf("added as %+v", a)
			}
			_, err = c.AccountAdd(ctx, add)
			operator.WantCode(t, err, call.CodeExists)
			for _, bad := range []operate.AccountAdd{
				{Address: "alice", Password: "correct horse", Role: "person"},
				{Address: "eve@other.test", Password: "correct horse", Role: "person"},
				{Address: "eve@local.test", Password: "correct horse", Role: "king"},
				{Address: "eve@local.test", Password: "short", Role: "person"},
				{Address: "eve@[192.0.2.1]", Password: "correct horse", Role: "person"},
			} {
				_, err = c.AccountAdd(ctx, bad)
				operator.WantCode(t, err, call.CodeInvalid)
			}
			a, err = c.AccountFreeze(ctx, operate.AccountReason{Address: "alice@local.test", Reason: "seen in a leak"})
			operator.Check(t, err)
			if a.Standing != "frozen" || a.QueueHeld != "seen in a leak" || a.SessionsEnded != 3 {
				t.Errorf("frozen as %+v", a)
			}
			a, err = c.AccountThaw(ctx, operate.AccountRef{Address: "alice@local.test"})
			operator.Check(t, err)
			if a.Standing != "active" || a.QueueHeld != "" {
				t.Errorf("thawed as %+v", a)
			}
			_, err = c.AccountPassword(ctx, operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
			operator.Check(t, err)
			_, err = c.AccountRemove(ctx, operate.AccountRef{Address: "alice@local.test"})
			operator.Check(t, err)
			_, err = c.AccountShow(ctx, operate.AccountRef{Address: "alice@local.test"})
			operator.WantCode(t, err, call.CodeNotFound)
			if len(w.Ended) != 3 { // freeze, password, removal
				t.Errorf("sessions ended %d times", len(w.Ended))
			}
			story := w.Story(t, "alice@local.test")
			for _, part := range []string{"added", "frozen", "seen in a leak", "thawed", "password changed", "removed", "by uid: " + fmt.Sprint(os.Geteuid())} {
				if !strings.Contains(story, part) {
					t.Errorf("the trace lacks %q:\n%s", part, story)
				}
			}
			if strings.Contains(story, "horse") {
				t.Errorf("the trace holds a password:\n%s", story)
			}
		})
	}
}

// TestARemovedAccountsMailIsHeld: nobody answers for it, not even a namesake.
func TestARemovedAccountsMailIsHeld(t *testing.T) {
	w := operator.New(t)
	c, ctx := operate.Direct(w.Operator), t.Context()
	add := operate.AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"}
	_, err := c.AccountAdd(ctx, add)
	operator.Check(t, err)
	id := w.Put(t, "alice@local.test")
	_, err = c.AccountFreeze(ctx, operate.AccountReason{Address: add.Address})
	operator.Check(t, err)
	_, err = c.AccountRemove(ctx, operate.AccountRef{Address: add.Address})
	operator.Check(t, err)
	a, err := c.AccountAdd(ctx, add)
	operator.Check(t, err)
	m, err := c.QueueShow(ctx, operate.QueueRef{ID: id.String()})
	operator.Check(t, err)
	if m.State != "held" || m.Reason != "its account was removed" || a.QueueHeld != "" {
		t.Errorf("message %+v, account %+v", m, a)
	}
}

// With what an account signs in is said, and what its programs are not offered; either ends its sessions, and stands in the trace.
func TestHowAnAccountSignsIn(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			w.Account(t, "alice@local.test")
			c, ctx := w.Clients(t)[way], t.Context()
			a, err := c.AccountSignIn(ctx, operate.AccountSignIn{Address: "Alice@local.test", Policy: "app"})
			if err != nil || a.SignIn != "app" || a.SessionsEnded != 3 || len(w.Ended) != 1 {
				t.Errorf("%+v, %v", a, err)
			}
			for _, bad := range []operate.AccountSignIn{{Address: "alice@local.test", Policy: "nothing"}, {Address: "alice", Policy: "app"}} {
				_, err = c.AccountSignIn(ctx, bad)
				operator.WantCode(t, err, call.CodeInvalid)
			}
			without := []string{" idle", "IDLE"}
			a, err = c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", Without: &without})
			if err != nil || len(a.Without) != 1 || a.Without[0] != "IDLE" || a.SessionsEnded != 3 {
				t.Errorf("%+v, %v", a, err)
			}
			without = []string{"LOGIN"}
			_, err = c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", Without: &without})
			operator.WantCode(t, err, call.CodeInvalid)
			if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "way to sign in changed") || !strings.Contains(s, "extensions changed") {
				t.Errorf("the trace says nothing of it:\n%s", s)
			}
		})
	}
}

// Accounts are listed in the order of their addresses, and an account at which nobody guesses is shown without guesses.
func TestAccountsAreListedAndShown(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "bob@local.test", "alice@local.test")
	w.With(func(o *operate.Options) { o.Guesses = w.Identity })
	c, ctx := operate.Direct(w.Operator), t.Context()
	var all []string
	operator.Check(t, c.AccountList(ctx, func(a operate.Account) error { all = append(all, a.Address+" "+a.Standing); return nil }))
	if got := strings.Join(all, ", "); got != "alice@local.test active, bob@local.test active" {
		t.Errorf("%s", got)
	}
	if a, err := c.AccountShow(ctx, operate.AccountRef{Address: "alice@local.test"}); err != nil || a.Guessed != nil || a.LastSignIn != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// A password that only a directory knows is no password to set here, and each change of one ends what was opened with it.
func TestPasswords(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	c, ctx := operate.Direct(w.Operator), t.Context()
	a, err := c.AccountPassword(ctx, operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
	if err != nil || a.SessionsEnded != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	for r, want := range map[operate.AccountPassword]call.Code{
		{Address: "alice@local.test", Password: "x"}:           call.CodeInvalid,
		{Address: "alice"}:                                     call.CodeInvalid,
		{Address: "nobody@local.test", Password: "long horse"}: call.CodeNotFound,
	} {
		if _, err := c.AccountPassword(ctx, r); operator.Code(err) != want {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := c.AccountPassword(ctx, operate.AccountPassword{Address: "alice@local.test", Elsewhere: true}); err == nil {
		t.Error("an account of no directory has its password elsewhere")
	}
	for _, bad := range []func(string) error{
		func(a string) error { _, err := c.AccountFreeze(ctx, operate.AccountReason{Address: a}); return err },
		func(a string) error { _, err := c.AccountThaw(ctx, operate.AccountRef{Address: a}); return err },
		func(a string) error { _, err := c.AccountShow(ctx, operate.AccountRef{Address: a}); return err },
		func(a string) error { _, err := c.AccountRemove(ctx, operate.AccountRef{Address: a}); return err },
		func(a string) error {
			_, err := c.AccountRename(ctx, operate.AccountRename{Address: a, To: "x@local.test"})
			return err
		},
	} {
		operator.WantCode(t, bad("alice"), call.CodeInvalid)
		operator.WantCode(t, bad("nobody@local.test"), call.CodeNotFound)
	}
	n := int64(-2)
	_, err = c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", QuotaOctets: &n})
	operator.WantCode(t, err, call.CodeInvalid)
	most, none := int64(1000), int64(0)
	if _, err := c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", QuotaOctets: &most, QuotaMessages: &most}); err != nil {
		t.Error(err)
	}
	if kept, err := w.Identity.Get(operator.Address(t, "alice@local.test")); err != nil || kept.QuotaOctets != 1000 || kept.QuotaMessages != 1000 {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, err := c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", QuotaOctets: &none}); err != nil {
		t.Error(err)
	}
	if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "quota changed") || !strings.Contains(s, "its domain's") {
		t.Errorf("the trace says nothing of it:\n%s", s)
	}
}
