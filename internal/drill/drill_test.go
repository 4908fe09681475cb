package drill

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
)

// childMark is in the environment of the process that is killed.
const childMark = "SALLYPORT_DRILL_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) == "" {
		os.Exit(m.Run())
	}
	cfg, err := config.ParseFile(os.Args[1])
	if err == nil {
		err = Serve(context.Background(), Options{Config: cfg}, Place{os.Args[2], stage.Sinks{Outside: os.Args[3], Behind: os.Args[4]}}, os.Stdout)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// quickstart is the configuration that the quickstart writes, in a folder of the test's.
func quickstart(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	files := pki.In(filepath.Join(dir, "data", "tls"))
	template := config.Template{Data: "data", Cert: files.Cert, Key: files.Key, NoMX: true, MX: "127.0.0.1:2525", Submission: "127.0.0.1:2587", Submissions: "127.0.0.1:2465"}
	var err error
	if template.Hostname, err = mail.ParseDomain("mx.local.test"); err != nil {
		t.Fatal(err)
	}
	if template.Domain, err = mail.ParseDomain("local.test"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sallyport.toml")
	if err := os.WriteFile(path, template.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.ParseFile(path) // the certificate that it names is not there
	if err != nil {
		t.Fatal(err)
	}
	return Options{Config: cfg, Seed: 1, Child: func(ctx context.Context, p Place) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], path, p.Dir, p.Sinks.Outside, p.Sinks.Behind)
		cmd.Env, cmd.Stderr = append(os.Environ(), childMark+"=1"), os.Stderr
		return cmd
	}}
}

// A small drill of everything on the quickstart's configuration keeps all seven promises.
func TestTheQuickstartKeepsAllPromises(t *testing.T) {
	o := quickstart(t)
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
