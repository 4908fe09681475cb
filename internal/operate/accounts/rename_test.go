package accounts_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	rnd "math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
	"sallyport/test/operator"
)

// withMailboxes gives the world mailboxes on a disk, and the accounts' counts follow.
func withMailboxes(w *operator.World, t *testing.T, disk vfs.FS) *maildir.Target {
	t.Helper()
	boxes, err := maildir.New(maildir.Options{
		FS: pebble.Disk(disk), Root: "/mail", Hostname: operator.Domain(t, "mx.local.test"),
		Limits: maildir.DefaultLimits(), Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		Holder: w.Identity.Holder,
	})
	operator.Check(t, err)
	w.With(func(o *operate.Options) { o.Mailboxes = boxes })
	w.With(func(o *operate.Options) {
		o.Renaming = func(from, to mail.Address) []store.Planner { return []store.Planner{w.Ledger.Moving(from, to)} }
	})
	return boxes
}

// letter leaves a durable file in a mailbox.
func letter(t *testing.T, disk vfs.FS, box string) {
	t.Helper()
	operator.Check(t, disk.MkdirAll("/mail/local.test/"+box+"/new", 0o700))
	f, err := disk.Create("/mail/local.test/"+box+"/new/1", "")
	operator.Check(t, err)
	operator.Check(t, errors.Join(f.Sync(), f.Close()))
	for _, dir := range []string{"/", "/mail", "/mail/local.test", "/mail/local.test/" + box, "/mail/local.test/" + box + "/new"} {
		d, err := disk.OpenDir(dir)
		operator.Check(t, err)
		operator.Check(t, errors.Join(d.Sync(), d.Close()))
	}
}

func has(disk vfs.FS, box string) bool {
	_, err := disk.Stat("/mail/local.test/" + box + "/new/1")
	return err == nil
}

// All that has an account's address has the other one afterwards, as told, over both ways in;
// who gets the former address has nothing of it.
func TestAnAccountIsRenamed(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w, disk := operator.New(t), vfs.NewMem()
			withMailboxes(w, t, disk)
			c, ctx, self := w.Clients(t)[way], t.Context(), operate.Self()
			w.Account(t, "alice@local.test", "bob@local.test")
			letter(t, disk, "alice")
			_, err := w.ForwardAdd(ctx, self, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}, Keep: true})
			operator.Check(t, err)
			_, err = w.DelegateAdd(ctx, self, operate.DelegateChange{Account: "bob@local.test", Address: "alice@local.test"})
			operator.Check(t, err)
			for _, name := range []string{"team@local.test", "smith@local.test"} {
				_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: name, Targets: []string{"alice@local.test"}, From: "anyone"})
				operator.Check(t, err)
			}
			freeze := operate.AccountReason{Address: "alice@local.test", Reason: "leak"}
			_, err = w.AccountFreeze(ctx, self, freeze)
			operator.Check(t, err)
			_, err = w.AccountThaw(ctx, self, operate.AccountRef{Address: "alice@local.test"})
			operator.Check(t, err)
			charge := w.Ledger.Charge(ledger.Account(operator.Address(t, "alice@local.test")))
			charge.Take(3, operator.Allowance(accounts.Account{Role: accounts.RolePerson}))
			operator.Check(t, charge.Keep(ctx, store.Durable))
			charge.Done()

			got, err := c.AccountRename(ctx, operate.AccountRename{Address: "Alice@local.test", To: "Smith@local.test", KeepAlias: true})
			operator.Check(t, err)
			if got.Address != "smith@local.test" || got.SessionsEnded != 3 {
				t.Errorf("%+v", got)
			}
			shown, err := c.AccountShow(ctx, operate.AccountRef{Address: "smith@local.test"})
			operator.Check(t, err)
			if len(shown.FormerNames) != 1 || shown.FormerNames[0].Address != "alice@local.test" || len(shown.Incidents) != 1 || shown.Recipients.Used.Hour != 3 ||
				fmt.Sprint(shown.ForwardsTo) != "[a@remote.test]" || fmt.Sprint(shown.NamedBy) != "[alice@local.test team@local.test]" {
				t.Errorf("%+v", shown)
			}
			if s := fmt.Sprint(shown.Story.Changes); shown.Story.Account != "smith@local.test" || !strings.Contains(s, "forward") || !strings.Contains(s, "incident 1 raised") || !strings.Contains(s, "renamed to smith@local.test") {
				t.Errorf("the story begins anew: %s", s)
			}
			told, err := c.IncidentShow(ctx, operate.IncidentRef{Number: shown.Incidents[0].Number})
			operator.Check(t, err)
			if !strings.Contains(fmt.Sprint(told.Story.Changes), "renamed to smith@local.test") {
				t.Errorf("the incident ends with the name: %+v", told.Story.Changes)
			}
			if d := w.Roster.State().Delegates(); len(d) != 1 || d[0].Address.String() != "smith@local.test" {
				t.Errorf("delegates %v", d)
			}
			if !has(disk, "smith") || has(disk, "alice") {
				t.Error("the mailbox did not follow")
			}
			if m, err := w.Identity.Moves(ctx); err != nil || len(m) != 0 {
				t.Errorf("moves %v, %v", m, err)
			}
			for _, of := range []string{"alice@local.test", "smith@local.test"} {
				if s := w.Story(t, of); !strings.Contains(s, "renamed to smith@local.test") && !strings.Contains(s, "renamed from alice@local.test") {
					t.Errorf("the trace of %s: %s", of, s)
				}
			}
			_, err = w.AliasRemove(ctx, self, operate.AliasRemove{Name: "alice@local.test"})
			operator.Check(t, err)
			w.Account(t, "alice@local.test")
			heir, err := c.AccountShow(ctx, operate.AccountRef{Address: "alice@local.test"})
			operator.Check(t, err)
			if len(heir.FormerNames)+len(heir.Incidents)+len(heir.ForwardsTo)+len(heir.NamedBy) != 0 ||
				heir.Recipients.Used.Hour != 0 ||
				strings.Contains(fmt.Sprint(heir.Story.Changes), "incident") {
				t.Errorf("the heir: %+v", heir)
			}
		})
	}
}

