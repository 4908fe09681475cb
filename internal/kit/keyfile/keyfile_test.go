package keyfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errNever = errors.New("a key was made")

func never() ([]byte, error) { return nil, errNever }

func TestAKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "one.key")
	if _, err := Load(path, false, never); err == nil || !strings.Contains(err.Error(), "missing") || errors.Is(err, errNever) {
		t.Errorf("where none may be made: %v", err)
	}
	made, err := Load(path, true, func() ([]byte, error) { return []byte("secret"), nil })
	must(t, err)
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	for _, mayMake := range []bool{true, false} {
		if b, err := Load(path, mayMake, never); err != nil || !bytes.Equal(b, made) || string(b) != "secret" {
			t.Errorf("read again: %q, %v", b, err)
		}
	}
}

func TestAKeyThatCannotBeMadeLeavesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.key")
	if _, err := Load(path, true, never); !errors.Is(err, errNever) {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Whatever is wrong with a file, no key is made in its place.
func TestFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "one.key")
	refused := func(what, words string) {
		t.Helper()
		if b, err := Load(path, true, never); err == nil || errors.Is(err, errNever) || !strings.Contains(err.Error(), words) || b != nil {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o610, 0o601, 0o620, 0o602} {
		must(t, os.WriteFile(path, []byte("secret"), 0o600))
		must(t, os.Chmod(path, mode))
		refused(mode.String(), "open to others")
	}
	must(t, os.Chmod(path, 0o400))
	if b, err := Load(path, false, never); err != nil || string(b) != "secret" {
		t.Errorf("mode 0400: %q, %v", b, err)
	}
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, make([]byte, MaxOctets), 0o600))
	if b, err := Load(path, false, never); err != nil || len(b) != MaxOctets {
		t.Errorf("the largest: %d, %v", len(b), err)
	}
	must(t, os.WriteFile(path, make([]byte, MaxOctets+1), 0o600))
	refused("too large", "too large")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	refused("a folder", "no regular file")
}

func TestRandom(t *testing.T) {
	if b, err := Random(strings.NewReader("0123456789"), 4); err != nil || string(b) != "0123" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Random(strings.NewReader("012"), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
