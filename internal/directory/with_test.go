package directory

import (
	"slices"
	"testing"

	"sallyport/internal/mail"
)

// What a change touches is all that leads to it, in each of the ways in which an entry leads to
// another, and the rights that rest on it.
func TestWhatAChangeTouches(t *testing.T) {
	cfg, accounts := site(t)
	cfg.Aliases = []Alias{
		alias(t, "first@local.test", "second@local.test"),
		alias(t, "second@local.test", "new+detail@local.test"),
		alias(t, "astray@local.test", "nobody@second.test"),
		alias(t, "beside@local.test", "bob@local.test"),
	}
	cfg.Domains[1].Postmaster = address(t, "new@local.test")
	cfg.Delegates = []Delegate{{Account: address(t, "alice@local.test"), Address: address(t, "first@local.test")}, {Account: address(t, "bob@local.test"), Address: address(t, "carol@local.test")}}
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	forward := Forward{Account: address(t, "carol@local.test"), Targets: addresses(t, "x@remote.test")}
	for name, row := range map[string]struct {
		change Change
		want   []string
	}{
		"an account that a detail leads to": {Change{Put: Entries{Accounts: addresses(t, "new@local.test")}},
			[]string{"alice@local.test first@local.test", "first@local.test", "new@local.test", "second@local.test", "local.test", "second.test"}},
		"an account with a right": {Change{Removed: Entries{Accounts: addresses(t, "bob@local.test")}},
			[]string{"beside@local.test", "bob@local.test carol@local.test", "local.test"}},
		"a forward": {Change{Put: Entries{Forwards: []Forward{forward}}}, []string{"carol@local.test"}},
		"a catch-all": {Change{Put: Entries{Aliases: []Alias{catchAll(t, "second.test", "bob@local.test")}}},
			[]string{"@second.test", "astray@local.test", "second.test"}},
	} {
		_, touched, ok := s.With(row.change)
		var got []string
		for _, d := range touched.Domains {
			got = append(got, d.Name.String())
		}
		for _, a := range touched.Aliases {
			got = append(got, a.Name())
		}
		for _, d := range touched.Delegates {
			got = append(got, d.Subject().Name)
		}
		for _, f := range touched.Forwards {
			got = append(got, f.Account.String())
		}
		for _, a := range touched.Accounts {
			got = append(got, a.String())
		}
		slices.Sort(got)
		slices.Sort(row.want)
		if !ok || !slices.Equal(got, row.want) {
			t.Errorf("%s: %v %q, want %q", name, ok, got, row.want)
		}
	}
	if _, _, ok := s.With(Change{Removed: Entries{Accounts: []mail.Address{address(t, "nobody@local.test")}}}); ok {
		t.Error("who is not there was removed")
	}
}
