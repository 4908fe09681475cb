// Package vuln holds scripts/vuln to its word: a database that can't be read is an error
// and never an empty list. Most of it needs no network and no scan.
package vuln

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// aDatabase makes one in its documented form, whose only entry is about a module.
func aDatabase(t *testing.T, module string) string {
	t.Helper()
	dir := t.TempDir()
	const when = `"modified":"2026-11-20T00:00:00Z"`
	for name, text := range map[string]string{
		"index/db.json":      `{` + when + `}`,
		"index/modules.json": fmt.Sprintf(`[{"path":%q,"vulns":[{"id":"GO-2026-9999",%s,"fixed":"9.0.0"}]}]`, module, when),
		"ID/GO-2026-9999.json": fmt.Sprintf(`{"schema_version":"1.3.1","id":"GO-2026-9999",%s,"published":"2026-11-20T00:00:00Z","summary":"an example","affected":[{"package":{"name":%q,"ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"9.0.0"}]}],"ecosystem_specific":{}}],"database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-9999"}}`,
			when, module),
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ask runs the script over a small package that uses golang.org/x/sys.
func ask(t *testing.T, database string, env ...string) (status int, said string) {
	t.Helper()
	cmd := exec.Command("../../scripts/vuln", "./internal/kit/diskspace")
	cmd.Env = append(append(os.Environ(), "VULNDB="+database), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(out)
	case err != nil:
		t.Fatal(err)
	}
	return 0, string(out)
}

func TestADatabaseThatCannotBeReadIsAnError(t *testing.T) {
	without := func(name string) string {
		dir := aDatabase(t, "golang.org/x/sys")
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	saying := func(name, text string) string {
		dir := aDatabase(t, "golang.org/x/sys")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct{ name, dir, says string }{
		{"no folder", filepath.Join(t.TempDir(), "none"), "no folder"},
		{"an empty folder", t.TempDir(), "no index/db.json"},
		{"no date", without("index/db.json"), "no index/db.json"},
		{"no index", without("index/modules.json"), "no index/modules.json"},
		{"no entries", without("ID"), "no ID"},
		{"an empty index", saying("index/modules.json", "[]"), "names no module"},
		{"an error page for an index", saying("index/db.json", "<html>"), "names no date"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, said := ask(t, c.dir)
			if status != 1 || !strings.Contains(said, c.says) || !strings.Contains(said, "nothing was looked up") {
				t.Errorf("exit %d, want 1 and %q:\n%s", status, c.says, said)
			}
		})
	}
}

// TestAnEntryIsFound scans, which needs govulncheck from a module proxy and a minute.
func TestAnEntryIsFound(t *testing.T) {
	if os.Getenv("SALLYPORT_VULN") == "" {
		t.Skip("SALLYPORT_VULN is not set")
	}
	if status, said := ask(t, aDatabase(t, "golang.org/x/sys")); status != 3 || !strings.Contains(said, "GO-2026-9999") {
		t.Errorf("an entry about a module that we use: exit %d, want 3:\n%s", status, said)
	}
	if status, said := ask(t, aDatabase(t, "example.org/other")); status != 0 {
		t.Errorf("no entry about a module that we use: exit %d, want 0:\n%s", status, said)
	}
	// The tool is here by now; of the network nothing is left but a proxy that takes no connection.
	status, said := ask(t, "", "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1", "GOPROXY=off", "GONOSUMDB=*", "GOFLAGS=-mod=mod")
	if status != 1 || !strings.Contains(said, "nothing was looked up") {
		t.Errorf("a database out of reach: exit %d, want 1:\n%s", status, said)
	}
}
