package backup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/test/load/rig"
)

// someone is a user of no name, as whom the server of this test runs.
const someone = 40_217

// Restored by root, everything belongs to whom it belonged, what the checks made too,
// and the server's user can use all of it, also what lay outside the data folder.
func TestRestoredByRootForTheServersUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	top, err := os.MkdirTemp("", "owner")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(top) })
	must(t, os.Chmod(top, 0o755))
	binary, err := rig.Build(t.Context(), top)
	must(t, err)
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(top, "server"), Remote: nobody})
	must(t, err)
	// The certificate lies elsewhere, as it does where something else renews it.
	outside := filepath.Join(top, "ssl")
	must(t, os.Rename(filepath.Join(s.Data, "tls"), outside))
	text, err := os.ReadFile(s.Config)
	must(t, err)
	must(t, os.WriteFile(s.Config, []byte(strings.ReplaceAll(string(text), filepath.Join(s.Data, "tls"), outside)), 0o600))
	must(t, chownAll(top, someone))

	as := func(uid uint32, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: false}}
		cmd.Dir, cmd.Env = top, append(os.Environ(), "HOME="+top)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	as(someone, "backup", "--to", "copy.tar.zst", "-c", s.Config)
	as(0, "restore", "--from", "copy.tar.zst", "--to", "again")
	err = filepath.WalkDir(filepath.Join(top, "again", "data"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != someone {
			t.Errorf("%s belongs to %d", path, info.Sys().(*syscall.Stat_t).Uid)
		}
		return err
	})
	must(t, err)
	config := filepath.Join("again", "sallyport.toml")
	as(someone, "check", "-c", config)
	if out := as(someone, "status", "-c", config); !strings.Contains(out, "accounts  4") || !strings.Contains(out, "the certificate expires") {
		t.Errorf("the restored server: %s", out)
	}
}

func chownAll(dir string, uid int) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, uid, uid)
		}
		return err
	})
}
