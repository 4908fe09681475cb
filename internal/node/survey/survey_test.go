package survey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/mail"
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

// The directory is that of the file and of what the file names; a list that
// cannot be read is told with its place.
func TestDirectoryOfAConfiguration(t *testing.T) {
	d, err := Directory(t.Context(), load(t, stated), nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, known := range map[string]bool{"known@listed.test": true, "unknown@listed.test": false} {
		a, err := mail.ParseAddress(address, mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		if c := d.Snapshot.Classify(a); (c.Destination != d.Snapshot.Classify(mailOf(t, "nobody@listed.test")).Destination) != known {
			t.Errorf("%s: %+v", address, c)
		}
	}
	cfg := load(t, stated)
	if err := os.Remove(cfg.Domains[1].RecipientsFile); err != nil {
		t.Fatal(err)
	}
	if _, err := Directory(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "sallyport.toml:10:") {
		t.Errorf("a list that is gone: %v", err)
	}
}

func mailOf(t *testing.T, s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
