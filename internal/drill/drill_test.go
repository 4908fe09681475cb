package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
)

// childMark is in the environment of the process that is killed.
const childMark = "SALLYPORT_DRILL_TEST"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childMark) {
	case "":
		os.Exit(m.Run())
	case "report":
		err = printReport(os.Args[1])
	default:
		var cfg config.Config
		if cfg, err = config.ParseFile(os.Args[1]); err == nil {
			if os.Getenv("WITHOUT") == "no world" {
				cfg.Listen.MX = nil
			}
			err = Serve(context.Background(), Options{Config: cfg}, Place{os.Args[2], stage.Sinks{Outside: os.Args[3], Behind: os.Args[4]}}, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// printReport plays a small drill of everything in a folder, with forwards, for test/drill.
func printReport(dir string) error {
	o, err := quickstart(dir, "[forward]\nexternal = \"on\"\n")
	if err != nil {
		return err
	}
	o.Small = true
	r, err := Run(context.Background(), o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// quickstart is the configuration that the quickstart writes, in a folder of the test's.
func quickstart(dir, more string) (o Options, err error) {
	files := pki.In(filepath.Join(dir, "data", "tls"))
	template := config.Template{Data: "data", Cert: files.Cert, Key: files.Key, NoMX: true, MX: "127.0.0.1:2525", Submission: "127.0.0.1:2587", Submissions: "127.0.0.1:2465"}
	if template.Hostname, err = mail.ParseDomain("mx.local.test"); err != nil {
		return o, err
	}
	if template.Domain, err = mail.ParseDomain("local.test"); err != nil {
		return o, err
	}
	path := filepath.Join(dir, "sallyport.toml")
	if err := os.WriteFile(path, append(template.Text(), more...), 0o600); err != nil {
		return o, err
	}
	cfg, err := config.ParseFile(path) // the certificate that it names is not there
	return Options{Config: cfg, Seed: 1, Child: func(ctx context.Context, p Place) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], path, p.Dir, p.Sinks.Outside, p.Sinks.Behind)
		cmd.Env, cmd.Stderr = append(os.Environ(), childMark+"=kill"), os.Stderr
		return cmd
	}}, err
}

// A small drill of everything on the quickstart's configuration keeps all seven promises.
func TestTheQuickstartKeepsAllPromises(t *testing.T) {
	o, err := quickstart(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Small = os.Getenv("SALLYPORT_DRILL") == ""
	if s := os.Getenv("SCENARIO"); s != "" {
		o.Scenarios = []string{s}
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Played {
		if p.Lacking {
			continue
		}
		t.Logf("%s: %v %s, outside %d", p.Name, p.Took, p.Fault, p.Outside)
		for _, m := range p.Measures {
			t.Logf("    %-55s %12.1f of %12.1f %s, tried %d %q", m.What, m.Found, m.Most, m.Unit, m.Tried, m.Examples)
		}
		if p.Fault != "" || p.Outside > 0 {
			t.Errorf("%s: %s, %d times outside", p.Name, p.Fault, p.Outside)
		}
	}
	for _, v := range r.Verdicts {
		if v.State != verdict.Kept && len(o.Scenarios) == 0 || v.State == verdict.Broken {
			t.Errorf("%s: %s", v.Promise, v.State)
		}
	}
}

// Who signs in at one door alone, of the two that there are, or by a mechanism that the stand-ins don't know, has everything
// played all the same.
func TestOneDoorForPeopleIsEnough(t *testing.T) {
	for name, at := range map[string]struct {
		scenario string
		without  func(*config.Config)
	}{
		"submission":  {"networks", func(c *config.Config) { c.Listen.Submissions = nil }},
		"submissions": {"password", func(c *config.Config) { c.Listen.Submission, c.Auth.Mechanisms = nil, []string{"SCRAM-SHA-256"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := quickstart(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			o.Small, o.Scenarios = true, []string{at.scenario}
			at.without(&o.Config)
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Played {
				tried := 0
				for _, m := range p.Measures {
					tried = max(tried, m.Tried)
				}
				if p.Fault != "" || p.Lacking || tried == 0 {
					t.Errorf("%s: %s, tried %d", p.Name, p.Fault, tried)
				}
			}
			for _, v := range r.Verdicts {
				if v.State == verdict.Broken || v.Promise == verdict.NoHijack && v.State != verdict.Kept {
					t.Errorf("%s: %s", v.Promise, v.State)
				}
			}
		})
	}
}

// A server that has the door for the world alone, or none for it, is rehearsed at the doors that it has.
func TestHalfOfTheDoors(t *testing.T) {
	for name, half := range map[string]struct {
		without func(*config.Listen)
		played  []string
	}{
		"no people": {func(l *config.Listen) { l.Submission, l.Submissions = nil, nil }, []string{"stranger", "smuggling", "gateway", "lookalike"}},
		"no world":  {func(l *config.Listen) { l.MX = nil }, []string{"stranger", "smuggling", "gateway", "lookalike", "kill"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := quickstart(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			o.Small, o.Scenarios = true, half.played
			half.without(&o.Config.Listen)
			child := o.Child
			o.Child = func(ctx context.Context, p Place) *exec.Cmd {
				cmd := child(ctx, p)
				cmd.Env = append(cmd.Env, "WITHOUT="+name)
				return cmd
			}
			r, err := Run(t.Context(), o)
			if err != nil || r.Broken() {
				t.Errorf("%+v, %v", r.Verdicts, err)
			}
			for _, p := range r.Played {
				tried := 0
				for _, m := range p.Measures {
					tried = max(tried, m.Tried)
				}
				if p.Fault != "" || tried == 0 {
					t.Errorf("%s: %q, tried %d", p.Name, p.Fault, tried)
				}
			}
		})
	}
}

// A server that the world does not write to has nothing broken by what it lacks.
func TestWithoutADoorForTheWorld(t *testing.T) {
	o, err := quickstart(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Small, o.Scenarios = true, []string{"bounces", "bombs", "slow", "gateway"}
	o.Config.Listen.MX = nil
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Broken() {
		t.Errorf("%+v", r)
	}
	for _, p := range r.Played {
		if p.Lacking != (p.Name != "gateway") {
			t.Errorf("%s: %s", p.Name, p.Fault)
		}
	}
}

// Where all domains are of a server behind, and a file lists who is there, honest people are served all the same, and no
// bounce to one of them counts as forged.
func TestAListOfAServerBehind(t *testing.T) {
	o, err := quickstart(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "people")
	if err := os.WriteFile(file, []byte("anna@local.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := config.NewDomain(o.Config.Domains[0].Name, "smtp://192.0.2.5")
	if err != nil {
		t.Fatal(err)
	}
	d.Recipients, d.RecipientsFile = directory.RecipientsList, file
	if d.Postmaster, err = mail.ParseAddress("anna@local.test", mail.ASCII); err != nil {
		t.Fatal(err)
	}
	o.Config.Domains = []config.Domain{d}
	o.Small, o.Scenarios = true, []string{"bounces"}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Played {
		if p.Fault != "" {
			t.Errorf("%s: %s", p.Name, p.Fault)
		}
	}
	for _, m := range r.Played[0].Measures {
		if strings.HasPrefix(m.What, "honest messages") && (m.Tried == 0 || !m.Holds()) {
			t.Errorf("%s: %v of %d: %q", m.What, m.Found, m.Tried, m.Examples)
		}
		if strings.HasPrefix(m.What, "bounces of mail that was never sent") {
			t.Errorf("nobody knows what that server sent by itself: %s, %v of %d", m.What, m.Found, m.Tried)
		}
	}
	if r.Broken() {
		t.Errorf("%+v", r.Verdicts)
	}
}
