package operate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
)

// The contact of an account is set, replaced and taken back; each change stands in the
// trace, whom it replaced is kept to be told, and it ends with the account.
func TestTheContactOfAnOwner(t *testing.T) {
	w := newWorld(t)
	ctx, woken := t.Context(), 0
	w.o.ContactReplaced = func() { woken++ }
	w.account(t, "alice@local.test", "bob@local.test")
	alice := address(t, "alice@local.test")
	set := func(to string) error {
		v, err := w.AccountSet(ctx, root, AccountSet{Address: "Alice@local.test", Notify: &to})
		if err == nil && v.Notify != to {
			t.Errorf("set to %q, shown as %q", to, v.Notify)
		}
		return err
	}
	former := func() (all []string) {
		c, _ := w.book.Snapshot().Contact(alice)
		for _, f := range c.Former {
			all = append(all, f.Address.String())
		}
		return all
	}
	check(t, set("first@home.test"))
	if got := former(); len(got) != 0 || woken != 0 {
		t.Errorf("the first one replaced %v, and %d were to be told", got, woken)
	}
	check(t, set("first@home.test")) // changes nothing
	check(t, set("second@home.test"))
	if got := former(); !slices.Equal(got, []string{"first@home.test"}) || woken != 1 {
		t.Errorf("replaced %v, woken %d", got, woken)
	}
	for _, bad := range []string{"bob@local.test", "bob@mx.local.test", "home", "a@[192.0.2.1]", "@home.test"} {
		wantCode(t, set(bad), CodeInvalid)
		hour := 77
		_, err := w.AccountSet(ctx, root, AccountSet{Address: "alice@local.test", Notify: &bad, RecipientsHour: &hour})
		wantCode(t, err, CodeInvalid)
	}
	if a, err := w.accounts.Get(alice); err != nil || a.RecipientsHour != 0 {
		t.Errorf("a mistake in one value let another through: %d, %v", a.RecipientsHour, err)
	}
	_, err := w.AccountSet(ctx, root, AccountSet{Address: "nobody@local.test", Notify: new(string)})
	if !errors.Is(err, accounts.ErrNoSuch) {
		t.Errorf("somebody who is not there: %v", err)
	}
	check(t, set(""))
	if got := former(); !slices.Equal(got, []string{"first@home.test", "second@home.test"}) || woken != 2 {
		t.Errorf("replaced %v, woken %d", got, woken)
	}
	for range directory.MaxFormerContacts {
		check(t, set("third@home.test"))
		check(t, set("fourth@home.test"))
	}
	if got := former(); len(got) != directory.MaxFormerContacts || got[len(got)-1] != "third@home.test" {
		t.Errorf("kept %v", got)
	}
	story := w.story(t, "alice@local.test")
	for _, want := range []string{"contact added", "contact changed", "contact removed", "second@home.test"} {
		if !strings.Contains(story, want) {
			t.Errorf("the trace says nothing of %q:\n%s", want, story)
		}
	}
	_, err = w.AccountRemove(ctx, root, AccountRef{Address: "alice@local.test"})
	check(t, err)
	w.account(t, "alice@local.test")
	if c, is := w.book.Snapshot().Contact(alice); is {
		t.Errorf("the next owner of the name inherits %v", c)
	}
}
