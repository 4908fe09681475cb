package format

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// steps appends each step's number to a key, so that a test sees what ran.
func steps(upTo Version, fail Version) []Step {
	var all []Step
	for v := Version(1); v <= upTo; v++ {
		all = append(all, Step{To: v, What: "test", Do: func(ctx context.Context, s store.Store) error {
			if v == fail {
				return errors.New("the power went out")
			}
			have, err := s.Get(ctx, []byte("ran"))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			_, err = s.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte("ran"), Value: append(have, byte('0'+v))}}}, store.Durable)
			return err
		}})
	}
	return all
}

func ran(t *testing.T, s store.Store) string {
	t.Helper()
	v, err := s.Get(t.Context(), []byte("ran"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return string(v)
}

func TestStepsRunInOrderAndOnlyOnce(t *testing.T) {
	dir, s, log := t.TempDir(), mem.New(), slog.New(slog.DiscardHandler)
	defer s.Close()
	for _, c := range []struct {
		upTo, fail Version
		ran        string
		is         Version
	}{
		{2, 0, "12", 2},
		{2, 0, "12", 2},    // nothing left to do
		{5, 4, "123", 3},   // interrupted
		{5, 0, "12345", 5}, // goes on where it stopped
	} {
		err := Migrate(t.Context(), dir, s, steps(c.upTo, c.fail), "v9", log)
		if (err != nil) != (c.fail > 0) {
			t.Fatalf("to %d: %v", c.upTo, err)
		}
		if c.fail > 0 && !strings.Contains(err.Error(), "to data format 4 (test): the power went out") {
			t.Errorf("the error says %q", err)
		}
		r, err := Read(dir)
		if got := ran(t, s); err != nil || got != c.ran || r != (Record{c.is, "v9"}) {
			t.Errorf("to %d: %q ran, %+v, %v", c.upTo, got, r, err)
		}
	}
	err := Migrate(t.Context(), dir, s, steps(4, 0), "v8", log)
	if !errors.Is(err, ErrNewer) || ran(t, s) != "12345" {
		t.Fatalf("a newer folder: %v", err)
	}
	for _, words := range []string{"is of format 5, written by sallyport v9", "knows formats up to 4", "nothing was changed"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
}

func TestStepsOfTheProgramAreNumberedWithoutGaps(t *testing.T) {
	for i, s := range Steps() {
		if s.To != Version(i+1) || s.What == "" || s.Do == nil {
			t.Errorf("step %d leads to %d (%q)", i, s.To, s.What)
		}
	}
	if Current() == 0 {
		t.Error("the program writes the format of a folder without a record")
	}
}

func TestRecordsThatDoNotRead(t *testing.T) {
	for _, text := range []string{"", "1\n", "sallyport data format 1", "sallyport data format one\n", "sallyport data format -1\n",
		"sallyport data format 4294967296\n", "sallyport data format 1\nmore\n", "sallyport data format 1\n" + strings.Repeat("x", 1000)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(dir, Steps()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q is read as %+v, %v", text, r, err)
		}
	}
	if r, err := Read(filepath.Join(t.TempDir(), "nowhere")); err != nil || r != (Record{}) {
		t.Errorf("no folder: %+v, %v", r, err)
	}
}