// Everything that is in the way of a rename is told with what helps, and nothing happens.
func TestARenameIsRefused(t *testing.T) {
	w, disk := operator.New(t), vfs.NewMem()
	withMailboxes(w, t, disk)
	ctx, self := t.Context(), operate.Self()
	w.Account(t, "alice@local.test", "bob@local.test", "frozen@local.test", "busy@local.test", "held@local.test", "open@local.test")
	_, err := w.AccountFreeze(ctx, self, operate.AccountReason{Address: "frozen@local.test", Reason: "leak"})
	operator.Check(t, err)
	_, err = w.AccountFreeze(ctx, self, operate.AccountReason{Address: "open@local.test", Reason: "leak"})
	operator.Check(t, err)
	_, err = w.Identity.Thaw(ctx, operator.Address(t, "open@local.test"), nil, w.Spool.Releasing(operator.Address(t, "open@local.test"))) // by an act that knew no incidents
	operator.Check(t, err)
	w.Put(t, "busy@local.test")
	operator.Check(t, w.Spool.HoldAccount(ctx, operator.Address(t, "held@local.test"), "for a reason"))
	letter(t, disk, "taken")
	_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: "team@local.test", Targets: []string{"alice@local.test", "bob@local.test"}, From: "anyone"})
	operator.Check(t, err)
	w.With(func(o *operate.Options) {
		o.Naming = func(meant func(mail.Address) bool) []string {
			if meant(operator.Address(t, "bob@local.test")) {
				return []string{"conf:7:1: postmaster: it names bob@local.test"}
			}
			return nil
		}
	})
	before := map[string]string{}
	for _, a := range []string{"alice", "bob", "frozen", "busy", "held", "open"} {
		before[a] = w.Story(t, a+"@local.test")
	}
	for _, c := range []struct{ from, to, says string }{
		{"carol", "x", "there is no such account"},
		{"alice", "bob", "exists"},
		{"alice", "alice", "the address that the account has"},
		{"frozen", "x", "frozen@local.test is frozen (leak), and only an active account is renamed; see: sallyport account show frozen@local.test"},
		{"open", "x", "incident 2 of open@local.test; end it first: sallyport incident ls"},
		{"busy", "x", "sallyport queue ls --account busy@local.test"},
		{"held", "x", "the queue of held@local.test is held"},
		{"bob", "x", "conf:7:1: postmaster: it names bob@local.test"},
		{"alice", "team", "an alias has this address"},
		{"alice", "taken", "/mail/local.test/taken holds files already"},
		{"alice", "x@other.test", "its domain is none of ours"},
	} {
		to := c.to
		if !strings.Contains(to, "@") {
			to += "@local.test"
		}
		_, err := operate.Direct(w.Operator).AccountRename(ctx, operate.AccountRename{Address: c.from + "@local.test", To: to})
		if err == nil || !strings.Contains(err.Error(), c.says) || operator.Code(err) == call.CodeInternal {
			t.Errorf("%s to %s: %v, want %q", c.from, to, err, c.says)
		}
	}
	for a, was := range before {
		if now := w.Story(t, a+"@local.test"); now != was {
			t.Errorf("something is told of %s: %s", a, now)
		}
		if _, held := w.Spool.AccountHeld(operator.Address(t, a+"@local.test")); held != (a == "frozen" || a == "held") {
			t.Errorf("the queue of %s is held: %v", a, held)
		}
	}
}

