package hijack

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/history.txt")

// chronicle tells a made-up history and what was made of it, a line for each event.
type chronicle struct {
	strings.Builder
	chance *rand.Rand
	params Params
	site   Site
	at     time.Time
}

func (c *chronicle) event() Event {
	at := c.at
	n := func(most int) int { return c.chance.IntN(most + 1) }
	switch k := c.chance.IntN(20); {
	case k == 0:
		return Waiting{At: at, Recipients: n(20)}
	case k == 1:
		return Answered{At: at, Refused: n(3), Of: n(5), All: n(9)}
	case k == 2:
		return BindingFailed{At: at, Sender: Fingerprint(n(2))}
	case k == 3:
		return SignedIn{At: at, NewNetwork: n(1) == 0, NewProgram: n(3) == 0}
	case k == 4:
		return ForwardChanged{At: at}
	case k < 8:
		r := Recipients{Known: n(2), NewToAccount: n(2), NewToSite: n(1), Recent: n(1), Invalid: n(1), Acquainted: n(3) > 0}
		r.Strangers, r.Elsewhere = min(n(2), r.fresh()), n(r.Total())
		return Submitted{At: at, Recipients: r}
	}
	return Submitted{At: at, Recipients: Recipients{Known: 1 + n(3), Acquainted: n(9) > 0}}
}

// live lets so many events happen to a state.
func (c *chronicle) live(name string, s State, events int, gap time.Duration) State {
	for range events {
		c.at = c.at.Add(time.Duration(c.chance.Float64() * float64(gap)))
		e := c.event()
		var v Verdict
		s, v = Advance(s, e, c.site.Priors(c.params), c.params)
		if e, ok := e.(Submitted); ok {
			c.site = c.site.Learn(e, v, c.params)
		}
		fmt.Fprintf(c, "%s %T odds %.5g leave %d hold %s expected %.4g evidence %d\n", name, e, v.Odds, v.Leave, v.Hold, v.Expected, len(v.Evidence))
		if v.Contain {
			for _, f := range v.Evidence {
				fmt.Fprintf(c, "  contained: %s\n", f.Words())
			}
			s = s.Cleared(c.params)
		}
	}
	return s
}

// tell writes down all that is known of an account.
func (c *chronicle) tell(name string, s State) {
	fmt.Fprintf(c, "%s: age %s begin %.4g claimed %d spent %.4g room %d\n", name, s.age.Round(time.Second), s.begin, s.claimed, s.spent, s.room(c.params.Bounds))
	priors := c.site.Priors(c.params)
	for i, d := range s.shares {
		k := SiteNovelty + Signal(i)
		fmt.Fprintf(c, "  %s: %.4g of %.4g, lately %.4g of %.4g, evidence %.4g, normal %.4g\n", k, d.s, d.n, d.odd, d.of, d.evidence, d.normal(priors.Mean[i], c.params.usual(k)))
	}
	for i, d := range s.paces {
		k := SitePace + Signal(i)
		fmt.Fprintf(c, "  %s: %.4g in %.4g h, lately %.4g, evidence %.4g, normal %.4g\n", k, d.n, d.hours, d.odd, d.evidence, d.normal(priors.Rate[i], c.params.rate(k)))
	}
	for i := range daySlots {
		fmt.Fprintf(c, "  slot -%d: %.4g\n", i, s.fresh[ring(s.slot()-int64(i), daySlots)])
	}
	fmt.Fprintf(c, "  left %v\n", s.left)
}

// The same history is judged as it always was: accounts that live for two months, are
// merged with others of another age, clocks that are set, a site that learns, and a
// network that many share.
func TestHistoryIsJudgedAsItWas(t *testing.T) {
	c := &chronicle{chance: rand.New(rand.NewPCG(7, 7)), params: DefaultParams(), at: noon}
	a := c.live("alice", State{}, 250, 7*time.Hour)
	c.tell("alice", a)
	young := c.live("young", State{}, 25, 5*time.Hour)
	c.tell("young", young)
	c.tell("young into alice", Merge(a, young))
	c.tell("alice into young", Merge(young, a))
	c.at = c.at.Add(-3 * time.Hour)
	late := c.live("late", a, 20, 2*time.Hour)
	c.tell("merged with what came later", Merge(late, a))
	c.at = c.at.Add(-30 * time.Hour)
	late = c.live("set back", late, 20, 2*time.Hour)
	c.at = c.at.Add(400 * 24 * time.Hour)
	c.tell("after a year", c.live("after a year", late, 5, time.Hour))
	c.tell("hurried", c.live("hurried", c.live("at once", late, 60, 0), 200, 3*time.Second))
	fmt.Fprintf(c, "site: %.4g\n", c.site.Priors(c.params))
	var network Attribute
	for i := range 300 {
		c.at = c.at.Add(time.Duration(c.chance.Float64() * float64(3*time.Hour)))
		r := Recipients{Known: 2 + c.chance.IntN(2), NewToSite: c.chance.IntN(2)}
		if i%7 == 0 || i > 280 {
			r = Recipients{Known: 1, NewToSite: 1 + c.chance.IntN(2)}
		}
		var v Pause
		network, v = Share(network, Use{At: c.at, Account: Fingerprint(1 + c.chance.IntN(12)), AtHome: c.chance.IntN(3) == 0, Recipients: r}, old(c.params), DefaultSharedParams())
		fmt.Fprintf(c, "network: %t odds %.5g accounts %d, %.5g of %.5g\n", v.Now, v.Odds, v.Accounts, network.s, network.n)
	}
	const file = "testdata/history.txt"
	if *update {
		if err := os.WriteFile(file, []byte(c.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	have, lines := strings.Split(c.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(have), len(lines)) {
		if i >= len(have) || i >= len(lines) || have[i] != lines[i] {
			t.Fatalf("line %d is judged otherwise; if that is meant, go test ./internal/hijack -update and read the difference:\n%s",
				i+1, strings.Join(have[min(i, len(have)-1):min(i+3, len(have))], "\n"))
		}
	}
}
