package rig

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A program is taken as it is until anything that it is made of changes, comes or goes.
func TestNewerThanSources(t *testing.T) {
	root := t.TempDir()
	past := time.Now().Add(-time.Hour)
	file := func(name string) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program, source, gone := file("bin/program"), file("internal/a/a.go"), file("internal/a/gone.go")
	file("go.mod")
	file("go.sum")
	file("cmd/c.go")
	// made lets everything be old, and the program a minute younger.
	made := func() {
		for _, part := range []string{"go.mod", "go.sum", "cmd", "cmd/c.go", "internal", "internal/a", "internal/a/a.go", "internal/a/gone.go"} {
			if err := os.Chtimes(filepath.Join(root, part), past, past); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(program, past, past.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if !newerThanSources(program, root) {
			t.Error("with no change it counts as old")
		}
	}
	for what, change := range map[string]func() error{
		"a source changes":        func() error { return os.Chtimes(source, past, past.Add(time.Minute)) },
		"the dependencies change": func() error { return os.Chtimes(filepath.Join(root, "go.sum"), time.Now(), time.Now()) },
		"a source goes":           func() error { return os.Remove(gone) },
	} {
		made()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if newerThanSources(program, root) {
			t.Errorf("%s, and the program counts as new", what)
		}
	}
	if newerThanSources(program+".away", root) {
		t.Error("there is no program, and it counts as new")
	}
}
