package operate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/bind"
	"sallyport/internal/mail"
)

// uses has an account use names in From, taken where they are ours.
func (w *world) uses(t *testing.T, account string, names ...string) {
	t.Helper()
	from, err := mail.ParseAddress(account, mail.ASCII)
	check(t, err)
	for _, n := range names {
		a, err := mail.ParseAddress(n, mail.ASCII)
		check(t, err)
		ours := w.book.Snapshot().IsOurs(a.Domain())
		w.findings.Keep(t.Context(), w.findings.Used(from, ours, w.book.Snapshot().IsOurs, bind.Use{Where: bind.InEnvelope, Address: a}, bind.Use{Where: bind.InFrom, Address: a}))
	}
}

func (w *world) bindings(t *testing.T, r BindingSelect) (all []string) {
	t.Helper()
	check(t, w.BindingList(t.Context(), Self(), r, func(b Binding) error {
		if b.Where != "envelope" {
			all = append(all, fmt.Sprintf("%s %s %s %d/%d", b.Account, b.Name, b.State, b.Taken, b.Refused))
		}
		return nil
	}))
	return all
}

// newFound is a world with findings of two accounts.
func newFound(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.binding = bind.Report
	w.account(t, "alice@local.test", "bob@local.test")
	_, err := w.AliasAdd(t.Context(), Self(), AliasAdd{Name: "team@local.test", Targets: []string{"alice@local.test", "bob@local.test"}})
	check(t, err)
	w.uses(t, "alice@local.test", "bob@local.test", "team@local.test", "nosuch@local.test", "x@bank.test", "bob+x@local.test")
	w.uses(t, "bob@local.test", "postmaster@local.test")
	return w
}

