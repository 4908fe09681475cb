package surroundings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/returnpath"
)

const stated = `hostname = "mx.local.test"
data = "data"
listen.mx = ["127.0.0.1:0"]

[domain."local.test"]
deliver = "maildir"

[domain."listed.test"]
deliver = "smtp://192.0.2.9"
recipients_file = "list"

[return_path]
sign = "require"
`

func load(t *testing.T, text string) config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"sallyport.toml": text, "list": "known\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "sallyport.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// How far signing has come is a matter of the note: it is to be watched until bounces
// without a signature are refused, and wrong where nobody can read it.
func TestHowFarSigningHasCome(t *testing.T) {
	cfg, now := load(t, stated), time.Now()
	note := returnpath.NoteIn(cfg.KeysDir())
	for _, c := range []struct {
		days int
		want doctor.State
	}{{0, doctor.Note}, {-1, doctor.Note}, {-20, doctor.Fine}} {
		if c.days != 0 {
			if err := note.Begin(now.AddDate(0, 0, c.days)); err != nil {
				t.Fatal(err)
			}
		}
		if found := examineReturnPath(cfg, now); len(found) != 1 || found[0].State != c.want {
			t.Errorf("after %d days: %+v", -c.days, found)
		}
	}
	if err := os.WriteFile(string(note), []byte("yesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := examineReturnPath(cfg, now); len(found) != 1 || found[0].State != doctor.Wrong || found[0].Remedy == "" {
		t.Errorf("the doctor finds %+v", found)
	}
	if found := examineReturnPath(load(t, strings.Replace(stated, "require", "off", 1)), now); found != nil {
		t.Errorf("of nothing that is signed: %+v", found)
	}
}

// Binding that only reports is to be watched, for the doctor and for a check.
func TestHowSendersAreBound(t *testing.T) {
	cfg := load(t, stated)
	if w := survey.BindingWarning(cfg); w != "" || examineBinding(cfg)[0].State != doctor.Fine {
		t.Errorf("%q, %+v", w, examineBinding(cfg))
	}
	cfg = load(t, stated+"\n[submission]\nsender_binding = \"report\"\n")
	if f := examineBinding(cfg)[0]; survey.BindingWarning(cfg) == "" || f.State != doctor.Warning || f.Remedy == "" {
		t.Errorf("%q, %+v", survey.BindingWarning(cfg), f)
	}
}
