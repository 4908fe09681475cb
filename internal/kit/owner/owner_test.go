package owner_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/kit/owner"
)

func TestOf(t *testing.T) {
	dir := t.TempDir()
	who, err := owner.Of(dir)
	if err != nil || !who.Here() || who.Name == "" || len(who.Groups) == 0 {
		t.Errorf("%+v, %v", who, err)
	}
	if err := who.Reach(dir); err != nil {
		t.Error(err)
	}
	if _, err := owner.Of(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A process of root becomes the owner with everything, and cannot go back; a folder that
// he does not get to is told of.
func TestBecome(t *testing.T) {
	if dir := os.Getenv("BECOME_OWNER_OF"); dir != "" {
		become(dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	above := t.TempDir()
	dir := filepath.Join(above, "data")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 10025, 10026)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o755, 0o700} {
		for p := above; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("/proc/self/exe", "-test.run", "^TestBecome$", "-test.v")
		cmd.Env = append(os.Environ(), "BECOME_OWNER_OF="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range []string{"Uid:\t10025\t10025\t10025\t10025", "Gid:\t10026\t10026\t10026\t10026", "Groups:\t10026", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("there is no %q in\n%s", want, out)
			}
		}
		if closed := strings.Contains(string(out), "belongs to 10025, who cannot get there"); closed != (mode == 0o700) {
			t.Errorf("with %v above:\n%s", mode, out)
		}
	}
}

// Whoever is the owner already, and may, becomes him without a change: root of a folder of root. Nobody
// else becomes anybody.
func TestBecomeOneself(t *testing.T) {
	dir := t.TempDir()
	who, err := owner.Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = who.Become()
	if root := os.Geteuid() == 0; (err == nil) != root || !who.Here() {
		t.Errorf("root: %v; %v", root, err)
	}
	// No user and no group has the number of nobody at all, which means "as it is" to the kernel.
	if err := (owner.Owner{UID: -1, GID: -1, Groups: []int{-1}, Name: "none"}).Become(); err == nil || !strings.Contains(err.Error(), "cannot become none") {
		t.Error(err)
	}
}

// become prints what the process is once it is the owner.
func become(dir string) {
	who, err := owner.Of(dir)
	if err == nil {
		err = who.Become()
	}
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	if err := who.Reach(dir); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.Write(text)
}
