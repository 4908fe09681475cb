package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNextName(t *testing.T) {
	for _, c := range []struct{ old, taken, want string }{
		{"phone", "phone", "phone-2"},
		{"phone-2", "phone phone-2", "phone-3"},
		{"phone", "phone phone-2", "phone-3"},
		{"Phone", "phone-2", "Phone-3"},
		{"room-1", "", "room-1-2"},
		{"room-02", "", "room-02-2"},
		{"-2", "", "-2-2"},
	} {
		if got := nextName(c.old, strings.Fields(c.taken)); got != c.want {
			t.Errorf("after %s, beside %s: %s, want %s", c.old, c.taken, got, c.want)
		}
	}
}

func TestFileName(t *testing.T) {
	for from, want := range map[string]string{
		"alice@example.org-phone":    "alice@example.org-phone",
		"../../etc/passwd":           "_._.._etc_passwd",
		"-rf@example.org-x y":        "_rf@example.org-x_y",
		".hidden":                    "_hidden",
		"müller@example.org-a\x00\n": "m_ller@example.org-a__",
	} {
		if got := fileName(from); got != want {
			t.Errorf("%q becomes %q, want %q", from, got, want)
		}
	}
}

// Files are taken whole or not at all, and never from somebody else.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.pem"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if k, err := reserve(dir, "x", []string{"p12", "pem"}); err == nil {
		t.Errorf("%v", k.names())
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "y.p12")); err != nil {
		t.Fatal(err)
	}
	if k, err := reserve(dir, "y", []string{"p12"}); err == nil {
		t.Errorf("a link was followed: %v", k.names())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("there are %v, %v", left, err)
	}
	k, err := reserve(dir, "z", []string{"p12", "p12", "profile"})
	if err != nil || len(k.names()) != 2 {
		t.Fatal(k.names(), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "z.mobileconfig")); err != nil || info.Mode().Perm() != 0o600 || info.Size() != room {
		t.Errorf("%v, %v", info, err)
	}
	if err := k.remove(); err != nil {
		t.Error(err)
	}
}
