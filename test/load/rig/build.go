package rig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Build compiles the server of the module that contains the working directory, and puts it
// into dir. The packages of one run share one build: it is linked once into bin/test of the
// module, and again when a source is newer.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	shared := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(shared, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with it ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	// With another compiler it has another name.
	built := filepath.Join(shared, "sallyport-"+runtime.Version())
	binary := filepath.Join(dir, "sallyport")
	if newerThanSources(built, root) {
		return binary, place(built, binary)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", built, "sallyport/cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	// What changes while it is compiled is newer.
	if err := os.Chtimes(built, began, began); err != nil {
		return "", err
	}
	return binary, place(built, binary)
}

// newerThanSources reports whether the program was made after the last change of anything
// that it is made of. To ask the compiler takes two seconds of the processor each time. A
// file that went away, or came with an old date, changed its folder.
func newerThanSources(built, root string) bool {
	program, err := os.Stat(built)
	if err != nil {
		return false
	}
	older := func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err == nil && !i.ModTime().Before(program.ModTime()) {
			err = fmt.Errorf("rig: %s is newer", path)
		}
		return err
	}
	for _, part := range []string{"go.mod", "go.sum", "cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(root, part), older); err != nil {
			return false
		}
	}
	return true
}

// place gives the program a name of the caller's own, so that a later build, which puts
// another file in its place, changes nothing for who runs it.
func place(built, to string) error {
	if os.Link(built, to) == nil {
		return nil
	}
	b, err := os.ReadFile(built) // on another file system, or another user's
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// moduleRoot is the folder of go.mod, at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("rig: there is no go.mod")
		}
		dir = above
	}
}
