package damage_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/damage"
)

func list(t *testing.T, path string, l damage.Limits) *damage.List {
	t.Helper()
	d, err := damage.Open(path, l, func() time.Time { return time.Unix(1e9, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func found(what string) damage.Found {
	return damage.Found{Kind: damage.Table, File: "f", What: what}
}

// What was noted is there at the next start, once, until it is acknowledged; the same may come again then.
func TestTheList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "damage.json")
	d := list(t, path, damage.DefaultLimits())
	for _, what := range []string{"a", "b", "a"} {
		if err := d.Note(found(what)); err != nil {
			t.Fatal(err)
		}
	}
	d = list(t, path, damage.DefaultLimits())
	if by, n := d.Open(); n != 2 || by[damage.Table] != 2 {
		t.Fatalf("%d, %v", n, by)
	}
	if _, err := d.Acknowledge(7); err == nil {
		t.Error("what is not there was acknowledged")
	}
	if done, err := d.Acknowledge(1); err != nil || len(done) != 1 || done[0].What != "a" {
		t.Errorf("%v, %v", done, err)
	}
	if done, err := d.Acknowledge(1); err != nil || len(done) != 0 {
		t.Errorf("twice: %v, %v", done, err)
	}
	if err := d.Note(found("a")); err != nil {
		t.Fatal(err)
	}
	if _, n := d.Open(); n != 2 {
		t.Errorf("%d open", n)
	}
	if done, err := d.Acknowledge(); err != nil || len(done) != 2 {
		t.Errorf("all: %v, %v", done, err)
	}
	if _, n := list(t, path, damage.DefaultLimits()).Open(); n != 0 {
		t.Errorf("%d open at the end", n)
	}
}

// The list is bounded, forgets what is acknowledged first, and says how much found no room.
func TestAFullList(t *testing.T) {
	d := list(t, filepath.Join(t.TempDir(), "damage.json"), damage.Limits{Entries: 2, Text: 5})
	for _, what := range []string{"a", "b"} {
		if err := d.Note(found(what)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Note(found("c")); err == nil {
		t.Error("there was room")
	}
	if _, n := d.Open(); n != 3 {
		t.Errorf("%d open", n)
	}
	if _, err := d.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	if err := d.Note(found("a long text")); err != nil {
		t.Fatal(err)
	}
	all, more := d.All()
	if len(all) != 2 || more != 1 || all[0].What != "b" || all[1].What != "a lon…" {
		t.Errorf("%v, %d more", all, more)
	}
}

// A list that does not read is put aside, and that is the first entry.
func TestTheListItselfIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "damage.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, _ := list(t, path, damage.DefaultLimits()).All()
	if len(all) != 1 || all[0].Kind != damage.Unreadable {
		t.Fatalf("%v", all)
	}
	if text, err := os.ReadFile(all[0].Aside); err != nil || string(text) != "{" {
		t.Errorf("put aside: %q, %v", text, err)
	}
}
