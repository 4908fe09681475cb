package metrics

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every alert fires when it should, and is silent when it should be: Prometheus' own tool
// evaluates them over series of ours.
func TestAlertsFire(t *testing.T) {
	const dir = "../../../packaging/prometheus"
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	cases := read("alerts_test.yml")
	for _, m := range regexp.MustCompile(`(?m)^ *- alert: (\S+)$`).FindAllStringSubmatch(read("alerts.yml"), -1) {
		if !strings.Contains(cases, "# "+m[1]+" fires\n") || !strings.Contains(cases, "# "+m[1]+" is silent\n") {
			t.Errorf("no case shows when %s fires and when it is silent", m[1])
		}
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool (of Debian's prometheus) is not here: scripts/install-test-tools brings it")
	}
	c := exec.Command(tool, "test", "rules", "alerts_test.yml")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
