package amounts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

func load(t *testing.T) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport.toml")
	text := "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// folder is a store with amounts in it, of mailboxes that hold what it says.
type folder struct {
	*Amounts
	store store.Store
	holds map[string]mailbox.Usage
	err   error
}

func open(t *testing.T) *folder {
	t.Helper()
	f := &folder{holds: map[string]mailbox.Usage{}}
	var err error
	if f.store, err = pebble.Open(pebble.Options{FS: vfs.Default, Dir: t.TempDir(), Logger: settings.World{}.Complete().Logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	world := settings.World{}.Complete()
	passed, err := OpenClock(t.Context(), f.store, world)
	if err != nil {
		t.Fatal(err)
	}
	f.Amounts, err = Open(t.Context(), f.store, load(t), Options{
		World: world, Clock: passed,
		Usage: func(_ context.Context, a mail.Address) (mailbox.Usage, error) { return f.holds[a.Key()], f.err },
		Accounts: func(context.Context) ([]accounts.Account, error) {
			return []accounts.Account{{Address: address(t, "alice@local.test")}, {Address: address(t, "bob@local.test")}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Quota.Close)
	return f
}

// bound has a mailbox hold so many octets and messages, and a domain so many octets.
func (f *folder) bound(box, domain quota.Quota) {
	f.Quota.Adjust(quota.Policy{Warn: 50, Of: func(mail.Address) (quota.Quota, quota.Quota) { return box, domain }})
}

// A mailbox asks for the octets and the messages that it is to take, beside those that it
// holds, and gives back what it did not keep.
func TestMailboxesAskTheQuota(t *testing.T) {
	f, alice := open(t), address(t, "alice@local.test")
	f.holds[alice.Key()] = mailbox.Usage{Octets: 600, Messages: 3}
	f.bound(quota.Quota{Octets: 1000, Messages: 5}, quota.None())
	take := func(octets int64, messages int) (func(bool), error) {
		return f.Within().Take(t.Context(), alice, octets, messages)
	}
	var full *mailbox.QuotaError
	if _, err := take(401, 1); !errors.As(err, &full) || full.Text == "" {
		t.Errorf("too many octets: %v", err)
	}
	if _, err := take(1, 3); !errors.As(err, &full) {
		t.Errorf("too many messages: %v", err)
	}
	ended, err := take(400, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take(1, 1); !errors.As(err, &full) {
		t.Errorf("while the last room is taken: %v", err)
	}
	ended(false)
	if ended, err = take(400, 2); err != nil {
		t.Fatalf("what was not kept was not given back: %v", err)
	}
	f.holds[alice.Key()] = mailbox.Usage{Octets: 1000, Messages: 5}
	ended(true)
	if _, err := take(1, 1); !errors.As(err, &full) {
		t.Errorf("what was kept was given back: %v", err)
	}
}

// Who cannot be counted is not told that he is full, and who is kept out by what others of his
// domain hold is not told how much that is.
func TestWhatIsToldOfAQuota(t *testing.T) {
	f, alice, bob := open(t), address(t, "alice@local.test"), address(t, "bob@local.test")
	if _, err := f.Within().Take(t.Context(), alice, 1, 1); !errors.Is(err, mailbox.ErrUnavailable) {
		t.Errorf("without a policy: %v", err)
	}
	f.bound(quota.Quota{Octets: 1000, Messages: quota.Unbounded}, quota.None())
	f.err = errors.New("no disk")
	if _, err := f.Within().Take(t.Context(), alice, 1, 1); !errors.Is(err, mailbox.ErrUnavailable) {
		t.Errorf("uncounted: %v", err)
	}
	f.err = nil
	f.holds[bob.Key()] = mailbox.Usage{Octets: 9871, Messages: 1}
	f.bound(quota.None(), quota.Quota{Octets: 9999, Messages: quota.Unbounded})
	if _, err := f.Within().Take(t.Context(), bob, 1, 1); err != nil {
		t.Fatal(err)
	}
	var full *mailbox.QuotaError
	if _, err := f.Within().Take(t.Context(), alice, 1000, 1); !errors.As(err, &full) || full.Text == "" || strings.Contains(full.Text, "9871") || strings.Contains(full.Text, "9999") {
		t.Errorf("the domain is full: %v", err)
	} else if _, v := f.Quota.Add(t.Context(), alice, quota.Usage{Octets: 1000, Messages: 1}); v.Found == full.Text {
		t.Errorf("told what others hold: %q", full.Text)
	}
}

// What is kept of an account goes with it: what it may still write, and take.
func TestAmountsFollowAnAccount(t *testing.T) {
	f, was, is := open(t), address(t, "alice@local.test"), address(t, "smith@local.test")
	if n := len(f.Moving(was, is)); n != 3 {
		t.Errorf("%d rooms keep something of an account", n)
	}
	f.bound(quota.Quota{Octets: 1000, Messages: quota.Unbounded}, quota.None())
	f.holds[was.Key()] = mailbox.Usage{Octets: 900, Messages: 9}
	if _, err := f.Within().Take(t.Context(), was, 1, 1); err != nil {
		t.Fatal(err)
	}
	known := func() (all []string) {
		list, _, _ := f.Quota.Filled()
		for _, one := range list {
			all = append(all, one.Account)
		}
		return all
	}
	if got := known(); !slices.Contains(got, was.String()) {
		t.Fatalf("known are %q", got)
	}
	ended, end := context.WithCancel(t.Context())
	end() // what is known of mailboxes is kept when a server ends
	f.Quota.Run(ended, func(context.Context, quota.Warning) error { return quota.ErrNobody })
	for _, plan := range f.Moving(was, is) {
		tx, done, err := store.Tx{}.With(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.store.Apply(t.Context(), tx, store.Durable); err != nil {
			t.Fatal(err)
		}
		if err := done(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := known(); !slices.Contains(got, is.String()) || slices.Contains(got, was.String()) {
		t.Errorf("after it was renamed, known are %q", got)
	}
}