// The power fails at every write of a rename: afterwards the account has one of its addresses
// and everything under that, the mailbox after the next start at the latest.
func TestARenameIsOneAct(t *testing.T) {
	o := &outages{disk: vfs.NewCrashableMem(), rng: rnd.New(rnd.NewPCG(5, 6))}
	disk := errorfs.Wrap(o.disk, o)
	w := operator.On(t, openPebble(t, disk))
	withMailboxes(w, t, disk)
	self := operate.Self()
	w.Account(t, "alice@local.test")
	letter(t, o.disk, "alice")
	_, err := w.ForwardAdd(t.Context(), self, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}})
	operator.Check(t, err)
	left := o.during(func() {
		_, err := w.AccountRename(t.Context(), self, operate.AccountRename{Address: "alice@local.test", To: "smith@local.test", KeepAlias: true})
		operator.Check(t, err)
	})
	found := map[string]int{}
	for i, fs := range left {
		st := openPebble(t, fs)
		after := operator.On(t, st)
		boxes := withMailboxes(after, t, fs)
		moves, err := after.Identity.Moves(t.Context())
		operator.Check(t, err)
		for _, m := range moves { // as a start does
			operator.Check(t, boxes.Follow(m.From, m.To))
		}
		_, alice := after.Identity.Lookup(operator.Address(t, "alice@local.test"))
		_, smith := after.Identity.Lookup(operator.Address(t, "smith@local.test"))
		f := after.Roster.State().Forwards()
		shape := fmt.Sprintf("alice %v %v, smith %v %v, forward of %s, %d aliases, told %v", alice, has(fs, "alice"), smith, has(fs, "smith"),
			f[0].Account, len(after.Roster.State().Aliases()), recorded(t, st, "renamed to smith@local.test"))
		found[shape]++
		if shape != "alice true true, smith false false, forward of alice@local.test, 0 aliases, told false" &&
			shape != "alice false false, smith true true, forward of smith@local.test, 1 aliases, told true" {
			t.Errorf("failure %d of %d left: %s", i, len(left), shape)
		}
		operator.Check(t, st.Close())
	}
	if len(found) != 2 {
		t.Errorf("found %v", found)
	}
}

// A rename that the store refuses has not happened anywhere, and can be repeated.
func TestARenameThatFailsIsNone(t *testing.T) {
	r := &refusing{Store: mem.New()}
	w, disk := operator.On(t, r), vfs.NewMem()
	withMailboxes(w, t, disk)
	w.Account(t, "alice@local.test")
	letter(t, disk, "alice")
	r.with.Store(&store.ErrUnavailable)
	ask := operate.AccountRename{Address: "alice@local.test", To: "smith@local.test"}
	_, err := operate.Direct(w.Operator).AccountRename(t.Context(), ask)
	operator.WantCode(t, err, call.CodeUnavailable)
	if _, held := w.Spool.AccountHeld(operator.Address(t, "alice@local.test")); held || !has(disk, "alice") || len(w.Ended) != 0 {
		t.Errorf("held %v, sessions of %v ended", held, w.Ended)
	}
	r.with.Store(nil)
	_, err = w.AccountRename(t.Context(), operate.Self(), ask)
	operator.Check(t, err)
	w.Put(t, "smith@local.test")
}