// What was found is told with what can be done about it, and becomes rights in one act.
func TestFindingsBecomeRights(t *testing.T) {
	w := newFound(t)
	want := []string{
		"alice@local.test @bank.test foreign 0/1", "alice@local.test bob+x@local.test nobody 1/0", "alice@local.test bob@local.test open 1/0",
		"alice@local.test nosuch@local.test nobody 1/0", "alice@local.test team@local.test open 1/0", "bob@local.test postmaster@local.test open 1/0",
	}
	if got := w.bindings(t, BindingSelect{}); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if got := w.bindings(t, BindingSelect{Account: "BOB@local.test"}); !slices.Equal(got, want[5:]) {
		t.Errorf("of bob: %q", got)
	}
	s, err := w.Status(t.Context(), Self(), struct{}{})
	check(t, err)
	if b := s.Binding; b == nil || b.Mode != "report" || b.Accounts != 2 || b.Names != 6 || b.Since.IsZero() {
		t.Errorf("the status says %+v", s.Binding)
	}
	dry, err := w.BindingGrant(t.Context(), Self(), BindingGrant{Account: "alice@local.test", Names: []string{"Team@local.test"}, DryRun: true})
	check(t, err)
	if len(dry.Granted) != 1 || !dry.DryRun || dry.Granted[0].InForce || len(w.book.Entries().Delegates()) != 0 {
		t.Errorf("%+v", dry)
	}
	got, err := w.BindingGrant(t.Context(), Self(), BindingGrant{Account: "alice@local.test", Names: []string{"team@local.test"}})
	check(t, err)
	if len(got.Granted) != 1 || got.Granted[0].Address != "team@local.test" || len(got.Left) != 0 || len(w.book.Entries().Delegates()) != 1 {
		t.Errorf("%+v", got)
	}
	all, err := w.BindingGrant(t.Context(), Self(), BindingGrant{All: true})
	check(t, err)
	if len(all.Granted) != 2 || len(all.Left) != 3 || len(w.book.Entries().Delegates()) != 3 {
		t.Errorf("%+v", all)
	}
	for _, l := range all.Left {
		if l.Why == "" || l.Account != "alice@local.test" {
			t.Errorf("%+v", l)
		}
	}
	if got := w.bindings(t, BindingSelect{}); !slices.Equal(got, []string{want[0], want[1], want[3]}) {
		t.Errorf("still to review: %q", got)
	}
	if got := w.bindings(t, BindingSelect{All: true}); len(got) != 6 || !strings.HasSuffix(got[2], "granted 1/0") {
		t.Errorf("with what was granted: %q", got)
	}
	again, err := w.BindingGrant(t.Context(), Self(), BindingGrant{All: true})
	if err != nil || len(again.Granted) != 0 || len(again.Left) != 3 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// What is refused changes nothing: not one of several is granted alone.
func TestFindingsThatBecomeNoRights(t *testing.T) {
	w := newFound(t)
	for name, r := range map[string]BindingGrant{
		"nothing named":     {},
		"an account alone":  {Account: "alice@local.test"},
		"names and all":     {Account: "alice@local.test", Names: []string{"bob@local.test"}, All: true},
		"names of nobody":   {Names: []string{"bob@local.test"}},
		"never found":       {Account: "alice@local.test", Names: []string{"bob@local.test", "postmaster@local.test"}},
		"another's finding": {Account: "bob@local.test", Names: []string{"team@local.test"}},
		"nobody's address":  {Account: "alice@local.test", Names: []string{"bob@local.test", "nosuch@local.test"}},
		"a foreign domain":  {Account: "alice@local.test", Names: []string{"x@bank.test"}},
		"no address":        {Account: "alice@local.test", Names: []string{"bob"}},
		"no account":        {Account: "carol@local.test", All: true},
		"no account, dry":   {Account: "carol@local.test", All: true, DryRun: true},
	} {
		if got, err := w.BindingGrant(t.Context(), Self(), r); err == nil || len(got.Granted) != 0 || len(w.book.Entries().Delegates()) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// What somebody else wrote as is no habit of a frozen account's owner.
	_, err := w.AccountFreeze(t.Context(), Self(), AccountReason{Address: "alice@local.test"})
	check(t, err)
	if got, err := w.BindingGrant(t.Context(), Self(), BindingGrant{Account: "alice@local.test", Names: []string{"bob@local.test"}}); err == nil {
		t.Errorf("granted to a frozen account: %+v", got)
	}
	all, err := w.BindingGrant(t.Context(), Self(), BindingGrant{All: true})
	check(t, err)
	if len(all.Granted) != 1 || all.Granted[0].Account != "bob@local.test" || len(all.Left) != 5 {
		t.Errorf("%+v", all)
	}
}

// An account that goes takes its findings with it, and what was forgotten is gone; the rights
// stay.
func TestFindingsAreForgotten(t *testing.T) {
	w := newFound(t)
	if _, err := w.BindingForget(t.Context(), Self(), BindingForget{}); err == nil {
		t.Error("nobody's findings are forgotten")
	}
	if _, err := w.BindingForget(t.Context(), Self(), BindingForget{Account: "alice@local.test", All: true}); err == nil {
		t.Error("whose findings are forgotten is not clear")
	}
	_, err := w.BindingGrant(t.Context(), Self(), BindingGrant{Account: "bob@local.test", All: true})
	check(t, err)
	if f, err := w.BindingForget(t.Context(), Self(), BindingForget{Account: "bob@local.test", DryRun: true}); err != nil || f.Findings != 2 || len(w.bindings(t, BindingSelect{All: true})) != 6 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := w.BindingForget(t.Context(), Self(), BindingForget{Account: "bob@local.test"}); err != nil || f.Findings != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	if len(w.book.Entries().Delegates()) != 1 || len(w.bindings(t, BindingSelect{All: true})) != 5 {
		t.Errorf("%q", w.bindings(t, BindingSelect{All: true}))
	}
	_, err = w.AccountRemove(t.Context(), Self(), AccountRef{Address: "alice@local.test"})
	check(t, err)
	if got := w.findings.List(mail.Address{}); len(got) != 0 {
		t.Errorf("left behind: %+v", got)
	}
	w.uses(t, "alice@local.test", "bob@local.test") // a message that was under way
	w.account(t, "alice@local.test")
	if got := w.bindings(t, BindingSelect{All: true}); got != nil {
		t.Errorf("inherited: %q", got)
	}
	w.binding = bind.Enforce
	if s, err := w.Status(t.Context(), Self(), struct{}{}); err != nil || s.Binding != nil {
		t.Errorf("%+v, %v", s.Binding, err)
	}
}
