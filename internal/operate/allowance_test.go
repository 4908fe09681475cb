package operate

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/store"
	"sallyport/internal/trace/query"
)

var root = Caller{UID: 0, Known: true}

// allowance is what a configuration would give.
func (w *world) allowance(a accounts.Account) budget.Limits {
	own := budget.Limits{Hour: a.RecipientsHour, Day: a.RecipientsDay}
	if a.Role == accounts.RoleBulk {
		return own.Or(budget.Limits{Hour: 50, Day: 90})
	}
	return own.Or(budget.Limits{Hour: 5, Day: 9})
}

// Limits of an account are set, shown, and taken back to those of its role, at once; its
// sessions end only with another role. Each change stands in the trace.
func TestAccountLimits(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	n := func(i int) *int { return &i }
	v, err := w.AccountAdd(ctx, root, AccountAdd{Address: "alice@local.test", Password: "correct horse battery", Role: "person", RecipientsHour: 7})
	check(t, err)
	before, _ := w.accounts.Lookup(address(t, "alice@local.test"))
	for _, c := range []struct {
		set  AccountSet
		want Allowance
	}{
		{AccountSet{RecipientsDay: n(70)}, Allowance{Most: budget.Limits{Hour: 7, Day: 70}, Own: budget.Limits{Hour: 7, Day: 70}}},
		{AccountSet{RecipientsHour: n(0)}, Allowance{Most: budget.Limits{Hour: 5, Day: 70}, Own: budget.Limits{Day: 70}}},
		{AccountSet{RecipientsDay: n(0)}, Allowance{Most: budget.Limits{Hour: 5, Day: 9}}},
	} {
		c.set.Address = "Alice@local.test"
		v, err = w.AccountSet(ctx, root, c.set)
		check(t, err)
		shown, err := w.AccountShow(ctx, root, AccountRef{Address: "alice@local.test"})
		check(t, err)
		if *v.Recipients != c.want || *shown.Recipients != c.want {
			t.Errorf("%+v: %+v, then %+v", c.set, *v.Recipients, *shown.Recipients)
		}
	}
	if after, _ := w.accounts.Lookup(address(t, "alice@local.test")); after.Revision != before.Revision || len(w.ended) != 0 {
		t.Error("a session of the account would end")
	}
	v, err = w.AccountSet(ctx, root, AccountSet{Address: "alice@local.test", Role: "bulk"})
	check(t, err)
	if v.Recipients.Most != (budget.Limits{Hour: 50, Day: 90}) || v.Role != "bulk" || len(w.ended) != 1 || v.SessionsEnded != 3 {
		t.Errorf("with another role: %+v, %+v, ended %v", v, *v.Recipients, w.ended)
	}
	for name, bad := range map[string]AccountSet{
		"nothing":    {Address: "alice@local.test"},
		"a role":     {Address: "alice@local.test", Role: "king"},
		"too little": {Address: "alice@local.test", RecipientsHour: n(-1)},
		"too much":   {Address: "alice@local.test", RecipientsDay: n(accounts.MaxRecipients + 1)},
		"nobody":     {Address: "nobody@local.test", Role: "bulk"},
	} {
		if _, err := w.AccountSet(ctx, root, bad); err == nil {
			t.Errorf("%s was set", name)
		}
	}
	if _, err := w.AccountAdd(ctx, root, AccountAdd{Address: "carl@local.test", Password: "correct horse battery", Role: "person", RecipientsDay: -1}); err == nil {
		t.Error("an account with a limit of -1 was made")
	}
	answer, err := w.o.Facts.Query(ctx, query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: "alice@local.test"}}})
	check(t, err)
	told := fmt.Sprintf("%+v", answer)
	for _, want := range []string{"limits changed", "recipients a day", "70"} {
		if !strings.Contains(told, want) {
			t.Errorf("the trace says nothing of %q: %s", want, told)
		}
	}
}

// Whoever has used up what it may send, or was refused lately, stands in the status.
func TestStatusNamesTheCapped(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := w.AccountAdd(ctx, root, AccountAdd{Address: a, Password: "correct horse battery", Role: "person"})
		check(t, err)
	}
	c := w.ledger.Charge(ledger.Account(address(t, "alice@local.test")))
	for range 6 {
		c.Take(1, budget.Limits{Hour: 5, Day: 9})
	}
	check(t, c.Keep(ctx, store.Durable))
	c.Done()
	s, err := w.Status(ctx, root, struct{}{})
	check(t, err)
	if len(s.Capped) != 1 || s.Capped[0].Address != "alice@local.test" || s.Capped[0].Used.Hour != 5 || s.Capped[0].Refused.IsZero() {
		t.Errorf("capped: %+v", s.Capped)
	}
}
