package keys

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

const text = "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n[trace]\n"

func load(t *testing.T, dir, text string) config.Config {
	t.Helper()
	path := filepath.Join(dir, "sallyport.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.KeysDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// files are the keys of a configuration, with what they hold.
func files(t *testing.T, cfg config.Config) map[string]string {
	t.Helper()
	found, err := os.ReadDir(cfg.KeysDir())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range found {
		octets, err := os.ReadFile(filepath.Join(cfg.KeysDir(), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
		all[f.Name()] = string(octets)
	}
	return all
}

func same(a, b Keys) bool {
	return a.Grant == b.Grant && a.Hijack == b.Hijack && reflect.DeepEqual(a.Returns, b.Returns) && a.Trace.Public() == b.Trace.Public() && a.Trace.Origin() == b.Trace.Origin()
}

// The keys of a new folder are made once, all for its owner alone, and are the same from then on.
func TestKeysAreMadeOnce(t *testing.T) {
	cfg := load(t, t.TempDir(), text)
	made, err := Load(cfg, true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	was := files(t, cfg)
	if len(was) < 4 {
		t.Errorf("keys of %d rooms", len(was))
	}
	for _, fresh := range []bool{false, true} {
		again, err := Load(cfg, fresh, rand.Reader)
		if err != nil || !same(again, made) {
			t.Errorf("fresh %v: other keys, %v", fresh, err)
		}
	}
	if !reflect.DeepEqual(files(t, cfg), was) {
		t.Error("a key was written again")
	}
	other, err := Load(load(t, t.TempDir(), text), true, rand.Reader)
	if err != nil || other.Grant == made.Grant || other.Hijack == made.Hijack || reflect.DeepEqual(other.Returns, made.Returns) || other.Trace.Public() == made.Trace.Public() {
		t.Errorf("two folders share keys, %v", err)
	}
}

// What a store rests on is never made anew beside it; the fingerprints of correspondents are,
// since all that is lost with their key is whom somebody knew.
func TestLostKeys(t *testing.T) {
	cfg := load(t, t.TempDir(), text)
	made, err := Load(cfg, true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{spool.KeyFile, trace.KeyFile} {
		path := filepath.Join(cfg.KeysDir(), name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(cfg, false, rand.Reader); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made anew", name)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(cfg.KeysDir(), hijackKeyFile)); err != nil {
		t.Fatal(err)
	}
	again, err := Load(cfg, false, rand.Reader)
	if err != nil || again.Hijack == made.Hijack || again.Grant != made.Grant {
		t.Errorf("without %s: %v", hijackKeyFile, err)
	}
}

// A damaged key is named, and left as it is.
func TestDamagedKeys(t *testing.T) {
	cfg := load(t, t.TempDir(), text)
	if _, err := Load(cfg, true, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, was := range files(t, cfg) {
		path := filepath.Join(cfg.KeysDir(), name)
		if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(cfg, false, rand.Reader); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("a damaged %s: %v", name, err)
		}
		if now := files(t, cfg)[name]; now != "short" {
			t.Errorf("%s became %q", name, now)
		}
		if err := os.WriteFile(path, []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(cfg, false, rand.Reader); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// A log keeps its name: who gives it another is told at which line.
func TestOtherOrigin(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(load(t, dir, text), true, rand.Reader); err != nil {
		t.Fatal(err)
	}
	_, err := Load(load(t, dir, text+"origin = \"other.test/log\"\n"), false, rand.Reader)
	if err == nil || !strings.Contains(err.Error(), "sallyport.toml:7:10") || !strings.Contains(err.Error(), "trace.origin") {
		t.Error(err)
	}
}
