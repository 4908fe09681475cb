package letters

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/filter/flood"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

const (
	text = "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\nlimits.min_free = \"1MiB\"\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n"
	hook = "[webhook]\nurl = \"https://hooks.local.test/a\"\nkey_file = \"key\"\n"
	key  = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n"
)

// desk is a data folder with an account, and what the letters from it become.
type desk struct {
	*Letters
	t      *testing.T
	dir    string
	cfg    config.Config
	data   *datafolder.Folder
	alice  mail.Address
	told   []directory.Contact // beside the mailboxes
	mu     sync.Mutex          // of handed
	handed []spool.Claim
}

func open(t *testing.T) *desk {
	t.Helper()
	return openIn(t, settings.World{}.Complete())
}

// openIn opens it in a world.
func openIn(t *testing.T, w settings.World) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	d.write("key", key)
	d.configure("")
	var err error
	d.data, err = datafolder.Open(t.Context(), d.cfg, datafolder.Options{
		World: w, FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.data.Close(); err != nil {
			t.Error(err)
		}
	})
	d.alice = d.address("alice@local.test")
	if _, err := d.data.Accounts.Add(t.Context(), d.alice, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	d.Letters = Open(Options{
		World: w, Config: func() config.Config { return d.cfg }, Data: d.data, Directory: func() *directory.Snapshot { return d.snapshot(d.alice) },
		Handoff: func(c spool.Claim) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.handed = append(d.handed, c)
		},
		Sign: func(from mail.Domain, _ message.Header, _ []byte) ([]byte, error) {
			return []byte("X-Signed: " + from.ASCII() + "\r\n"), nil
		},
		Flood: flood.NewGauge(flood.DefaultLimits(), w.Now),
	})
	return d
}

func (d *desk) snapshot(accounts ...mail.Address) *directory.Snapshot {
	s, err := directory.NewSnapshot(directory.Config{Hostname: d.cfg.Hostname, Domains: []directory.Domain{{Name: d.alice.Domain(), Deliver: directory.DeliverMaildir}}, Contacts: d.told}, accounts)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *desk) address(s string) mail.Address {
	d.t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) configure(more string) {
	d.t.Helper()
	d.write("sallyport.toml", text+more)
	cfg, err := config.Load(filepath.Join(d.dir, "sallyport.toml"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.cfg = cfg
}

// Who has a mailbox that is nearly full is told once the mark is kept with the letter; of a domain
// the postmaster is told; where nobody takes the letter, that is said, and no mark is kept.
func TestNearlyFull(t *testing.T) {
	d := open(t)
	mark := func(name string) []store.Mutation {
		return []store.Mutation{{Key: store.SpaceQuota.Key([]byte(name)), Value: []byte("told")}}
	}
	kept := func(name string) bool {
		_, err := d.data.Store.Get(t.Context(), store.SpaceQuota.Key([]byte(name)))
		return err == nil
	}
	for i, w := range []quota.Warning{
		{Account: d.alice, Subject: "nearly full", Text: "yours\n", Marks: mark("own")},
		{Domain: d.alice.Domain(), Subject: "nearly full", Text: "all\n", Marks: mark("domain")},
	} {
		if err := d.nearlyFull(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if len(d.handed) != i+1 || d.data.Spool.Stats().Entries != i+1 {
			t.Fatalf("%d letters, %d in the queue", len(d.handed), d.data.Spool.Stats().Entries)
		}
		to := d.handed[i].Entry.Recipients
		if want := []string{"alice@local.test", "postmaster@local.test"}[i]; len(to) != 1 || to[0].Mailbox != d.address(want) {
			t.Errorf("to %+v", to)
		}
	}
	if !kept("own") || !kept("domain") {
		t.Error("a letter went without its mark")
	}
	if err := d.nearlyFull(t.Context(), quota.Warning{Account: d.address("nobody@local.test"), Subject: "nearly full", Text: "x\n", Marks: mark("nobody")}); !errors.Is(err, quota.ErrNobody) || kept("nobody") {
		t.Errorf("to nobody: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := d.nearlyFull(ended, quota.Warning{Account: d.alice, Subject: "nearly full", Text: "x\n", Marks: mark("late")}); err == nil || errors.Is(err, quota.ErrNobody) || kept("late") {
		t.Errorf("when the store takes nothing: %v", err)
	}
}

// Which program is told of incidents is that of the configuration that was adopted, with the keys
// of its file; what is wrong with a file is told at its key, and changes nothing.
func TestProgram(t *testing.T) {
	d := open(t)
	d.configure(hook)
	change, err := d.Build(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := d.Webhook.State(t.Context()); s != nil || err != nil {
		t.Errorf("before it was adopted: %+v, %v", s, err)
	}
	change.Abandon()
	change.Adopt()
	s := d.Webhook.Settings()
	if want := (&url.URL{Scheme: "https", Host: "hooks.local.test", Path: "/a"}); *s.URL != *want || len(s.Keys) != 1 || string(s.Keys[0]) != "012345678901234567890123" {
		t.Errorf("%+v", s)
	}
	for broken, wrong := range map[string]func(){
		"webhook.key_file": func() { d.write("key", "no key\n") },
		"webhook.ca":       func() { d.cfg.Webhook.CA = filepath.Join(d.dir, "sallyport.toml") },
	} {
		d.write("key", key)
		d.configure(hook)
		wrong()
		next, err := d.Build(d.cfg)
		var f config.Fault
		if next != nil || !errors.As(err, &f) || f.Text != broken {
			t.Errorf("%s: %v, %v", broken, next, err)
		}
	}
	d.configure("")
	if change, err = d.Build(d.cfg); err != nil {
		t.Fatal(err)
	}
	if change.Adopt(); d.Webhook.Settings().URL != nil {
		t.Errorf("told still: %+v", d.Webhook.Settings())
	}
	var none webhook.Settings
	if got, err := program(d.cfg); err != nil || got.URL != none.URL || got.Keys != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// Everything that writes runs until the server ends, and ends then.
func TestRun(t *testing.T) {
	d := open(t)
	ended, end := d.run()
	d.Wake()
	select {
	case <-ended:
		t.Error("it ended by itself")
	case <-time.After(50 * time.Millisecond):
	}
	end()
}

// run writes letters until end is called, which waits for that.
func (d *desk) run() (ended chan struct{}, end func()) {
	ctx, stop := context.WithCancel(d.t.Context())
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	return ended, func() {
		d.t.Helper()
		stop()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			d.t.Error("it does not end")
		}
	}
}

// What was told to an account, and of its certificates, follows it to its other name.
func TestLettersFollowAnAccount(t *testing.T) {
	d := open(t)
	was, is := []byte(" "+d.alice.Key()+" "), []byte(" "+d.address("smith@local.test").Key()+" ")
	at := func(name []byte) []byte { return store.SpaceExpiry.Key([]byte("x"), name, []byte("1")) }
	if _, err := d.data.Store.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: at(was), Value: []byte("told")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	plans := d.Moving(d.alice, d.address("smith@local.test"))
	if len(plans) != 2 {
		t.Fatalf("%d rooms keep something of an account", len(plans))
	}
	tx, done, err := store.Tx{}.With(t.Context(), plans...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.data.Store.Apply(t.Context(), tx, store.Durable); err != nil || done(nil) != nil {
		t.Fatal(err)
	}
	if _, err := d.data.Store.Get(t.Context(), at(was)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("under the former name: %v", err)
	}
	if got, err := d.data.Store.Get(t.Context(), at(is)); err != nil || string(got) != "told" {
		t.Errorf("under the next name: %q, %v", got, err)
	}
}
