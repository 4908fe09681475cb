// Package foldertest helps tests of the topics of a server: it reads a configuration from a text
// and opens a real data folder for it, on a disk.
package foldertest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
)

const (
	head    = "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\nlimits.min_free = \"1MiB\"\n"
	domains = "[domain.\"local.test\"]\ndeliver = \"maildir\"\n"
)

// Load reads a configuration of the domain local.test, with more between its head and its domain, from a
// file in dir.
func Load(t *testing.T, dir, more string) config.Config {
	t.Helper()
	path := filepath.Join(dir, "sallyport.toml")
	if err := os.WriteFile(path, []byte(head+more+domains), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Open opens the data folder of a configuration until the test ends.
func Open(t *testing.T, cfg config.Config, w settings.World) *datafolder.Folder {
	t.Helper()
	f, err := datafolder.Open(t.Context(), cfg, datafolder.Options{
		World: w, FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// Add adds the account of a person.
func Add(t *testing.T, f *datafolder.Folder, address string) mail.Address {
	t.Helper()
	a := Address(t, address)
	if _, err := f.Accounts.Add(t.Context(), a, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	return a
}

// Address parses an address.
func Address(t *testing.T, address string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(address, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Directory is that of a configuration's domains with some accounts.
func Directory(t *testing.T, cfg config.Config, accounts ...mail.Address) *directory.Snapshot {
	t.Helper()
	full, err := cfg.FullDirectory()
	if err != nil {
		t.Fatal(err)
	}
	s, err := directory.NewSnapshot(full, accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
