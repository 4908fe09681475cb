package settings

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/clock"
	"sallyport/internal/config"
	"sallyport/internal/kit/processors"
)

// What tokens are had and judged with are the clock and the network of the world.
func TestTokensAreHadByTheMeansOfTheWorld(t *testing.T) {
	at, nobody := time.Date(2041, 2, 3, 4, 5, 6, 0, time.UTC), errors.New("nobody is called")
	w := World{Now: func() time.Time { return at }, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, nobody }}.Complete()
	given, judged := TokenMeans(config.Config{}, w), ProviderMeans(w)
	for what, means := range map[string]struct {
		now  func() time.Time
		dial func(context.Context, string, string) (net.Conn, error)
	}{"ours": {given.Now, given.Dial}, "those of others": {judged.Now, judged.Dial}} {
		if _, err := means.dial(t.Context(), "tcp", "login.test:443"); err != nobody || !means.now().Equal(at) {
			t.Errorf("of %s at %v: %v", what, means.now(), err)
		}
	}
}

// What a world is given it keeps, also where it is completed again.
func TestWhatAWorldIsGivenStays(t *testing.T) {
	own, r := processors.Own(), clock.Reading{Boot: "a", Since: time.Hour, Wall: time.Unix(1, 0)}
	w := World{Clocks: func() clock.Reading { return r }, Processors: own}.Complete()
	again := w.Complete()
	if again.Clocks() != r || again.Processors != own || again.DNS != w.DNS || again.Logger != w.Logger {
		t.Errorf("%+v", again)
	}
	if got := (World{}).Complete().Clocks(); got.Boot == "" {
		t.Errorf("the machine's clock tells %+v", got)
	}
	cfg := config.Config{}
	cfg.Budget.Person.Hour, cfg.Budget.Bulk.Hour = 3, 7
	most := Allowing(func() config.Config { return cfg })
	person, bulk := accounts.Account{Role: accounts.RolePerson}, accounts.Account{Role: accounts.RoleBulk}
	if most(person).Hour != 3 || most(bulk).Hour != 7 {
		t.Errorf("they may write to %+v and %+v", most(person), most(bulk))
	}
	if cfg.Budget.Person.Hour = 4; most(person).Hour != 4 {
		t.Errorf("by the next configuration to %+v", most(person))
	}
}
