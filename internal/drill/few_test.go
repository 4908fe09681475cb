package drill

import (
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/drill/verdict"
)

// Where there is room for few connections, strangers who come by the dozen are played all the same, and honest mail that is put off
// comes again, as it would, and is taken: it is not called refused.
func TestFewConnections(t *testing.T) {
	few(t, func(l *config.Limits) { l.Connections = 50 }, true)
}

// Where a network may have one connection at once, who comes again at once is served all the same.
func TestOneConnectionOfANetwork(t *testing.T) {
	few(t, func(l *config.Limits) { l.ConnectionsPerNetwork = 1 }, false)
}

// Whom the configuration lets write little is not called kept out by a siege.
func TestASmallBudgetIsNoSiege(t *testing.T) {
	o, err := quickstart(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Budget.Person.Hour = 3
	o.Small, o.Scenarios = true, []string{"bombs"}
	r, err := Run(t.Context(), o)
	if err != nil || r.Broken() {
		t.Errorf("%+v, %v", r.Verdicts, err)
	}
}

func few(t *testing.T, limited func(*config.Limits), putOff bool) {
	t.Helper()
	t.Parallel()
	o, err := quickstart(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	limited(&o.Config.Limits)
	o.Small, o.Scenarios = true, []string{"stranger", "networks", "slow"}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Broken() {
		t.Errorf("%+v", r.Verdicts)
	}
	again := false
	for _, p := range r.Played {
		if p.Fault != "" || len(p.Measures) == 0 {
			t.Errorf("%s: %s", p.Name, p.Fault)
		}
		for _, m := range p.Measures {
			again = again || strings.HasPrefix(m.What, "until honest mail that was put off") && m.Found > 0 && m.Promise == verdict.NoBomb
		}
	}
	if again != putOff {
		t.Errorf("honest mail was put off: %v", again)
	}
}
