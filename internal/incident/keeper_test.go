package incident

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// site is a Keeper over accounts and a queue on one store on a disk.
type site struct {
	Keeper
	t     *testing.T
	st    *disk
	ids   *accounts.Identity
	queue *spool.Spool
	now   time.Time

	ended   []mail.Address // whose sessions were ended
	raised  []Incident     // what was told
	cleared []string       // what the end of incidents meant
	resumed []Shared
}

// disk is a store that may fail, and that may be asked by somebody else in between.
type disk struct {
	store.Store
	fails   error
	between func() // runs once, before the next transaction
}

func (d *disk) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	if f := d.between; f != nil {
		d.between = nil
		f()
	}
	if d.fails != nil {
		return 0, d.fails
	}
	return d.Store.Apply(ctx, tx, how)
}

func newSite(t *testing.T) *site {
	t.Helper()
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: filepath.Join(t.TempDir(), "store"), MinFree: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	s := &site{t: t, st: &disk{Store: st}, now: noon()}
	t.Cleanup(func() { st.Close() })
	s.begin()
	return s
}

// begin opens everything on the store, as a server that starts.
func (s *site) begin() {
	s.t.Helper()
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	clock := func() time.Time { return s.now }
	var err error
	s.ids, err = accounts.Open(s.t.Context(), s.st, accounts.Options{Limits: limits, Now: clock})
	must(s.t, err)
	key, err := gate.NewKey([]byte(strings.Repeat("k", 32)))
	must(s.t, err)
	s.queue, _, err = spool.Open(s.t.Context(), s.st, spool.Options{Key: key, Policy: sched.Default(), Now: clock, Logger: slog.New(slog.DiscardHandler)})
	must(s.t, err)
	s.Keeper = Keeper{
		Log: NewLog(s.st), Accounts: s.ids, Queue: s.queue, EndSessions: s.end, Now: clock,
		Raised: func(i Incident) { s.raised = append(s.raised, i) },
	}
}

// end ends sessions, which come back where the account still may.
func (s *site) end(a mail.Address) int {
	if s.ids.Active(a) || len(s.raised) > 0 {
		s.t.Errorf("the sessions of %s end before it is contained, or after it was told", a)
	}
	s.ended = append(s.ended, a)
	return 3
}

// noted plans the key that says that a planner was in the act.
func noted(key string) store.Planner {
	return func(context.Context) (store.Share, error) {
		return store.Share{Mutations: []store.Mutation{{Key: []byte("test/" + key), Value: []byte("x")}}}, nil
	}
}

var errPlan = errors.New("it can't be planned")

func noPlan(context.Context) (store.Share, error) { return store.Share{}, errPlan }

func (s *site) isNoted(key string) bool {
	_, err := s.st.Get(s.t.Context(), []byte("test/"+key))
	return err == nil
}

func (s *site) account(name string) mail.Address {
	s.t.Helper()
	a := addr(s.t, name)
	_, err := s.ids.Add(s.t.Context(), a, "a password of its own", accounts.Sending{Role: accounts.RolePerson}, nil)
	must(s.t, err)
	return a
}

func (s *site) app(a mail.Address, name string) accounts.Credential {
	s.t.Helper()
	c, _, err := s.ids.AddApp(s.t.Context(), a, accounts.AppPassword{Name: name, Scope: accounts.ScopeAll}, func(accounts.Credential) [][]byte { return nil })
	must(s.t, err)
	return c
}

func (s *site) held(a mail.Address) string {
	reason, is := s.queue.AccountHeld(a)
	if is != (reason != "") {
		s.t.Errorf("held %v, for %q", is, reason)
	}
	return reason
}

func (s *site) credentials(a mail.Address) (names []string) {
	s.t.Helper()
	all, err := s.ids.Credentials(a)
	must(s.t, err)
	for _, c := range all {
		names = append(names, c.Kind.String()+" "+c.Name)
	}
	return names
}

