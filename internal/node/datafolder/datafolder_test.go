package datafolder

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
)

func site(t *testing.T) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport.toml")
	text := "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\nlimits.min_free = \"1MiB\"\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func options() Options {
	return Options{
		World: settings.World{}.Complete(), FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	}
}

// Every room works on the store as it was handed back, and every fact is seen.
func TestOpen(t *testing.T) {
	cfg, o := site(t), options()
	var seen []fact.Fact
	o.Observe = func(f fact.Fact) { seen = append(seen, f) }
	var under store.Store
	type over struct{ store.Store }
	o.Watched = func(s store.Store) store.Store {
		under = s
		return over{s}
	}
	f, err := Open(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	if f.Store != (over{under}) {
		t.Error("the store is not the one that watches")
	}
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Trace.Run(running) }()
	if err := f.Trace.Write(t.Context(), fact.Started{At: o.Now(), Rule: "server"}.Fact()); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if !slices.ContainsFunc(seen, func(f fact.Fact) bool { return f.Rule == "server" }) {
		t.Errorf("saw %v", seen)
	}
	if _, err := Open(t.Context(), cfg, options()); err == nil {
		t.Error("two have it open")
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be opened is left as it was, so that it can be once it is mended.
func TestNothingStaysOpen(t *testing.T) {
	cfg := site(t)
	open := func() error {
		f, err := Open(t.Context(), cfg, options())
		if err != nil {
			if f != nil {
				t.Error("half a folder")
			}
			return err
		}
		return f.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys/" + "hijack.key", "format"} {
		path := filepath.Join(cfg.Data, name)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("9999\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(); err == nil {
			t.Errorf("opened with a bad %s", name)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != "9999\n" {
			t.Errorf("%s was touched: %q, %v", name, now, err)
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(); err != nil {
			t.Errorf("after %s was mended: %v", name, err)
		}
	}
}

// A newer program's folder is refused before a store or a key is made in it.
func TestAFolderOfANewerProgramIsNotTouched(t *testing.T) {
	cfg := site(t)
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Data, "format"), []byte("9999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(t.Context(), cfg, options()); err == nil || f != nil {
		t.Errorf("%v, %v", f, err)
	}
	if found, err := os.ReadDir(cfg.Data); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// A mailbox whose account was renamed follows it at the next start, if the process ended
// between the two.
func TestAMailboxFollowsItsAccount(t *testing.T) {
	cfg := site(t)
	f, err := Open(t.Context(), cfg, options())
	if err != nil {
		t.Fatal(err)
	}
	var names [2]mail.Address
	for i, name := range []string{"alice@local.test", "smith@local.test"} {
		if names[i], err = mail.ParseAddress(name, mail.ASCII); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Accounts.Add(t.Context(), names[0], "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	box := func(name string) string { return filepath.Join(cfg.Maildir.Root, "local.test", name, "new", "1") }
	if err := os.MkdirAll(filepath.Dir(box("alice")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(box("alice"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Accounts.Rename(t.Context(), names[0], names[1], nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(t.Context(), cfg, options()); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.Stat(box("smith")); err != nil {
		t.Error(err)
	}
	if m, err := f.Accounts.Moves(t.Context()); err != nil || len(m) != 0 {
		t.Errorf("moves %v, %v", m, err)
	}
}
