package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A password in the wrong place is refused, and stands in no word of the refusal.
func TestFaultsHideSecrets(t *testing.T) {
	const head = "hostname = \"mx.a.test\"\ndata = \"/tmp/x\"\n[listen]\nmx = [\"127.0.0.1:25\"]\n[domain.\"a.test\"]\ndeliver = \"maildir\"\n[maildir]\nroot = \"/tmp/y\"\n[route.\"*\"]\n"
	for line, hidden := range map[string]string{
		`to = "smtps://u:hunter2@relay.test"`:     `u:*******@relay.test`,
		`to = "smtps://u:hun:ter@2@relay.test" #`: `u:*********@relay.test`,
		`password = "hunter2"`:                    `password = "*******"`,
		`password = hunter2`:                      `password = *******`,
		`Password="hunter2`:                       `Password="*******`,
		`password = "hunter2" x = "hunter2"`:      `password = "`,
		`"secret_key" = 'hunter2'`:                `'*******'`,
		`password = "x"`:                          `password = "*"`,
	} {
		path := filepath.Join(t.TempDir(), "s.toml")
		if err := os.WriteFile(path, []byte(head+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil {
			t.Errorf("%s is taken", line)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter") || strings.Contains(text, "ter@2") || !strings.Contains(text, hidden) {
			t.Errorf("%s:\n%s", line, text)
		}
	}
	if f := (Fault{Source: `token_url = "http://login.test"`, Text: `"http://login.test"`}).withoutSecrets(); f.Text != `"http://login.test"` {
		t.Errorf("%+v", f)
	}
	if f := (Fault{Source: `password_file = "smart.password"`, Text: `"smart.password"`, Message: "no such file"}).withoutSecrets(); f.Text != `"smart.password"` {
		t.Errorf("%+v", f)
	}
}
