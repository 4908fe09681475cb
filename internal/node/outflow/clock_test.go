package outflow

import (
	"context"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/tlspolicy/mtasts"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// What waits is tried when its time has passed, whatever the clock shows, and the trace says when that was by the clock.
func TestWhatWaitsGoesByTheTimeThatPasses(t *testing.T) {
	m := foldertest.NewMachine()
	y := openIn(t, m.World(settings.World{Resolver: &dnsx.Fake{}}))
	y.write(func(spool.Claim) {}) // nobody delivers it at once
	m.Pass(2 * time.Hour)
	m.Set(-year)
	end := y.serve()
	y.arrives()
	end()
	if told := y.told(fact.KindOutcome); len(told) != 1 || !told[0].At.Equal(m.Now()) {
		t.Errorf("at %v the trace tells %+v", m.Now(), told)
	}
}

// A policy that another domain demanded holds for as long as passes, whatever the clock is set to.
func TestPoliciesGoByTheTimeThatPasses(t *testing.T) {
	m := foldertest.NewMachine()
	y := openIn(t, m.World(settings.World{Resolver: &dnsx.Fake{}}))
	far, err := mail.ParseDomain("far.test")
	if err != nil {
		t.Fatal(err)
	}
	demands, err := mtasts.ParsePolicy([]byte("version: STSv1\r\nmode: enforce\r\nmx: mx.far.test\r\nmax_age: 604800\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := mtasts.New(t.Context(), mtasts.Options{
		Resolver: &dnsx.Fake{Texts: map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1"}}},
		Fetch:    func(context.Context, mail.Domain) (mtasts.Policy, error) { return demands, nil },
		Store:    y.data.Store, Limits: mtasts.DefaultLimits(), Now: y.data.Clock.Now, Logger: y.o.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := keeper.Policy(t.Context(), far); got.ID != "1" {
		t.Fatalf("the domain demands %+v", got)
	}
	holds := func() bool { return y.ways.Exchangers().Policy(t.Context(), far).Policy.Mode == mtasts.ModeEnforce }
	for _, set := range []time.Duration{10 * year, -20 * year} {
		if m.Set(set); !holds() {
			t.Errorf("a clock that is set by %v ends a policy", set)
		}
	}
	if m.Pass(8 * day); holds() {
		t.Error("a policy holds for ever")
	}
}

// Whatever mail leaves by goes by the clock of the world.
func TestWaysGoByTheClock(t *testing.T) {
	m := foldertest.NewMachine()
	o, err := wayOptions(load(t, text), m.World(settings.World{}))
	if err != nil {
		t.Fatal(err)
	}
	for what, now := range map[string]func() time.Time{"next hops and callouts": o.Now, "exchangers": o.Exchangers.Now, "tokens": o.Tokens.Now} {
		if now == nil || !now().Equal(m.Now()) {
			t.Errorf("%s have another clock", what)
		}
	}
}
