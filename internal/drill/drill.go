package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/drill/verdict"
)

// Options say what is rehearsed.
type Options struct {
	Config config.Config
	// Scenarios are the names of those to play; none: all.
	Scenarios []string
	// Seed decides all that is chance in the scenarios.
	Seed uint64
	// Small plays a tenth of everything, for tests.
	Small bool
	// Child makes the command of a process that calls Serve with the Place, and has nothing
	// else on its standard output; it is killed. nil: the scenario that needs it fails.
	Child  func(ctx context.Context, p Place) *exec.Cmd
	Logger *slog.Logger // of the servers; nil: nobody hears
	// Begun is called before each scenario; nil: nobody is told.
	Begun func(s Scenario, number, of int)
}

// Scenario is one thing that is rehearsed.
type Scenario struct {
	Name  string `json:"name"`
	Title string `json:"title"` // a few words
	Story string `json:"story"` // what happens, to somebody who keeps no mail server

	play func(*act, context.Context) error
}

// Played is a scenario with what came of it.
type Played struct {
	Scenario
	Took     time.Duration     `json:"took_ns"`
	Measures []verdict.Measure `json:"measures"`
	// Fault is why it could not be played to its end; "": it was. Lacking: the configuration
	// has nothing that it could be played on.
	Fault   string `json:"fault,omitempty"`
	Lacking bool   `json:"lacking,omitempty"`
	// Outside is how often the server wanted to reach anything but the sinks, and was kept
	// from it.
	Outside int `json:"outside"`
}

// Report is what came of a drill.
type Report struct {
	Host     string            `json:"hostname"`
	Seed     uint64            `json:"seed"`
	Took     time.Duration     `json:"took_ns"`
	Played   []Played          `json:"scenarios"`
	Verdicts []verdict.Verdict `json:"promises"`
}

// Broken reports whether a promise is, or whether something could not be played.
func (r Report) Broken() bool {
	return slices.ContainsFunc(r.Verdicts, func(v verdict.Verdict) bool { return v.State == verdict.Broken }) ||
		slices.ContainsFunc(r.Played, func(p Played) bool { return p.Fault != "" && !p.Lacking })
}

// ErrNoScenario says that nothing of a name can be played.
var ErrNoScenario = errors.New("there is no such scenario")

// Run plays the scenarios one after the other, each on a server of its own, and judges what
// they left behind. The error is that of a name that is no scenario's, or of ctx.
func Run(ctx context.Context, o Options) (Report, error) {
	r := Report{Host: o.Config.Hostname.ASCII(), Seed: o.Seed}
	chosen, err := choose(o.Scenarios)
	if err != nil {
		return r, err
	}
	began := time.Now()
	var all []verdict.Measure
	for i, s := range chosen {
		if o.Begun != nil {
			o.Begun(s, i+1, len(chosen))
		}
		p := played(ctx, o, s)
		r.Played = append(r.Played, p)
		all = append(all, p.Measures...)
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	r.Took, r.Verdicts = time.Since(began), verdict.Judge(all)
	return r, nil
}

func choose(names []string) ([]Scenario, error) {
	all := Scenarios()
	for _, n := range names {
		if !slices.ContainsFunc(all, func(s Scenario) bool { return s.Name == n }) {
			return nil, fmt.Errorf("%w: %s", ErrNoScenario, n)
		}
	}
	return slices.DeleteFunc(all, func(s Scenario) bool { return len(names) > 0 && !slices.Contains(names, s.Name) }), nil
}

// played plays one scenario to its end.
func played(ctx context.Context, o Options, s Scenario) (p Played) {
	began := time.Now()
	p = Played{Scenario: s}
	defer func() { p.Took = time.Since(began) }()
	a, err := begin(ctx, o, s.Name)
	if err == nil {
		if err = s.play(a, ctx); err == nil && !a.looked {
			err = a.look(ctx)
		}
		if err == nil {
			p.Measures = verdict.Measures(a.seen)
		}
		if a.stage != nil {
			p.Outside = a.stage.Outside()
		}
		err = errors.Join(err, a.end())
	}
	if err != nil {
		p.Fault, p.Lacking = err.Error(), errors.Is(err, errNoDoor) || errors.Is(err, errNoForward)
	}
	return p
}

// Scenarios are all of them, in the order in which they are played.
func Scenarios() []Scenario {
	return []Scenario{
		{"stranger", "The stranger of 1997", "Somebody without an account tries to send an advertisement to 45,000 people through this server, in the name of somebody who knows nothing of it.", (*act).stranger},
		{"password", "The stolen password", "A thief has one password and sends as fast as possible, over several connections, and comes back when stopped.", (*act).password},
		{"networks", "One password, 500 networks", "The same password is used from 500 places of the Internet, with one message from each, so that no single place stands out.", (*act).networks},
		{"forward", "The forward of a stopped account", "Mail comes for an account that sends its mail on elsewhere, and that may not send any more.", (*act).forward},
		{"bounces", "6,000 wrong addresses, 14,000 bounces", "Mail comes for 6,000 people who do not exist, in the names of innocents; and 14,000 error messages about mail that was never sent from here.", (*act).bounces},
		{"bombs", "Returned attachments of 100 MB", "Error messages come back from many servers, each with an attachment of 100 MB.", (*act).bombs},
		{"slow", "Slow senders by the thousand", "Thousands of connections stay open and send a letter now and then, while honest people want to send their mail.", (*act).slow},
		{"smuggling", "Messages hidden within messages", "Odd line ends make some servers see two messages where there is one, the second in anybody's name.", (*act).smuggling},
		{"gateway", "A lost client address", "A container or a gateway makes every client look as if it were this host itself.", (*act).gateway},
		{"lookalike", "A From that is not the sender's", "Somebody with an account writes as a colleague, in every way that a header has.", (*act).lookalike},
		{"kill", "A sudden end", "The server is killed while mail comes in, and started again.", (*act).kill},
		{"trace", "Ten messages, followed", "Ten messages of many are followed from the door to the last answer, and the whole record is recomputed.", (*act).trace},
	}
}

// times is n, or a tenth of it in a small drill.
func (a *act) times(n int) int {
	if a.o.Small {
		return max(1, n/10)
	}
	return n
}
