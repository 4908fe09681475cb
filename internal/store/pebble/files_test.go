package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Of a folder its regular files are listed, each once, however many there are: on a real disk and on
// one in memory.
func TestFilesAreRegular(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	memory := vfs.NewMem()
	must(memory.MkdirAll(dir, 0o700))
	var want []string
	for i := range 5000 {
		name := fmt.Sprintf("%d.M%dP1.host,S=%d:2,%.*s", 1_700_000_000+i, i, i, i%7, "DFPRST")
		want = append(want, name)
		must(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		f, err := memory.Create(filepath.Join(dir, name), sharedCategory)
		must(err)
		must(f.Close())
	}
	must(os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	must(memory.MkdirAll(filepath.Join(dir, "folder"), 0o700))
	must(os.Symlink(want[0], filepath.Join(dir, "link")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for name, disk := range map[string]vfs.FS{"real": vfs.Default, "memory": memory} {
		got, err := Disk(disk).Files(dir)
		must(err)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d names", name, len(got))
		}
		if _, err := Disk(disk).Files(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A disk that does not say what a name stands for is asked.
	folder, err := openFolder(dir)
	must(err)
	defer syscall.Close(folder)
	for name, regular := range map[string]bool{want[1]: true, "folder": false, "link": false, "pipe": false, "nothing": false} {
		if isRegular(folder, name) != regular {
			t.Error(name)
		}
	}
}
