package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Build compiles the server of the module that contains the working directory, and puts it
// into dir. The packages of one run share one build: it is linked once into bin/test of the
// module, where the compiler sees by itself whether it is still up to date.
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
	built := filepath.Join(shared, "sallyport")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", built, "sallyport/cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	binary := filepath.Join(dir, "sallyport")
	return binary, place(built, binary)
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
