package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/drill"
	"sallyport/internal/drill/report"
	"sallyport/internal/drill/stage"
	"sallyport/internal/kit/safefile"
)

type drillCommand struct {
	configFlag
	jsonFlag
	Scenario []string `placeholder:"NAME" help:"Play this scenario alone; may be repeated: ${scenarios}."`
	Seed     uint64   `placeholder:"N" help:"Play the same again: what is chance follows from N (default: another each time, which the report names)."`
	HTML     string   `name:"html" placeholder:"FILE" help:"Write the report as one HTML page, too."`
}

// Help says what is played, and what is left alone.
func (drillCommand) Help() string {
	return `Starts a server of your configuration on loopback, in a folder of its own that goes away, with keys and accounts
of its own, and plays on it what mail servers are attacked with. All mail that would leave arrives at a sink. It ends with
the seven promises, each kept, broken or not tested, with figures.

It touches nothing of the server that runs: no data folder, no key, no DNS, no other program. What your configuration
says of LDAP, OpenID, ACME, webhooks, Rspamd, milters, DNS lists, metrics, reports, trusted networks, helpers and doors at
which mail is read is left out, and domains and aliases that commands added are not known to it.

Exits with 0 when no promise is broken, 1 when one is or something could not be played, and 2 when the command was not understood.

Examples:
  sallyport drill -c quickstart-data/sallyport.toml
  sallyport drill --scenario password --scenario networks
  sallyport drill --html drill.html --json > drill.json`
}

// Run plays and reports.
func (d drillCommand) Run(ctx context.Context, c console) error {
	// Certificates and keys are none of the rehearsal's.
	cfg, err := config.ParseFile(d.Config)
	if err != nil {
		return err
	}
	if d.Seed == 0 {
		d.Seed = uint64(rand.Uint32())
	}
	steps := newProgress(c, "rehearsing", func(n int64) string { return strconv.FormatInt(n, 10) })
	o := drill.Options{
		Config: cfg, Scenarios: d.Scenario, Seed: d.Seed, Child: d.child, Logger: slog.New(slog.DiscardHandler),
		Begun: func(s drill.Scenario, number, of int) {
			steps.what = s.Title
			steps.drawn = time.Time{}
			steps.at(int64(number), int64(of))
		},
	}
	r, err := drill.Run(ctx, o)
	steps.end()
	if errors.Is(err, drill.ErrNoScenario) {
		return usageError{err.Error() + "; there are: " + scenarioNames()}
	}
	if err != nil {
		return err
	}
	if err := d.tell(c, r); err != nil {
		return err
	}
	if r.Broken() {
		return errSilent
	}
	return nil
}

// tell reports in every form that was asked for. What was played takes minutes: a page that
// cannot be written costs nobody the report.
func (d drillCommand) tell(c console, r drill.Report) error {
	err := d.page(r)
	if d.JSON {
		return errors.Join(printJSON(c.out, r), err)
	}
	return errors.Join(report.Text(c.out, r), err)
}

// page writes the report as a page, if one is wanted.
func (d drillCommand) page(r drill.Report) error {
	if d.HTML == "" {
		return nil
	}
	var page strings.Builder
	if err := report.HTML(&page, r); err != nil {
		return err
	}
	return safefile.Replace(d.HTML, []byte(page.String()), 0o644)
}

func scenarioNames() string {
	var names []string
	for _, s := range drill.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// drillMark is in the environment of the process that a drill kills, and of nothing else.
const drillMark = "SALLYPORT_DRILL_STAGE"

// child is the process that is killed: the same program once more.
func (d drillCommand) child(ctx context.Context, p drill.Place) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "drill-stage", "--config", d.Config, "--dir", p.Dir,
		"--outside", p.Sinks.Outside, "--behind", p.Sinks.Behind)
	cmd.Args[0], cmd.Env = os.Args[0], append(os.Environ(), drillMark+"=yes")
	// It ends with this process, and not by a key that was pressed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// drillStageCommand is the server that a drill kills.
type drillStageCommand struct {
	configFlag
	Dir     string `required:"" help:"The folder of the rehearsal."`
	Outside string `required:"" help:"The sink for others."`
	Behind  string `required:"" help:"The sink in place of servers behind."`
}

// Run serves until it is killed.
func (s drillStageCommand) Run(ctx context.Context, c console) error {
	if os.Getenv(drillMark) == "" {
		return usageError{"drill-stage is for the program itself"}
	}
	cfg, err := config.ParseFile(s.Config)
	if err != nil {
		return err
	}
	err = drill.Serve(ctx, drill.Options{Config: cfg},
		drill.Place{Dir: s.Dir, Sinks: stage.Sinks{Outside: s.Outside, Behind: s.Behind}}, c.out)
	if err != nil {
		return fmt.Errorf("the rehearsal: %w", err)
	}
	return nil
}
