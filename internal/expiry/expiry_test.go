package expiry

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type world struct {
	*Warnings
	t       *testing.T
	st      store.Store
	spool   *spool.Spool
	now     time.Time
	endings []accounts.Ending
	ca      *ca.Authority
	dir     *directory.Snapshot
	fails   bool
}

// NewBody and Put are the spool's, on a disk that may fail.
func (w *world) NewBody(ctx context.Context) (*spool.Body, error) { return w.spool.NewBody(ctx) }

func (w *world) Put(ctx context.Context, m spool.Message, body *spool.Body, facts [][]byte) (spool.Claim, error) {
	if w.fails {
		_ = body.Abort()
		return spool.Claim{}, store.ErrUnavailable
	}
	return w.spool.Put(ctx, m, body, facts)
}

func (w *world) addr(s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.ASCII)
	must(w.t, err)
	return a
}

func newWorld(t *testing.T, contacts ...string) *world {
	t.Helper()
	w := &world{t: t, st: mem.New(), now: epoch}
	t.Cleanup(func() { w.st.Close() })
	key, err := gate.NewKey([]byte(strings.Repeat("k", 32)))
	must(t, err)
	clock := func() time.Time { return w.now }
	quiet := slog.New(slog.DiscardHandler)
	w.spool, _, err = spool.Open(t.Context(), w.st, spool.Options{Key: key, Policy: sched.Default(), Now: clock, Logger: quiet})
	must(t, err)
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	local, err := mail.ParseDomain("local.test")
	must(t, err)
	cfg := directory.Config{
		Hostname: host, Postmaster: w.addr("boss@local.test"),
		Domains: []directory.Domain{{Name: local, Deliver: directory.DeliverMaildir}}, MaxExpansion: 10,
		MaxDepth: 3,
	}
	for _, c := range contacts {
		cfg.Contacts = append(cfg.Contacts, directory.Contact{Account: w.addr("alice@local.test"), Address: w.addr(c)})
	}
	w.dir, err = directory.NewSnapshot(cfg, []mail.Address{w.addr("boss@local.test"), w.addr("alice@local.test")})
	must(t, err)
	snapshot := func() *directory.Snapshot { return w.dir }
	w.Warnings = New(Options{
		Store: w.st, Directory: snapshot, Limits: DefaultLimits(), Now: clock, Logger: quiet,
		Post:    &notify.Post{Hostname: host, Directory: snapshot, Queue: w, Handoff: func(spool.Claim) {}, Now: clock, Rand: rand.Reader, Logger: quiet},
		Endings: func(context.Context) ([]accounts.Ending, error) { return w.endings, nil },
		Authority: func(context.Context) (ca.Authority, bool, error) {
			if w.ca == nil {
				return ca.Authority{}, false, nil
			}
			return *w.ca, true, nil
		},
	})
	return w
}

func (w *world) phone(end time.Time) accounts.Ending {
	return accounts.Ending{
		Account:    w.addr("alice@local.test"),
		Credential: accounts.Credential{ID: "cert2", Kind: accounts.KindCertificate, Name: "phone", Created: epoch},
		At:         end,
	}
}

// queued are the letters in the queue: recipient and text of each.
func (w *world) queued() (out []string) {
	w.t.Helper()
	must(w.t, w.spool.List(w.t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) {
		b, err := w.spool.OpenBody(context.Background(), e.ID)
		if err != nil {
			return false, err
		}
		text, err := io.ReadAll(b)
		if !e.Account.IsZero() || !e.Envelope.From.IsNull() || e.Held != "" {
			w.t.Errorf("a letter of %s from %s, held %q", e.Account, e.Envelope.From, e.Held)
		}
		out = append(out, e.Envelope.To[0].Address.String()+"\n"+string(text))
		return true, err
	}))
	return out
}

// The owner and the contact are told at each step, once, also when the disk failed at first
// and another server looks.
func TestOwnersAreTold(t *testing.T) {
	w := newWorld(t, "alice@elsewhere.test")
	w.endings = []accounts.Ending{w.phone(days(365))}
	want := 0
	for _, c := range []struct {
		day  float64
		more int
	}{{0, 0}, {334, 0}, {335.5, 2}, {350, 0}, {358, 2}, {364.5, 2}, {366, 0}} {
		w.now, w.fails = days(c.day), true
		if err := w.look(t.Context()); (err != nil) != (c.more > 0) || err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("day %v, on a disk that fails: %v", c.day, err)
		}
		w.fails = false
		for range 2 {
			must(t, New(w.o).look(t.Context()))
		}
		want += c.more
		if got := len(w.queued()); got != want {
			t.Fatalf("day %v: %d letters, want %d", c.day, got, want)
		}
	}
	all := strings.Join(w.queued(), "\n")
	for _, text := range []string{"alice@local.test\n", "alice@elsewhere.test\n", "Subject: A certificate of alice@local.test ends on 2027-11-29\r\n", "with which phone signs in as alice@local.test", "in 30 days", "within a day"} {
		if !strings.Contains(all, text) {
			t.Errorf("%q is not in %q", text, all)
		}
	}
	w.now = days(365 + 91)
	must(t, w.look(t.Context()))
	must(t, w.st.Scan(t.Context(), store.SpaceExpiry.All(), func(k, _ []byte) (bool, error) { t.Errorf("%q is kept", k); return true, nil }))
}

// A server that stood over the end says that it has ended, once; and an end that moved is another one.
func TestEndsThatPassedAndMoved(t *testing.T) {
	w := newWorld(t)
	w.endings = []accounts.Ending{w.phone(days(100))}
	w.now = days(102)
	for range 3 {
		must(t, w.look(t.Context()))
	}
	if all := w.queued(); len(all) != 1 || !strings.Contains(all[0], "has ended\r\n") {
		t.Fatalf("%q", all)
	}
	w.endings[0].At = days(109)
	must(t, w.look(t.Context()))
	if all := w.queued(); len(all) != 2 || !strings.Contains(strings.Join(all, ""), "in 7 days") {
		t.Fatalf("%q", all)
	}
}

// The authority's end is the administrator's affair.
func TestTheAuthorityEnds(t *testing.T) {
	w := newWorld(t)
	w.ca = &ca.Authority{Number: 1, Made: epoch, Certificate: &x509.Certificate{Subject: pkix.Name{CommonName: "mx.local.test devices 1"}, NotAfter: days(3650)}}
	w.now = days(3650 - 366)
	must(t, w.look(t.Context()))
	w.now = days(3650 - 364)
	for range 2 {
		must(t, w.look(t.Context()))
	}
	if all := w.queued(); len(all) != 1 || !strings.HasPrefix(all[0], "postmaster@") || !strings.Contains(all[0], "sallyport cert ca rollover") {
		t.Errorf("%q", all)
	}
}

// One look writes so many letters; the others follow.
func TestLettersOfOneLook(t *testing.T) {
	w := newWorld(t)
	w.o.Limits.AtOnce = 2
	for _, id := range []string{"cert2", "cert3", "cert4"} {
		e := w.phone(days(100))
		e.ID = id
		w.endings = append(w.endings, e)
	}
	w.now = days(95)
	must(t, w.look(t.Context()))
	first := len(w.queued())
	must(t, w.look(t.Context()))
	if first != 2 || len(w.queued()) != 3 {
		t.Errorf("%d, then %d", first, len(w.queued()))
	}
}
