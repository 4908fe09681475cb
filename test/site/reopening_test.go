package site

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/operate"
	"sallyport/test/load/rig"
)

// While the database of a server is opened anew, since its disk takes nothing, the commands tell
// everything that needs no database, what they cannot tell and why, and that the server runs; when
// the disk is well again, they tell all.
func TestWhatIsToldWhileTheDatabaseIsOpenedAnew(t *testing.T) {
	binary, err := rig.Build(t.Context(), t.TempDir())
	Must(t, err)
	disk := &breaker{}
	s := New(t, errorfs.Wrap(vfs.Default, disk), "[mx]", `dns = ["127.0.0.1:1"]`)
	s.Log = Quiet()
	n := s.Start()
	s.Populate(n.Node)
	s.Unreachable.Store(true)
	alice := s.SignIn(n, true, "alice@local.test")
	id := QueueID(alice.Send("alice@local.test", Message("held", "alice@local.test", 300), "x@remote.test"))
	_, err = n.Operator().QueueHold(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{IDs: []string{id}}, Reason: "to be looked at"})
	Must(t, err)
	says := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, append(args, "-c", filepath.Join(s.Dir, "sallyport.toml"))...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	tells := func(what string, code, wantCode int, out string, want, not []string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s does not tell %q:\n%s", what, w, out)
			}
		}
		for _, w := range not {
			if strings.Contains(out, w) {
				t.Errorf("%s tells %q:\n%s", what, w, out)
			}
		}
		if code != wantCode {
			t.Errorf("%s ends with %d, want %d:\n%s", what, code, wantCode, out)
		}
	}
	runs := []string{"server    running for", fmt.Sprintf("pid %d", os.Getpid()), "mx on " + n.Addrs().MX[0], "accounts  2, 0 of them frozen", "1 of them held"}
	out, code := says("status")
	tells("status of a server that is well", code, 0, out, append(runs, "because: to be looked at"), []string{"database", "not known"})

	f := diskFaults()["/store/ is read-only"]
	disk.now.Store(f)
	l := &promises{texts: map[string]string{}, acked: map[string]bool{}}
	Eventually(t, "the database to be opened anew in vain", func() bool {
		l.deliver(t, n, "meanwhile", 1000)
		v, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{})
		Must(t, err)
		return v.Database != nil && v.Database.Tries > 0
	})
	const why = "the database is being recovered"
	out, code = says("status")
	tells("status", code, 1, out, append(runs, "database  failed at", syscall.EROFS.Error(), "in vain, the last for: ", "the open incidents", "why messages are held", why), nil)
	out, code = says("status", "--json")
	tells("status --json", code, 1, out, []string{`"database":{"since":`, `"missing":[{"what":"the open incidents","why":`}, nil)
	out, code = says("doctor", "--all")
	tells("doctor", code, 1, out, []string{
		fmt.Sprintf("pid %d", os.Getpid()), "wrong    database: mx.local.test: it failed at", "and is being opened anew: ", syscall.EROFS.Error(), "dmesg", "1 message is held",
	}, []string{"no server runs", "another program answers"})

	disk.now.Store(nil)
	Eventually(t, "mail to be taken again", func() bool { return l.deliver(t, n, "after", 1000) })
	out, code = says("status")
	tells("status after it", code, 0, out, append(runs, "because: to be looked at"), []string{"database", "not known"})
	out, _ = says("doctor", "--all")
	tells("doctor after it", 0, 0, out, []string{fmt.Sprintf("pid %d", os.Getpid())}, []string{"database:", "no server runs"})
}
