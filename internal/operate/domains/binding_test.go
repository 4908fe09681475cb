package domains_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/bind"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/test/operator"
)

// uses has an account use names in From, taken where they are ours.
func uses(w *operator.World, t *testing.T, account string, names ...string) {
	t.Helper()
	from, err := mail.ParseAddress(account, mail.ASCII)
	operator.Check(t, err)
	for _, n := range names {
		a, err := mail.ParseAddress(n, mail.ASCII)
		operator.Check(t, err)
		ours := w.Listed.Snapshot().IsOurs(a.Domain())
		w.Findings.Keep(t.Context(),
			w.Findings.Used(from, ours, w.Listed.Snapshot().IsOurs, bind.Use{Where: bind.InEnvelope, Address: a}, bind.Use{Where: bind.InFrom, Address: a}))
	}
}

func bindings(w *operator.World, t *testing.T, r operate.BindingSelect) (all []string) {
	t.Helper()
	operator.Check(t, w.BindingList(t.Context(), operate.Self(), r, func(b operate.Binding) error {
		if b.Where != "envelope" {
			all = append(all, fmt.Sprintf("%s %s %s %d/%d", b.Account, b.Name, b.State, b.Taken, b.Refused))
		}
		return nil
	}))
	return all
}

// newFound is a world with findings of two accounts.
func newFound(t *testing.T) *operator.World {
	t.Helper()
	w := operator.New(t)
	w.Bound = bind.Report
	w.Account(t, "alice@local.test", "bob@local.test")
	_, err := w.AliasAdd(t.Context(), operate.Self(), operate.AliasAdd{Name: "team@local.test", Targets: []string{"alice@local.test", "bob@local.test"}})
	operator.Check(t, err)
	uses(w, t, "alice@local.test", "bob@local.test", "team@local.test", "nosuch@local.test", "x@bank.test", "bob+x@local.test")
	uses(w, t, "bob@local.test", "postmaster@local.test")
	return w
}

// What was found is told with what can be done about it, and becomes rights in one act.
func TestFindingsBecomeRights(t *testing.T) {
	w := newFound(t)
	want := []string{
		"alice@local.test @bank.test foreign 0/1", "alice@local.test bob+x@local.test nobody 1/0", "alice@local.test bob@local.test open 1/0",
		"alice@local.test nosuch@local.test nobody 1/0", "alice@local.test team@local.test open 1/0", "bob@local.test postmaster@local.test open 1/0",
	}
	if got := bindings(w, t, operate.BindingSelect{}); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if got := bindings(w, t, operate.BindingSelect{Account: "BOB@local.test"}); !slices.Equal(got, want[5:]) {
		t.Errorf("of bob: %q", got)
	}
	s, err := w.Status(t.Context(), operate.Self(), struct{}{})
	operator.Check(t, err)
	if b := s.Binding; b == nil || b.Mode != "report" || b.Accounts != 2 || b.Names != 6 || b.Since.IsZero() {
		t.Errorf("the status says %+v", s.Binding)
	}
	dry, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{Account: "alice@local.test", Names: []string{"Team@local.test"}, DryRun: true})
	operator.Check(t, err)
	if len(dry.Granted) != 1 || !dry.DryRun || dry.Granted[0].InForce || len(w.Listed.Entries().Delegates()) != 0 {
		t.Errorf("%+v", dry)
	}
	got, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{Account: "alice@local.test", Names: []string{"team@local.test"}})
	operator.Check(t, err)
	if len(got.Granted) != 1 || got.Granted[0].Address != "team@local.test" || len(got.Left) != 0 || len(w.Listed.Entries().Delegates()) != 1 {
		t.Errorf("%+v", got)
	}
	all, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{All: true})
	operator.Check(t, err)
	if len(all.Granted) != 2 || len(all.Left) != 3 || len(w.Listed.Entries().Delegates()) != 3 {
		t.Errorf("%+v", all)
	}
	for _, l := range all.Left {
		if l.Why == "" || l.Account != "alice@local.test" {
			t.Errorf("%+v", l)
		}
	}
	if got := bindings(w, t, operate.BindingSelect{}); !slices.Equal(got, []string{want[0], want[1], want[3]}) {
		t.Errorf("still to review: %q", got)
	}
	if got := bindings(w, t, operate.BindingSelect{All: true}); len(got) != 6 || !strings.HasSuffix(got[2], "granted 1/0") {
		t.Errorf("with what was granted: %q", got)
	}
	again, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{All: true})
	if err != nil || len(again.Granted) != 0 || len(again.Left) != 3 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// What is refused changes nothing: not one of several is granted alone.
func TestFindingsThatBecomeNoRights(t *testing.T) {
	w := newFound(t)
	for name, r := range map[string]operate.BindingGrant{
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
		if got, err := w.BindingGrant(t.Context(), operate.Self(), r); err == nil || len(got.Granted) != 0 || len(w.Listed.Entries().Delegates()) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// What somebody else wrote as is no habit of a frozen account's owner.
	_, err := w.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test"})
	operator.Check(t, err)
	if got, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{Account: "alice@local.test", Names: []string{"bob@local.test"}}); err == nil {
		t.Errorf("granted to a frozen account: %+v", got)
	}
	all, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{All: true})
	operator.Check(t, err)
	if len(all.Granted) != 1 || all.Granted[0].Account != "bob@local.test" || len(all.Left) != 5 {
		t.Errorf("%+v", all)
	}
}

// An account that goes takes its findings with it, and what was forgotten is gone; the rights
// stay.
func TestFindingsAreForgotten(t *testing.T) {
	w := newFound(t)
	if _, err := w.BindingForget(t.Context(), operate.Self(), operate.BindingForget{}); err == nil {
		t.Error("nobody's findings are forgotten")
	}
	if _, err := w.BindingForget(t.Context(), operate.Self(), operate.BindingForget{Account: "alice@local.test", All: true}); err == nil {
		t.Error("whose findings are forgotten is not clear")
	}
	_, err := w.BindingGrant(t.Context(), operate.Self(), operate.BindingGrant{Account: "bob@local.test", All: true})
	operator.Check(t, err)
	if f, err := w.BindingForget(t.Context(), operate.Self(), operate.BindingForget{Account: "bob@local.test", DryRun: true}); err != nil || f.Findings != 2 || len(bindings(w, t, operate.BindingSelect{All: true})) != 6 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := w.BindingForget(t.Context(), operate.Self(), operate.BindingForget{Account: "bob@local.test"}); err != nil || f.Findings != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	if len(w.Listed.Entries().Delegates()) != 1 || len(bindings(w, t, operate.BindingSelect{All: true})) != 5 {
		t.Errorf("%q", bindings(w, t, operate.BindingSelect{All: true}))
	}
	_, err = w.AccountRemove(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	if got := w.Findings.List(mail.Address{}); len(got) != 0 {
		t.Errorf("left behind: %+v", got)
	}
	uses(w, t, "alice@local.test", "bob@local.test") // a message that was under way
	w.Account(t, "alice@local.test")
	if got := bindings(w, t, operate.BindingSelect{All: true}); got != nil {
		t.Errorf("inherited: %q", got)
	}
	w.Bound = bind.Enforce
	if s, err := w.Status(t.Context(), operate.Self(), struct{}{}); err != nil || s.Binding != nil {
		t.Errorf("%+v, %v", s.Binding, err)
	}
}
