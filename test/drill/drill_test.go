package drill

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/internal/drill"
	"sallyport/internal/drill/report"
	"sallyport/internal/drill/verdict"
)

func breaks(t *testing.T) (root string, all []planted) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("breaks.txt")
	if err != nil {
		t.Fatal(err)
	}
	if all, err = readBreaks(string(text)); err != nil {
		t.Fatal(err)
	}
	return root, all
}

// Each break still stands in the source as it is, and is of a promise; and each promise has one.
func TestEachBreakApplies(t *testing.T) {
	root, all := breaks(t)
	of := map[verdict.Promise]int{}
	for _, p := range all {
		if _, err := applied(root, p); err != nil || p.about == "" {
			t.Errorf("%s: %v", p.name, err)
		}
		var broken verdict.Promise
		if err := broken.UnmarshalText([]byte(p.promise)); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		of[broken]++
	}
	for _, p := range verdict.Promises() {
		if of[p] == 0 {
			t.Errorf("%s: nothing breaks it", p)
		}
	}
}

// A rehearsal on a server with one thing broken calls exactly the promise broken that it is
// about. BREAK names one of them; SALLYPORT_DRILL plays them all.
func TestEachBreakIsNoticed(t *testing.T) {
	only := os.Getenv("BREAK")
	if only == "" && os.Getenv("SALLYPORT_DRILL") == "" {
		t.Skip("make drill plays them")
	}
	root, all := breaks(t)
	for _, p := range all {
		if only != "" && only != p.name {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			r := rehearse(t, root, p)
			for _, s := range r.Played {
				if s.Fault != "" {
					t.Errorf("%s was not played: %s", s.Name, s.Fault)
				}
			}
			for _, v := range r.Verdicts {
				word, _ := v.Promise.MarshalText()
				want := verdict.Kept
				if string(word) == p.promise {
					want = verdict.Broken
				}
				if v.State != want {
					t.Errorf("%s is %s", v.Promise, v.State)
				}
				for _, f := range v.Figures() {
					if over := report.Over(f); over != "" {
						t.Logf("%s: %s: %s: %s %q", p.name, v.Promise, report.Line(f), over, f.Examples)
					}
				}
			}
		})
	}
}

// rehearse builds the rehearsal with a break and plays a small one.
func rehearse(t *testing.T, root string, p planted) (r drill.Report) {
	t.Helper()
	dir := t.TempDir()
	changed, err := overlay(root, dir, p)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "rehearsal")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", changed, "-o", binary, "./internal/drill")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	play := exec.CommandContext(t.Context(), binary, dir)
	play.Env, play.Stderr = append(os.Environ(), "SALLYPORT_DRILL_TEST=report"), os.Stderr
	out, err := play.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
