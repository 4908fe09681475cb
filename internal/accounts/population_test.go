package accounts

import (
	"context"
	"fmt"
	"testing"
)

// After the costs were changed, names that nobody has cost what accounts cost, as often as they do, each
// the same at every question; as accounts move to the present cost so do names, and none moves back.
func TestDecoysCostWhatAccountsDo(t *testing.T) {
	const people, names = 20, 2000
	old := fresh(t, laxLimits())
	for n := range people {
		old.add(t, fmt.Sprintf("p%d@local.test", n), alicePassword)
	}
	l := laxLimits()
	l.HashMemory, l.ScramRounds = 128, minScramRounds+1
	f := open(t, old.st, Options{Limits: l})
	name := func(n int) string { return fmt.Sprintf("nobody%d@local.test", n) }
	was := map[int]bool{} // at the present cost
	for moved := 0; ; moved += 5 {
		present := 0
		for n := range names {
			trial := f.newTrial(address(t, name(n)), "x", "x", home())
			c := trial.secret.cost()
			if c != l.cost() && c != laxLimits().cost() || trial.account != nil {
				t.Fatalf("%s costs %+v", name(n), c)
			}
			if again := f.newTrial(address(t, name(n)), "y", "y", peerN(7)); again.secret.cost() != c || string(again.secret.Argon.Salt) != string(trial.secret.Argon.Salt) || string(again.secret.Scram.Salt) != string(trial.secret.Scram.Salt) {
				t.Fatalf("%s is another at each question", name(n))
			}
			if c == l.cost() {
				present++
			} else if was[n] {
				t.Fatalf("%s moves back to the old cost", name(n))
			}
			was[n] = c == l.cost()
		}
		if share, want := float64(present)/names, float64(moved)/people; share < want-0.05 || share > want+0.05 {
			t.Errorf("%d of %d accounts have the present cost, and %.2f of the names", moved, people, share)
		}
		if moved == people {
			break
		}
		for n := moved; n < moved+5; n++ {
			if err := f.signIn(fmt.Sprintf("p%d@local.test", n), alicePassword, home()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(f.costs.of) != 1 {
		t.Errorf("%v", f.costs.of)
	}
	// Whoever is removed counts no more, and where nobody is there is the present cost.
	for n := range people {
		if err := f.Remove(context.Background(), address(t, fmt.Sprintf("p%d@local.test", n)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.costs.of) != 0 || f.decoyOf(name(1)).cost() != l.cost() {
		t.Errorf("%v", f.costs.of)
	}
}
