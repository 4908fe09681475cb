package store_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/store"
)

// No key belongs to two spaces, and none to the store itself.
func TestSpacesAreApart(t *testing.T) {
	all := store.Spaces()
	for i, a := range all {
		if a.Space == "" || a.Space[0] == store.ReservedPrefix || a.Room == "" || a.Holds == "" {
			t.Errorf("%+v", a)
		}
		for j, b := range all {
			if i != j && strings.HasPrefix(string(a.Space), string(b.Space)) {
				t.Errorf("%q of %s begins with %q of %s", a.Space, a.Room, b.Space, b.Room)
			}
		}
	}
}

// Data of earlier releases begins with these: a space may be added, and none may change
// without a step of operate/format.
func TestSpacesStay(t *testing.T) {
	want := strings.Fields("acme/ binding/ budget/ ca/ expiry/ flood/ greylist/ hijack/ identity/ incident/ inflow/ k/d/ lists/ passed/ quota/ roster/ sa sb sd se sf sh sn sp sx t/b t/c t/h t/i t/j t/k t/l t/m t/n t/q t/s told/ trust/ webhook/ y/d/ y/e/ y/m/ y/r/ y/s/")
	var got []string
	for _, o := range store.Spaces() {
		got = append(got, string(o.Space))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestSpaceMakesKeysOfItsOwn(t *testing.T) {
	s := store.SpaceEntries
	key := s.Key([]byte("a"), []byte("b"))
	if string(key) != "seab" || cap(key) != len(key) && len(key) > 8 || !s.Has(key) || s.Has([]byte("s")) || s.Has([]byte("sbab")) {
		t.Errorf("%q", key)
	}
	if r := s.All(); !bytes.Equal(r.From, []byte("se")) || !bytes.Equal(r.To, []byte("sf")) {
		t.Errorf("%+v", r)
	}
}
