package accounts_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
	"sallyport/test/operator"
)

// Limits of an account are set, shown, and taken back to those of its role, at once; its
// sessions end only with another role. Each change stands in the trace.
func TestAccountLimits(t *testing.T) {
	w := operator.New(t)
	ctx := t.Context()
	n := func(i int) *int { return &i }
	v, err := w.AccountAdd(ctx, operate.Self(), operate.AccountAdd{Address: "alice@local.test", Password: "correct horse battery", Role: "person", RecipientsHour: 7})
	operator.Check(t, err)
	before, _ := w.Identity.Lookup(operator.Address(t, "alice@local.test"))
	for _, c := range []struct {
		set  operate.AccountSet
		want operate.Allowance
	}{
		{operate.AccountSet{RecipientsDay: n(70)}, operate.Allowance{Most: budget.Limits{Hour: 7, Day: 70}, Own: budget.Limits{Hour: 7, Day: 70}}},
		{operate.AccountSet{RecipientsHour: n(0)}, operate.Allowance{Most: budget.Limits{Hour: 5, Day: 70}, Own: budget.Limits{Day: 70}}},
		{operate.AccountSet{RecipientsDay: n(0)}, operate.Allowance{Most: budget.Limits{Hour: 5, Day: 9}}},
	} {
		c.set.Address = "Alice@local.test"
		v, err = w.AccountSet(ctx, operate.Self(), c.set)
		operator.Check(t, err)
		shown, err := w.AccountShow(ctx, operate.Self(), operate.AccountRef{Address: "alice@local.test"})
		operator.Check(t, err)
		if *v.Recipients != c.want || *shown.Recipients != c.want {
			t.Errorf("%+v: %+v, then %+v", c.set, *v.Recipients, *shown.Recipients)
		}
	}
	if after, _ := w.Identity.Lookup(operator.Address(t, "alice@local.test")); after.Revision != before.Revision || len(w.Ended) != 0 {
		t.Error("a session of the account would end")
	}
	v, err = w.AccountSet(ctx, operate.Self(), operate.AccountSet{Address: "alice@local.test", Role: "bulk"})
	operator.Check(t, err)
	if v.Recipients.Most != (budget.Limits{Hour: 50, Day: 90}) || v.Role != "bulk" || len(w.Ended) != 1 || v.SessionsEnded != 3 {
		t.Errorf("with another role: %+v, %+v, ended %v", v, *v.Recipients, w.Ended)
	}
	for name, bad := range map[string]operate.AccountSet{
		"nothing":    {Address: "alice@local.test"},
		"a role":     {Address: "alice@local.test", Role: "king"},
		"too little": {Address: "alice@local.test", RecipientsHour: n(-1)},
		"too much":   {Address: "alice@local.test", RecipientsDay: n(accounts.MaxRecipients + 1)},
		"nobody":     {Address: "nobody@local.test", Role: "bulk"},
	} {
		if _, err := w.AccountSet(ctx, operate.Self(), bad); err == nil {
			t.Errorf("%s was set", name)
		}
	}
	if _, err := w.AccountAdd(ctx, operate.Self(), operate.AccountAdd{Address: "carl@local.test", Password: "correct horse battery", Role: "person", RecipientsDay: -1}); err == nil {
		t.Error("an account with a limit of -1 was made")
	}
	answer, err := w.Options.Facts.Query(ctx, query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: "alice@local.test"}}})
	operator.Check(t, err)
	told := fmt.Sprintf("%+v", answer)
	for _, want := range []string{"limits changed", "recipients a day", "70"} {
		if !strings.Contains(told, want) {
			t.Errorf("the trace says nothing of %q: %s", want, told)
		}
	}
}
