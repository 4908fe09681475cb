package safefile

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	old   = "what it held\n"
	newer = "what it is to hold, which is longer\n"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a disk that forgets what was not synced. It calls step before each
// change; an error of that is the change's.
type memory struct {
	fs   *vfs.MemFS
	step func() error
}

type memoryFile struct {
	vfs.File
	m    memory
	name string
}

func (m memory) temporary(dir, pattern string) (file, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, strings.Replace(pattern, "*", "1", 1))
	f, err := m.fs.Create(name, "")
	return memoryFile{f, m, name}, err
}

func (m memory) rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.fs.Rename(from, to)
}

func (m memory) link(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.fs.Link(from, to)
}

func (m memory) remove(name string) error { return m.fs.Remove(name) }

func (m memory) syncDir(dir string) error {
	if err := m.step(); err != nil {
		return err
	}
	d, err := m.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f memoryFile) Name() string            { return f.name }
func (f memoryFile) Chmod(fs.FileMode) error { return f.m.step() }

func (f memoryFile) Write(p []byte) (int, error) {
	if err := f.m.step(); err != nil {
		return 0, err
	}
	return f.File.Write(append([]byte(nil), p...))
}

func (f memoryFile) Sync() error {
	if err := f.m.step(); err != nil {
		return err
	}
	return f.File.Sync()
}

// newMemory returns a disk with a folder /d, which holds the old file if it is to.
func newMemory(t *testing.T, withOld bool) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	must(t, mem.MkdirAll("/d", 0o700))
	m := memory{mem, func() error { return nil }}
	must(t, m.syncDir("/"))
	if withOld {
		must(t, replace(m, "/d/f", []byte(old), 0o600))
	}
	return mem
}

func content(t *testing.T, fs *vfs.MemFS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return string(b)
}

// The power goes before each step, with nothing, half or all of what was not synced
// on the disk: there is the old file or the new one. Once the call returned there is
// the new one alone.
func TestPowerCutAtEveryStep(t *testing.T) {
	for name, withOld := range map[string]bool{"replace": true, "create": false} {
		mem := newMemory(t, withOld)
		was, made := "", replace
		if withOld {
			was = old
		} else {
			made = create
		}
		rng := rand.New(rand.NewPCG(1, 2))
		var clones []*vfs.MemFS
		m := memory{mem, func() error {
			for range 20 {
				for _, percent := range []int{0, 50, 100} {
					clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
				}
			}
			return nil
		}}
		must(t, made(m, "/d/f", []byte(newer), 0o600))
		if len(clones) < 6*60 {
			t.Fatalf("%s: only %d moments seen", name, len(clones))
		}
		for i, c := range clones {
			if got := content(t, c, "/d/f"); got != was && got != newer {
				t.Fatalf("%s: power cut %d left %q", name, i, got)
			}
		}
		if got := content(t, mem.CrashClone(vfs.CrashCloneCfg{}), "/d/f"); got != newer {
			t.Errorf("%s: it returned, and the power cut left %q", name, got)
		}
	}
}

// Every step fails in turn: the call says so, there is the old file or the new one,
// and nothing else stays in the folder.
func TestFaultAtEveryStep(t *testing.T) {
	for name, made := range map[string]func(disk, string, []byte, fs.FileMode) error{"replace": replace, "create": create} {
		for n := 1; ; n++ {
			mem, at := newMemory(t, name == "replace"), 0
			m := memory{mem, func() error {
				if at++; at == n {
					return syscall.EIO
				}
				return nil
			}}
			err := made(m, "/d/f", []byte(newer), 0o600)
			if at < n {
				must(t, err)
				if n < 7 {
					t.Fatalf("%s: only %d steps", name, n-1)
				}
				break
			}
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: step %d failed, and it says %v", name, n, err)
			}
			if got := content(t, mem, "/d/f"); got != newer && got != map[string]string{"replace": old}[name] {
				t.Errorf("%s: step %d failed and left %q", name, n, got)
			}
			left, err := mem.List("/d")
			must(t, err)
			if len(left) > 1 || len(left) == 1 && left[0] != "f" {
				t.Errorf("%s: step %d failed and left %q", name, n, left)
			}
		}
	}
}

// On a real disk: content, mode whatever the umask, nothing beside it, and a link is
// replaced and not followed.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "f"), filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte(old), 0o644))
	must(t, os.Symlink(target, path))
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o666} {
		must(t, Replace(path, []byte(newer), mode))
		info, err := os.Lstat(path)
		must(t, err)
		if b, err := os.ReadFile(path); info.Mode() != mode || err != nil || string(b) != newer {
			t.Errorf("mode %v: %v, %q, %v", mode, info.Mode(), b, err)
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != old {
		t.Errorf("the target of the link: %q, %v", b, err)
	}
	if names(t, dir) != "f target" {
		t.Errorf("the folder holds %s", names(t, dir))
	}
	if err := Replace(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, Create(path, []byte(old), 0o644))
	if err := Create(path, []byte(newer), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != old || names(t, dir) != "f" {
		t.Errorf("%q, %v, and the folder holds %s", b, err, names(t, dir))
	}
}

func TestFoldersAndRemoval(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	for range 2 {
		must(t, MakeDir(dir))
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", d, info, err)
		}
	}
	path := filepath.Join(dir, "f")
	must(t, Create(path, nil, 0o600))
	if err := MakeDir(path); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file in the way: %v", err)
	}
	for range 2 {
		must(t, Remove(path))
	}
	if names(t, dir) != "" {
		t.Errorf("the folder holds %s", names(t, dir))
	}
	if err := Remove(filepath.Join(top, "a")); err == nil {
		t.Error("a folder that holds something was removed")
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}
