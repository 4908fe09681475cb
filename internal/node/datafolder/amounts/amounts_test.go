package amounts

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/clock"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings"
	"sallyport/internal/screen/greylist"
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
	waits map[string]mailbox.Usage // by mailbox, or by domain
	err   error
}

func open(t *testing.T) *folder {
	t.Helper()
	return openIn(t, settings.World{}.Complete())
}

func openIn(t *testing.T, world settings.World) *folder {
	t.Helper()
	return openAs(t, load(t), world)
}

// openAs opens them as a configuration says.
func openAs(t *testing.T, cfg config.Config, world settings.World) *folder {
	t.Helper()
	f := &folder{holds: map[string]mailbox.Usage{}, waits: map[string]mailbox.Usage{}}
	var err error
	if f.store, err = pebble.Open(pebble.Options{FS: vfs.Default, Dir: t.TempDir(), Logger: world.Logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	passed, err := OpenClock(t.Context(), f.store, world)
	if err != nil {
		t.Fatal(err)
	}
	f.Amounts, err = Open(t.Context(), f.store, cfg, Options{
		World: world, Clock: passed,
		Usage:   func(_ context.Context, a mail.Address) (mailbox.Usage, error) { return f.holds[a.Key()], f.err },
		Waiting: func(a mail.Address) (its, domain mailbox.Usage) { return f.waits[a.Key()], f.waits[a.Domain().ASCII()] },
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
	f.waits[alice.Key()] = mailbox.Usage{Octets: 1, Messages: 2}
	ended(false)
	if _, err := take(400, 1); !errors.As(err, &full) {
		t.Errorf("what waits takes no octets: %v", err)
	}
	if _, err := take(1, 1); !errors.As(err, &full) {
		t.Errorf("what waits takes no message: %v", err)
	}
	f.waits[alice.Key()], f.waits["local.test"] = mailbox.Usage{}, mailbox.Usage{Octets: 1, Messages: 2}
	f.bound(quota.None(), quota.Quota{Octets: 1000, Messages: quota.Unbounded})
	if _, err := take(400, 1); !errors.As(err, &full) {
		t.Errorf("what waits takes nothing of the domain's: %v", err)
	}
	f.bound(quota.Quota{Octets: 1000, Messages: 5}, quota.None())
	if ended, err = take(400, 2); err != nil {
		t.Fatal(err)
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

// Whose network was let through by greylisting stays known for as long as passes, whatever the clock is set to.
func TestGreylistingGoesByTheTimeThatPasses(t *testing.T) {
	r := clock.Reading{Boot: "a", Since: time.Hour, Wall: time.Now()}
	f := openIn(t, settings.World{Now: func() time.Time { return r.Wall }, Clocks: func() clock.Reading { return r }}.Complete())
	l := greylist.DefaultLimits()
	l.Wait = 5 * time.Minute
	f.Greylist.Adjust(l)
	pass := func(d time.Duration) { r.Since, r.Wall = r.Since+d, r.Wall.Add(d) }
	taken := func(from string) bool {
		return f.Greylist.Judge(t.Context(), netip.MustParseAddr("192.0.2.7"), mail.PathOf(address(t, from)), address(t, "alice@local.test")).OK
	}
	if taken("eve@elsewhere.test") {
		t.Fatal("who is new is not put off")
	}
	pass(6 * time.Minute)
	if !taken("eve@elsewhere.test") {
		t.Fatal("who comes again is put off")
	}
	for _, set := range []time.Duration{10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour} {
		if r.Wall = r.Wall.Add(set); !taken("mallory@elsewhere.test") {
			t.Errorf("a clock that is set by %v makes a network unknown", set)
		}
	}
	if pass(l.Keep + time.Hour); taken("mallory@elsewhere.test") {
		t.Error("a network stays known for ever")
	}
}
