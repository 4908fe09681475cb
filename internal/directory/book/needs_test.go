package book

import (
	"fmt"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
)

// What ends with a domain, what with an account, and what only leads there.
func TestWhatNeedsWhat(t *testing.T) {
	w := newWorld(t, "alice@local.test", "bob@local.test", "dora@new.test")
	w.state()
	check(t, w.put(false, roster.Domain{Name: domain(t, "new.test"), Deliver: "maildir"}))
	w.state(alias(t, "stated@local.test", "Dora@new.test"))
	delegate := func(account, as string) roster.Delegate {
		return roster.Delegate{Delegate: directory.Delegate{Account: address(t, account), Address: address(t, as)}}
	}
	check(t, w.put(false,
		roster.Alias{Alias: alias(t, "team@new.test", "alice@local.test")},
		roster.Alias{Alias: directory.Alias{CatchAll: domain(t, "new.test"), Targets: alias(t, "x@x.test", "alice@local.test").Targets, Posting: directory.PostingAnyone}},
		roster.Alias{Alias: alias(t, "far@local.test", "dora@new.test")},
		roster.Forward{Forward: directory.Forward{Account: address(t, "dora@new.test"), Targets: alias(t, "x@x.test", "d@far.test").Targets}},
		roster.Forward{Forward: directory.Forward{Account: address(t, "bob@local.test"), Targets: alias(t, "x@x.test", "b@far.test").Targets}},
		delegate("alice@local.test", "team@new.test"), delegate("dora@new.test", "bob@local.test"), delegate("alice@local.test", "bob@local.test"),
	))
	names := func(all []roster.Entry) (out []string) {
		for _, e := range all {
			out = append(out, e.Ref().Kind.String()+" "+e.Ref().Name())
		}
		return out
	}
	s := w.Entries()
	for want, got := range map[string][]string{
		"[alias @new.test alias team@new.test forward dora@new.test delegate alice@local.test team@new.test delegate dora@new.test bob@local.test]": names(Within(s, domain(t, "new.test"))),
		"[forward bob@local.test delegate alice@local.test bob@local.test delegate dora@new.test bob@local.test]":                                   names(Rights(s, address(t, "Bob@local.test"))),
		"[forward dora@new.test delegate dora@new.test bob@local.test]":                                                                             names(Rights(s, address(t, "dora@new.test"))),
		"[stated@local.test far@local.test]": w.NamedBy(address(t, "dora@new.test")),
		"[]":                                 names(Rights(s, address(t, "eve@local.test"))),
	} {
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
