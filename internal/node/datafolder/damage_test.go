package datafolder

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/config"
	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// keeping is what a data folder is to hold.
type keeping struct {
	cfg    config.Config
	bodies map[mail.ID][]byte
}

// kept fills a data folder: messages that wait, small and large, facts, and a mailbox with an index.
func kept(t *testing.T) keeping {
	t.Helper()
	k := keeping{cfg: site(t), bodies: map[mail.ID][]byte{}}
	o := options()
	f, err := Open(t.Context(), k.cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Accounts.Add(t.Context(), alice, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		id, err := mail.NewID(o.Now(), o.Rand)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, 3000)
		if i%6 == 0 {
			content = make([]byte, 300_000)
		}
		for j := range content {
			content[j] = byte(rnd.Uint32())
		}
		b, err := f.Spool.NewBody(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(content); err != nil {
			t.Fatal(err)
		}
		to := mail.Recipient{Address: alice}
		m := spool.Message{
			ID: id, Envelope: mail.Envelope{From: mail.PathOf(alice), To: []mail.Recipient{to}},
			Deliveries: []spool.Delivery{{Recipient: to, Kind: spool.KindLocal, Mailbox: alice}},
			Hold:       "for the test",
		}
		if _, err := f.Spool.Put(t.Context(), m, b, nil); err != nil {
			t.Fatal(err)
		}
		k.bodies[id] = content
	}
	for range 50 {
		if err := f.Trace.Write(t.Context(), fact.Started{At: o.Now(), Rule: "server"}.Fact()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Trace.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	box := filepath.Join(k.cfg.Maildir.Root, "local.test", "alice", "new")
	if err := os.MkdirAll(box, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.a.x", "2.b.x", "3.c.x"} {
		if err := os.WriteFile(filepath.Join(box, name), []byte("Subject: x\r\n\r\nx\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u, err := f.Mail.User(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Status(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	u.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}

// check opens the folder, and returns which messages are missing, and what is on the list.
func (k keeping) check(t *testing.T) (missing int, told []string) {
	t.Helper()
	o := options()
	o.Logger = slog.New(slog.DiscardHandler)
	f, err := Open(t.Context(), k.cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.scrubOnce(t.Context(), o.Logger)
	for id, want := range k.bodies {
		r, err := f.Spool.OpenBody(t.Context(), id)
		if err != nil {
			missing++
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %d octets of %d", id, err, len(got), len(want))
		}
		_ = r.Close()
	}
	if v, err := f.Trace.Verify(t.Context()); err != nil || !v.OK() {
		t.Errorf("the trace: %v, %v", err, v.Faults)
	}
	all, _ := f.Damage.All()
	for _, d := range all {
		told = append(told, string(d.Kind)+" "+d.File+": "+d.What+", lost: "+d.Lost)
	}
	return missing, told
}

// A bit flips in a file of each kind that a data folder has. It is on the list, and costs at most the message that it hit;
// the trace verifies.
func TestABitFlipsInEachKindOfFile(t *testing.T) {
	k := kept(t)
	if missing, told := k.check(t); missing > 0 || len(told) > 0 {
		t.Fatalf("before anything happened: %d messages missing, %v", missing, told)
	}
	rnd := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct {
		pattern string
		costs   int
	}{
		{"store/db/*.log", 0}, {"store/db/*.sst", 0}, {"store/db/*.blob", 0}, {"store/db/MANIFEST-*", 0}, {"store/db/OPTIONS-*", 0},
		{"mail/local.test/alice/*/index", 0}, {"mail/local.test/alice/*/journal", 0}, {"mail/local.test/alice/*/promise", 0}, {"store/blobs/*", 1},
	} {
		files, err := filepath.Glob(filepath.Join(k.cfg.Data, c.pattern))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(c.pattern, "mail/") {
			files, err = filepath.Glob(filepath.Join(k.cfg.Maildir.Root, strings.TrimPrefix(c.pattern, "mail/")))
		}
		if err != nil || len(files) == 0 {
			if strings.HasSuffix(c.pattern, ".blob") || strings.HasSuffix(c.pattern, ".sst") {
				continue // so small a store may have none
			}
			t.Fatalf("%s: there is none", c.pattern)
		}
		file := files[len(files)-1]
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(was)
		at := rnd.IntN(min(len(was), 4000))
		flipped[at] ^= 1 << rnd.IntN(8)
		if err := os.WriteFile(file, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		before := k.listed(t)
		missing, told := k.check(t)
		if len(told) <= before {
			t.Errorf("%s, octet %d of %d: nobody was told", file, at, len(was))
		}
		if missing != c.costs {
			t.Errorf("%s: %d messages missing; told: %v", file, missing, told)
		}
	}
}

// listed counts what is on the list of damage.
func (k keeping) listed(t *testing.T) int {
	t.Helper()
	l, err := damage.Open(filepath.Join(k.cfg.Data, damageFile), damage.DefaultLimits(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := l.All()
	return len(all)
}

// A server reads through what it keeps until it ends.
func TestScrubEnds(t *testing.T) {
	k := kept(t)
	f, err := Open(t.Context(), k.cfg, options())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	f.Scrub(ctx, slog.New(slog.DiscardHandler))
}
