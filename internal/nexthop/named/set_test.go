package named

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"sallyport/internal/mail"
)

// set builds a set of the places, each under its number.
func set(t *testing.T, m Means, last *Set[int], other func(int) Place, places ...Place) (*Set[int], error) {
	t.Helper()
	o := SetOptions[int]{Means: m, Other: other, Missing: mail.R(451, "4.4.4", "gone")}
	for i, p := range places {
		o.Entries = append(o.Entries, Entry[int]{i, fmt.Sprint("place ", i), p})
	}
	return Build(o, last)
}

// What the next set inherits of this one: targets of which nothing would change, with
// their connections, also those that were made at run time. Nothing else lives on.
func TestWhatASetInherits(t *testing.T) {
	h := newHop(t, nil)
	_, other := authority(t)
	_, ca := authority(t)
	for name, row := range map[string]struct {
		change   func(*Place, *Means)
		inherits bool
	}{
		"nothing changed":         {func(*Place, *Means) {}, true},
		"another server":          {func(p *Place, _ *Means) { p.Host = "mx.test" }, false},
		"another number of them":  {func(p *Place, _ *Means) { p.Limits.Connections++ }, false},
		"other authorities":       {func(p *Place, _ *Means) { p.CA = other }, false},
		"another user":            {func(p *Place, _ *Means) { p.PasswordFile = "/other" }, false},
		"another name of ours":    {func(_ *Place, m *Means) { m.Hello = mustDomain(t, "other.test") }, false},
		"the file was changed":    {func(p *Place, _ *Means) { copyFile(t, other, p.CA) }, false},
		"now it is of our own":    {func(p *Place, _ *Means) { p.Ours = true }, false},
		"the same file elsewhere": {func(p *Place, _ *Means) { path := file(t, ""); copyFile(t, p.CA, path); p.CA = path }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, m := place(h.port), means(t)
			p.CA = file(t, "")
			copyFile(t, ca, p.CA)
			named := p
			at := func(int) Place { return named } // also the places that are named at run time
			first, err := set(t, m, nil, at, named)
			check(t, err)
			was, err := first.Find(0)
			check(t, err)
			late, err := first.Find(7)
			check(t, err)
			row.change(&named, &m)
			second, err := set(t, m, first, at, named)
			check(t, err)
			first.Retire(second)
			for k, former := range map[int]*Target{0: was, 7: late} {
				now, err := second.Find(k)
				check(t, err)
				if (now == former) != row.inherits {
					t.Errorf("target %d is the same: %v", k, now == former)
				}
				// A target that lives on keeps connections, one that was ended does not.
				former.Deliver(t.Context(), job(t, "a@x.test"))
				if (former.deliveries.Use().Kept == 1) != row.inherits {
					t.Errorf("target %d keeps %d connections", k, former.deliveries.Use().Kept)
				}
			}
			second.Retire(nil)
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	check(t, err)
	check(t, os.WriteFile(to, b, 0o600))
}

func mustDomain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	check(t, err)
	return d
}

// Every entry that has a fault is named, and nothing of a set that failed is used.
func TestFaultsOfASet(t *testing.T) {
	good, bad := place(25), place(25)
	bad.CA = "/no/such/file"
	_, err := set(t, means(t), nil, nil, good, bad, Place{})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 2 {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name        string
		authorities bool
	}{{"place 1", true}, {"place 2", false}} {
		var f *Fault
		if !errors.As(joined.Unwrap()[i], &f) || f.Name != want.name || errors.Is(f, ErrAuthorities) != want.authorities {
			t.Errorf("%v", joined.Unwrap()[i])
		}
	}
}

// Of two entries with one key the first counts.
func TestTheFirstOfTheSameKeyCounts(t *testing.T) {
	a, b := place(25), place(25)
	b.Limits.Connections = 1
	s, err := Build(SetOptions[string]{Means: means(t), Entries: []Entry[string]{{"x", "a", a}, {"x", "b", b}}}, nil)
	check(t, err)
	if got, err := s.Find("x"); err != nil || got.place != a {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is not there, and what can't be made, defers; after its end a set makes nothing.
func TestWhatASetDoesNotHaveDefers(t *testing.T) {
	j := job(t, "a@x.test")
	wanted := func(s *Set[int], k int) {
		t.Helper()
		out := s.Target(k).Deliver(t.Context(), j)
		expect(t, j, out, "451")
		if out[0].Reply.Text != "gone" {
			t.Errorf("%v", out)
		}
	}
	s, err := set(t, means(t), nil, nil, place(25))
	check(t, err)
	wanted(s, 1)
	s, err = set(t, means(t), nil, func(int) Place { return Place{} })
	check(t, err)
	wanted(s, 1)
	s, err = set(t, means(t), nil, func(int) Place { return place(25) })
	check(t, err)
	s.Retire(nil)
	wanted(s, 1)
	(*Set[int])(nil).Retire(s)
}