// told are the facts on the store since the last call.
func (s *site) told() (all []fact.Fact) {
	s.t.Helper()
	end := uint64(1 << 62)
	must(s.t, s.st.Facts(s.t.Context(), 0, end, func(seq uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		all, end = append(all, f), seq+1
		return true, err
	}))
	must(s.t, s.st.DeleteFacts(s.t.Context(), end))
	return all
}

func (s *site) wantTold(what string, want ...string) []fact.Fact {
	s.t.Helper()
	all := s.told()
	var got []string
	for _, f := range all {
		got = append(got, string(f.Kind)+" "+f.Rule+" "+f.Account+": "+f.Text)
		if by, _ := f.Find("by uid"); by != "0" || !f.At.Equal(s.now) {
			s.t.Errorf("%s: %q is by %q, at %s", what, f.Text, by, f.At)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: the trace has\n%q\nand should have\n%q", what, got, want)
	}
	return all
}

func by() fact.Pair { return fact.Pair{Name: "by uid", Value: "0"} }

// found is an incident as a detector finds it.
func (s *site) found(name string, used ...string) Incident {
	return Incident{
		Account: addr(s.t, name), Since: s.now, Rule: "hijack", By: "the hijack detector", Reason: "too many strangers", Odds: 12000, Evidence: []string{"too many strangers", "a new network"}, Used: used,
		Seen: []Origin{{Door: "mx"}, {Door: "submission", Program: "bot", TLS: "TLS 1.3", Conn: "c1", At: s.now}}, Cause: Cause{Sender: "alice@local.test", MessageID: "<x@local.test>"},
	}
}

// contained is a site where alice is contained: her phone was used, and the thief made
// himself another app password.
func contained(t *testing.T) (s *site, alice mail.Address, raised Incident) {
	t.Helper()
	s = newSite(t)
	alice = s.account("alice@local.test")
	s.now = s.now.Add(time.Hour)
	phone := s.app(alice, "phone")
	s.app(alice, "tablet")
	s.now = s.now.Add(time.Hour)
	i := s.found("ALICE@Local.test", phone.ID)
	thief := s.app(alice, "thief")
	s.now = s.now.Add(time.Hour)
	raised, a, ended, err := s.Contain(t.Context(), i, by())
	must(t, err)
	if want := []string{
		"the app password phone of 2026-11-28T13:00:00Z (" + phone.ID + ")", "the app password thief of 2026-11-28T14:00:00Z (" + thief.ID + ")",
	}; !slices.Equal(raised.Revoked, want) {
		t.Errorf("revoked %q, which should be %q", raised.Revoked, want)
	}
	if a.Standing != accounts.StandingFrozen || a.FrozenReason != i.Reason || ended != 3 {
		t.Errorf("%+v, %d sessions ended", a, ended)
	}
	return s, alice, raised
}

// A containment is one act: the account's standing, what was used, the hold of the queue,
// the incident and the facts; and a server that starts again finds all of it.
func TestAContainmentIsOneAct(t *testing.T) {
	s, alice, raised := contained(t)
	if raised.Account != alice || raised.Number != 1 || raised.State != StateOpen || !raised.At.Equal(s.now) || !raised.Since.Equal(noon().Add(2*time.Hour)) || !raised.CredentialOf.Equal(noon()) {
		t.Errorf("%+v", raised)
	}
	if !slices.Equal(s.ended, []mail.Address{alice}) || !reflect.DeepEqual(s.raised, []Incident{raised}) {
		t.Errorf("ended %v, told %+v", s.ended, s.raised)
	}
	all := s.wantTold("contained", "account hijack alice@local.test: frozen", "hold hijack alice@local.test: the account's queue", "incident hijack alice@local.test: incident 1 raised")
	if revoked := all[0].Evidence; len(revoked) != 3 || revoked[2] != (fact.Pair{Name: "revoked", Value: raised.Revoked[1]}) {
		t.Errorf("the freeze tells %v", revoked)
	}
	if f := all[2]; f.Door != "submission" || f.Hello != "bot" || f.TLS != "TLS 1.3" || f.Conn != "c1" || f.Sender != "alice@local.test" || f.MessageID != "<x@local.test>" || f.Count != 1 ||
		!slices.Equal(f.Evidence, []fact.Pair{by(), {Name: "reason", Value: raised.Reason}, {Name: "evidence", Value: "a new network"}}) {
		t.Errorf("the incident is told as %+v", f)
	}
	for range 2 {
		open, is, err := s.Log.Open(t.Context(), alice)
		must(t, err)
		if a, _ := s.ids.Get(alice); !is || open.Number != 1 || a.Standing != accounts.StandingFrozen || a.PasswordRevoked || s.held(alice) != raised.Reason ||
			!slices.Equal(s.credentials(alice), []string{"password ", "app password tablet"}) {
			t.Errorf("%v, %+v, held for %q, %v", is, a, s.held(alice), s.credentials(alice))
		}
		s.begin()
	}
}

// What a person decides takes no credential, and has its moment for its begin.
func TestAPersonRevokesNothing(t *testing.T) {
	s := newSite(t)
	alice := s.account("alice@local.test")
	phone := s.app(alice, "phone")
	_ = s.told()
	s.now = s.now.Add(time.Hour)
	raised, _, _, err := s.Contain(t.Context(), Incident{Account: alice, Rule: RuleOperator, By: "uid 0", Reason: "seen in a leak", Used: []string{phone.ID}}, by())
	must(t, err)
	if len(raised.Revoked) != 0 || !raised.Since.Equal(s.now) || len(s.credentials(alice)) != 2 {
		t.Errorf("%+v, %v are left", raised, s.credentials(alice))
	}
	all := s.wantTold("frozen", "account operator alice@local.test: frozen", "hold operator alice@local.test: the account's queue", "incident operator alice@local.test: incident 1 raised")
	if f := all[2]; f.Door != "" || len(f.Evidence) != 1 {
		t.Errorf("the incident is told as %+v", f)
	}
	s.raised = nil
	early := noon().Add(-time.Hour)
	again, _, _, err := s.Contain(t.Context(), Incident{Account: alice, Since: early, CredentialOf: early, Rule: "hijack", By: "the hijack detector", Reason: "a blast"})
	must(t, err)
	if again.Number != 1 || !again.Since.Equal(early) || !again.CredentialOf.Equal(early) || s.held(alice) != "a blast" || len(s.credentials(alice)) != 0 || len(s.raised) != 1 {
		t.Errorf("%+v, held for %q, %v are left, %d told", again, s.held(alice), s.credentials(alice), len(s.raised))
	}
}

// What cannot be done is not begun: nobody's sessions end, nothing is held or told.
func TestAContainmentThatFailsIsNone(t *testing.T) {
	s := newSite(t)
	alice := s.account("alice@local.test")
	_ = s.told()
	silent := s.found("alice@local.test")
	silent.Reason = ""
	for _, c := range []struct {
		i     Incident
		disk  error
		wants error
	}{
		{s.found("nobody@local.test"), nil, accounts.ErrNoSuch},
		{silent, nil, accounts.ErrInvalid},
		{s.found("alice@local.test"), store.ErrUnavailable, store.ErrUnavailable},
	} {
		s.st.fails = c.disk
		raised, _, ended, err := s.Contain(t.Context(), c.i, by())
		s.st.fails = nil
		if !errors.Is(err, c.wants) || raised.Number != 0 || !raised.Account.IsZero() || ended != 0 || len(s.ended)+len(s.raised)+len(s.told()) != 0 || s.held(c.i.Account) != "" || !s.ids.Active(alice) {
			t.Errorf("%v in place of %v: %+v, %d ended, held for %q", err, c.wants, raised, ended, s.held(c.i.Account))
		}
	}
}

// An account whose password is revoked is freed when it has another, or when a person
// vouches for it; with all that its end means, in one act.
func TestAnAccountIsFreed(t *testing.T) {
	for _, vouched := range []bool{false, true} {
		s := newSite(t)
		alice := s.account("alice@local.test")
		i := s.found("alice@local.test")
		_, _, _, err := s.Contain(t.Context(), i) // since its password was made
		must(t, err)
		s.raised, _ = nil, s.told()
		s.Clearing = func(a mail.Address, since time.Time, v bool) store.Planner {
			s.cleared = append(s.cleared, a.String()+" "+since.Format(time.Kitchen)+" "+map[bool]string{true: "vouched"}[v])
			return noted("cleared")
		}
		s.now = s.now.Add(time.Hour)
		free := func(vouched bool) (Incident, accounts.Account, error) {
			return s.Free(t.Context(), addr(t, "ALICE@Local.test"), StatePurged, "uid 0", "she called", vouched, by())
		}
		if open, a, err := free(false); !errors.Is(err, ErrCredential) || open.Number != 1 || a.Address != alice || s.ids.Active(alice) || s.held(alice) == "" || len(s.raised) != 0 {
			t.Fatalf("freed without a password: %+v, %v", open, err)
		}
		if !vouched {
			_, err = s.ids.SetPassword(t.Context(), alice, "another one altogether", nil)
			must(t, err)
		}
		s.st.fails = store.ErrUnavailable
		if closed, _, err := free(vouched); !errors.Is(err, store.ErrUnavailable) || s.ids.Active(alice) || s.held(alice) == "" || len(s.raised) != 0 || s.isNoted("cleared") {
			t.Fatalf("freed on a disk that fails: %+v, %v", closed, err)
		}
		s.st.fails, s.cleared, _ = nil, nil, s.told()
		closed, a, err := free(vouched)
		must(t, err)
		if a.Address != alice || !s.ids.Active(alice) || s.held(alice) != "" || closed.Number != 1 || closed.State != StatePurged || !closed.Closed.Equal(s.now) || closed.ClosedBy != "uid 0" ||
			closed.ClosedFor != "she called" || !reflect.DeepEqual(s.raised, []Incident{closed}) {
			t.Errorf("%+v, %+v, told %+v", closed, a, s.raised)
		}
		if !slices.Equal(s.cleared, []string{"alice@local.test 12:00PM " + map[bool]string{true: "vouched"}[vouched]}) || !s.isNoted("cleared") {
			t.Errorf("cleared %q", s.cleared)
		}
		s.wantTold("freed", "account operator alice@local.test: thawed", "release operator alice@local.test: the account's queue", "incident hijack alice@local.test: incident 1 purged")
		if _, is, err := s.Log.Open(t.Context(), alice); is || err != nil {
			t.Errorf("it is open still: %v", err)
		}
	}
}

// What cannot be cleared is not freed; and without an incident there is nothing to clear
// or to tell.
func TestFreeingWithoutAnIncident(t *testing.T) {
	s, alice, _ := contained(t)
	s.raised, _ = nil, s.told()
	s.Clearing = func(mail.Address, time.Time, bool) store.Planner { return noPlan }
	if _, _, err := s.Free(t.Context(), alice, StateReleased, "uid 0", "", true); !errors.Is(err, errPlan) || s.ids.Active(alice) || s.held(alice) == "" || len(s.raised) != 0 {
		t.Errorf("%v, told %+v", err, s.raised)
	}
	s.Clearing = nil
	if closed, _, err := s.Free(t.Context(), alice, StateReleased, "uid 0", "", false, by()); err != nil || closed.State != StateReleased || len(s.raised) != 1 {
		t.Errorf("a password that was not revoked: %+v, %v", closed, err)
	}
	s.wantTold("freed", "account operator alice@local.test: thawed", "release operator alice@local.test: the account's queue", "incident hijack alice@local.test: incident 1 released")
	s.raised = nil
	s.Clearing = func(mail.Address, time.Time, bool) store.Planner { return noPlan }
	_, err := s.ids.Freeze(t.Context(), alice, "before there were incidents", nil)
	must(t, err)
	closed, a, err := s.Free(t.Context(), alice, StateReleased, "uid 0", "", false, by())
	if err != nil || closed.Number != 0 || a.Address != alice || !s.ids.Active(alice) || len(s.raised) != 0 {
		t.Errorf("%+v, %v, told %v", closed, err, s.raised)
	}
	s.wantTold("thawed", "account operator alice@local.test: thawed", "release operator alice@local.test: the account's queue")
	if _, _, err := s.Free(t.Context(), addr(t, "nobody@local.test"), StateReleased, "", "", true); !errors.Is(err, accounts.ErrNoSuch) {
		t.Errorf("nobody is freed: %v", err)
	}
	s.Raised = nil // nobody need be told
	_, _, _, err = s.Contain(t.Context(), Incident{Account: alice, Rule: RuleOperator, Reason: "x"})
	must(t, err)
}

// An incident ends with its account, in the act that removes it.
func TestAnIncidentEndsWithItsAccount(t *testing.T) {
	s, alice, _ := contained(t)
	bob := s.account("bob@local.test")
	_ = s.told()
	must(t, s.ids.Remove(t.Context(), bob, nil, s.Dropping(bob, by())))
	s.wantTold("an account without one")
	s.st.fails = store.ErrUnavailable
	if err := s.ids.Remove(t.Context(), alice, nil, s.Dropping(alice, by())); err == nil {
		t.Error("the disk fails, and nobody says so")
	}
	if _, is, _ := s.Log.Open(t.Context(), alice); !is {
		t.Error("it ended without its account")
	}
	s.st.fails = nil
	must(t, s.ids.Remove(t.Context(), alice, nil, s.Dropping(alice, by())))
	s.wantTold("an account with one", "incident hijack alice@local.test: incident 1 ended with its account")
	i, err := s.Log.Get(t.Context(), 1)
	if err != nil || i.State != StateReleased || !i.Closed.Equal(s.now) || i.ClosedBy != "" || i.ClosedFor != "the account was removed" {
		t.Errorf("%+v, %v", i, err)
	}
}

// shared is what 100 accounts have in common.
func (s *site) shared() Incident {
	i := s.found("alice@local.test")
	i.Account, i.Since, i.Shared = mail.Address{}, time.Time{}, Shared{KindNetwork, "192.0.2.0/24"}
	i.Accounts = []mail.Address{addr(s.t, "alice@local.test"), addr(s.t, "bob@local.test")}
	for n := range 2 * maxTold {
		i.Evidence = append(i.Evidence, strings.Repeat("e", n+1))
	}
	return i
}

// A pause is an incident of what accounts have in common: one act with what pauses it; it
// touches no account, and ends by a person with all that the end means.
func TestAPauseAndItsEnd(t *testing.T) {
	s := newSite(t)
	alice := s.account("alice@local.test")
	_ = s.told()
	i := s.shared()
	raised, err := s.Pause(t.Context(), i, []fact.Pair{by()}, noted("paused"))
	must(t, err)
	if raised.Number != 1 || raised.State != StateOpen || !raised.At.Equal(s.now) || !raised.Since.Equal(s.now) || !s.isNoted("paused") || !reflect.DeepEqual(s.raised, []Incident{raised}) || !s.ids.Active(alice) {
		t.Errorf("%+v, told %+v", raised, s.raised)
	}
	all := s.wantTold("paused", "incident hijack : incident 1 raised")
	var names []string
	for _, p := range all[0].Evidence {
		names = append(names, p.Name)
	}
	want := append([]string{"by uid", "paused", "account", "account", "reason"}, slices.Repeat([]string{"evidence"}, maxTold)...)
	if !slices.Equal(names, want) || all[0].Evidence[1].Value != "the network 192.0.2.0/24" {
		t.Errorf("told %v", all[0].Evidence)
	}
	s.now = s.now.Add(time.Hour)
	late := s.shared()
	late.Since, late.Reason = noon().Add(-time.Hour), "and more"
	if more, err := s.Pause(t.Context(), late, []fact.Pair{by()}); err != nil || more.Number != 1 || !more.Since.Equal(late.Since) || len(s.raised) != 2 {
		t.Errorf("paused again: %+v, %v", more, err)
	}
	var paused []string
	must(t, s.Log.Paused(t.Context(), func(i Incident) error { paused = append(paused, i.Of()); return nil }))
	if open, err := s.Log.Count(t.Context()); err != nil || open != 1 || !slices.Equal(paused, []string{"the network 192.0.2.0/24"}) {
		t.Errorf("%d open, %v, paused %q", open, err, paused)
	}
	s.raised, _ = nil, s.told()
	s.Resuming = func(of Shared) store.Planner { s.resumed = append(s.resumed, of); return noPlan }
	if _, err := s.Resume(t.Context(), i.Shared, "uid 0", "they are ours", by()); !errors.Is(err, errPlan) || len(s.raised) != 0 {
		t.Errorf("ended without what it means: %v", err)
	}
	s.Resuming = func(of Shared) store.Planner { s.resumed = append(s.resumed, of); return noted("resumed") }
	closed, err := s.Resume(t.Context(), i.Shared, "uid 0", "they are ours", by())
	if err != nil || closed.Number != 1 || closed.State != StateReleased || !closed.Closed.Equal(s.now) || closed.ClosedBy != "uid 0" || closed.ClosedFor != "they are ours" ||
		!reflect.DeepEqual(s.raised, []Incident{closed}) || !slices.Equal(s.resumed, []Shared{i.Shared, i.Shared}) || !s.isNoted("resumed") {
		t.Errorf("%+v, %v, told %v, resumed %v", closed, err, s.raised, s.resumed)
	}
	if all := s.wantTold("resumed", "incident hijack : incident 1 released"); len(all) == 1 && len(all[0].Evidence) != 2 {
		t.Errorf("told %v", all[0].Evidence)
	}
	s.Resuming = nil
	if closed, err := s.Resume(t.Context(), i.Shared, "uid 0", "again"); err != nil || closed.Number != 0 || len(s.raised) != 1 {
		t.Errorf("ended twice: %+v, %v", closed, err)
	}
	must(t, s.Log.Paused(t.Context(), func(i Incident) error { t.Errorf("%s is paused", i.Of()); return nil }))
}

// A pause is of something and of no account; one that cannot be planned or stored is none;
// and one that another came before adds to that.
func TestAPauseThatIsNone(t *testing.T) {
	s := newSite(t)
	both := s.shared()
	both.Account = addr(t, "alice@local.test")
	for _, c := range []struct {
		i     Incident
		with  []store.Planner
		disk  error
		wants error
	}{
		{both, nil, nil, ErrShared},
		{Incident{Rule: "hijack", Reason: "x"}, nil, nil, ErrShared},
		{s.found("alice@local.test"), nil, nil, ErrShared},
		{s.shared(), []store.Planner{noPlan}, nil, errPlan},
		{s.shared(), nil, store.ErrUnavailable, store.ErrUnavailable},
	} {
		s.st.fails = c.disk
		if raised, err := s.Pause(t.Context(), c.i, nil, c.with...); !errors.Is(err, c.wants) || raised.Number != 0 || !raised.Shared.IsZero() || len(s.raised)+len(s.told()) != 0 {
			t.Errorf("%v in place of %v: %+v", err, c.wants, raised)
		}
	}
	if _, err := s.Resume(t.Context(), s.shared().Shared, "uid 0", ""); err == nil {
		t.Error("the disk fails, and nobody says so")
	}
	s.st.fails = nil
	s.st.between = func() {
		first := s.shared()
		first.Reason = "the first"
		_, err := s.Pause(t.Context(), first, nil)
		must(t, err)
	}
	raised, err := s.Pause(t.Context(), s.shared(), nil)
	if err != nil || raised.Number != 1 || raised.Reason != "the first" {
		t.Errorf("%+v, %v", raised, err)
	}
	if err := s.Log.Paused(t.Context(), func(Incident) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("whoever asks fails, and it says %v", err)
	}
}

// What is paused is said within a sentence, and is told apart from what is not.
func TestWhatAnIncidentIsOf(t *testing.T) {
	alice := addr(t, "alice@local.test")
	for want, i := range map[string]Incident{
		"alice@local.test":             {Account: alice, Shared: Shared{KindText, "x"}},
		"the network 192.0.2.0/24":     {Shared: Shared{KindNetwork, "192.0.2.0/24"}},
		"the TLS fingerprint t13d1516": {Shared: Shared{KindTLS, "t13d1516"}},
		"the text 5f3a":                {Shared: Shared{KindText, "5f3a"}},
		"nothing":                      {Shared: Shared{"color", "red"}},
		"":                             {},
	} {
		if got := i.Of(); got != want {
			t.Errorf("%q, which should be %q", got, want)
		}
	}
	at := Incident{Shared: Shared{KindText, "alice@local.test"}}
	if key := string(at.openKey()); strings.Contains(key, "@") || key == string(openKey(alice)) {
		t.Errorf("the key %q may be an account's", key)
	}
	var many []mail.Address
	for range maxAccounts + 1 {
		many = append(many, alice)
	}
	if n := len(accountsOf(many)); n != maxAccounts {
		t.Errorf("%d accounts", n)
	}
}

// What a person began without evidence, and ends without vouching for anything, means something else than the end of any
// other incident; where nobody plans that, it means the same.
func TestTheEndOfAFreezeMeansLess(t *testing.T) {
	for name, c := range map[string]struct {
		evidence, vouched, unplanned bool
		want                         string
	}{
		"a freeze":                    {want: "thawed"},
		"a freeze, vouched for":       {vouched: true, want: "cleared"},
		"a freeze, and then evidence": {evidence: true, want: "cleared"},
		"nobody plans it":             {unplanned: true, want: "cleared"},
	} {
		s := newSite(t)
		alice := s.account("alice@local.test")
		s.Clearing = func(mail.Address, time.Time, bool) store.Planner { return noted("cleared") }
		if !c.unplanned {
			s.Thawing = func(a mail.Address, since time.Time) store.Planner {
				if a != alice || !since.Equal(s.now) {
					t.Errorf("%s: %s since %s", name, a, since)
				}
				return noted("thawed")
			}
		}
		_, _, _, err := s.Contain(t.Context(), Incident{Account: alice, Rule: RuleOperator, By: "uid 0", Reason: "seen in a leak"})
		must(t, err)
		if c.evidence {
			s.raised = nil
			_, _, _, err = s.Contain(t.Context(), Incident{Account: alice, Rule: "hijack", Reason: "a blast"})
			must(t, err)
			_, err = s.ids.SetPassword(t.Context(), alice, "another one altogether", nil)
			must(t, err)
		}
		_, _, err = s.Free(t.Context(), alice, StateReleased, "uid 0", "", c.vouched)
		must(t, err)
		for _, key := range []string{"thawed", "cleared"} {
			if s.isNoted(key) != (key == c.want) {
				t.Errorf("%s: %s %v", name, key, s.isNoted(key))
			}
		}
	}
}

// listed are accounts whose passwords a directory keeps.
type listed struct{ *accounts.Identity }

func (l listed) Get(a mail.Address) (accounts.Account, error) {
	acc, err := l.Identity.Get(a)
	acc.Source.Directory = "people"
	return acc, err
}

// An incident says where the account's password is kept, since it is changed there.
func TestAnIncidentKnowsWhereThePasswordIs(t *testing.T) {
	for _, directory := range []string{"", "people"} {
		s := newSite(t)
		a := s.account("alice@local.test")
		if directory != "" {
			s.Accounts = listed{s.ids}
		}
		raised, _, _, err := s.Contain(t.Context(), Incident{Account: a, Rule: "hijack", By: "the detector", Reason: "x"})
		must(t, err)
		kept, err := s.Log.Get(t.Context(), raised.Number)
		must(t, err)
		command, _ := kept.NewPassword()
		if want := map[string]string{"": " --generate", "people": " --directory"}[directory]; kept.Directory != directory || !strings.HasSuffix(command, want) {
			t.Errorf("%q: %q, %s", directory, kept.Directory, command)
		}
	}
}
