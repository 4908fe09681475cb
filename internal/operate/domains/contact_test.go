package domains_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// The contact of an account is set, replaced and taken back; each change stands in the
// trace, whom it replaced is kept to be told, and it ends with the account.
func TestTheContactOfAnOwner(t *testing.T) {
	w := operator.New(t)
	ctx, woken := t.Context(), 0
	w.With(func(o *operate.Options) { o.ContactReplaced = func() { woken++ } })
	w.Account(t, "alice@local.test", "bob@local.test")
	alice := operator.Address(t, "alice@local.test")
	set := func(to string) error {
		v, err := w.AccountSet(ctx, operate.Self(), operate.AccountSet{Address: "Alice@local.test", Notify: &to})
		if err == nil && v.Notify != to {
			t.Errorf("set to %q, shown as %q", to, v.Notify)
		}
		return err
	}
	former := func() (all []string) {
		c, _ := w.Listed.Snapshot().Contact(alice)
		for _, f := range c.Former {
			all = append(all, f.Address.String())
		}
		return all
	}
	operator.Check(t, set("first@home.test"))
	if got := former(); len(got) != 0 || woken != 0 {
		t.Errorf("the first one replaced %v, and %d were to be told", got, woken)
	}
	operator.Check(t, set("first@home.test")) // changes nothing
	operator.Check(t, set("second@home.test"))
	if got := former(); !slices.Equal(got, []string{"first@home.test"}) || woken != 1 {
		t.Errorf("replaced %v, woken %d", got, woken)
	}
	for _, bad := range []string{"bob@local.test", "bob@mx.local.test", "home", "a@[192.0.2.1]", "@home.test"} {
		operator.WantCode(t, set(bad), call.CodeInvalid)
		hour := 77
		_, err := w.AccountSet(ctx, operate.Self(), operate.AccountSet{Address: "alice@local.test", Notify: &bad, RecipientsHour: &hour})
		operator.WantCode(t, err, call.CodeInvalid)
	}
	if a, err := w.Identity.Get(alice); err != nil || a.RecipientsHour != 0 {
		t.Errorf("a mistake in one value let another through: %d, %v", a.RecipientsHour, err)
	}
	_, err := w.AccountSet(ctx, operate.Self(), operate.AccountSet{Address: "nobody@local.test", Notify: new(string)})
	if !errors.Is(err, accounts.ErrNoSuch) {
		t.Errorf("somebody who is not there: %v", err)
	}
	operator.Check(t, set(""))
	if got := former(); !slices.Equal(got, []string{"first@home.test", "second@home.test"}) || woken != 2 {
		t.Errorf("replaced %v, woken %d", got, woken)
	}
	for range directory.MaxFormerContacts {
		operator.Check(t, set("third@home.test"))
		operator.Check(t, set("fourth@home.test"))
	}
	if got := former(); len(got) != directory.MaxFormerContacts || got[len(got)-1] != "third@home.test" {
		t.Errorf("kept %v", got)
	}
	story := w.Story(t, "alice@local.test")
	for _, want := range []string{"contact added", "contact changed", "contact removed", "second@home.test"} {
		if !strings.Contains(story, want) {
			t.Errorf("the trace says nothing of %q:\n%s", want, story)
		}
	}
	_, err = w.AccountRemove(ctx, operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	w.Account(t, "alice@local.test")
	if c, is := w.Listed.Snapshot().Contact(alice); is {
		t.Errorf("the next owner of the name inherits %v", c)
	}
}
