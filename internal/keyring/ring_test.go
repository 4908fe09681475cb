package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// world is a ring with a DNS and a clock of the test's.
type world struct {
	*testing.T
	st   store.Store
	ring *Ring
	now  time.Time
	set  time.Duration // by how much the clock shows more
	zone map[dkim.KeyName][]string
	deaf bool // the DNS does not answer
}

// told returns what the facts about the ring's own changes say.
func (w *world) told() string {
	w.Helper()
	var all []string
	w.must(w.st.Facts(w.Context(), 0, w.st.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
		if f, err := fact.Decode(b); err == nil { // what an operator did is the test's own
			all = append(all, f.Rule+" "+f.Text)
		}
		return true, nil
	}))
	return strings.Join(all, "; ")
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, st: mem.New(), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), zone: map[dkim.KeyName][]string{}}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.Helper()
	l := DefaultLimits()
	l.RSABits = 1024 // as fast as may be
	var err error
	w.ring, err = Open(w.Context(), w.st, Options{
		Limits: l, Now: func() time.Time { return w.now.Add(w.set) },
		Age: func(at time.Time) time.Duration { return w.now.Sub(at) }, Rand: rand.Reader,
		Logger: slog.New(slog.DiscardHandler),
		Find: func(_ context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found {
			out := map[dkim.KeyName]dkim.Found{}
			for _, n := range names {
				out[n] = dkim.Found{Records: w.zone[n], Temporary: w.deaf}
			}
			return out
		},
	})
	w.must(err)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) publish() {
	for _, k := range w.ring.Keys(w.domain()) {
		w.zone[k.Name] = []string{k.Record}
	}
}

func (w *world) domain() mail.Domain {
	d, err := mail.ParseDomain("example.test")
	w.must(err)
	return d
}

func (w *world) rotate() {
	w.Helper()
	_, err := w.ring.Rotate(w.Context(), w.domain(), [][]byte{[]byte("by hand")})
	w.must(err)
}

func (w *world) look() {
	w.Helper()
	_, _, err := w.ring.Look(w.Context(), w.domain())
	w.must(err)
}

// want compares the states of the keys, in order, and which of them sign; a ring that
// is opened again says the same.
func (w *world) want(states string, signing ...string) {
	w.Helper()
	for range 2 {
		var got, signs []string
		for _, k := range w.ring.Keys(w.domain()) {
			got = append(got, k.Name.Selector+":"+k.State.String())
		}
		for _, k := range w.ring.Signing(w.domain()) {
			signs = append(signs, k.Name.Selector)
		}
		if strings.Join(got, " ") != states || strings.Join(signs, " ") != strings.Join(signing, " ") {
			w.Errorf("keys %q, of which sign %q; want %q and %q", got, signs, states, signing)
		}
		w.reopen()
	}
}

// A whole life: made, published, in use, replaced with overlap, forgotten.
func TestRotationWithOverlap(t *testing.T) {
	w := newWorld(t)
	w.rotate()
	w.want("s20261125r:new s20261125e:new")
	w.look()
	w.want("s20261125r:new s20261125e:new") // not published yet
	if _, err := w.ring.Rotate(t.Context(), w.domain(), nil); !errors.Is(err, ErrPending) {
		t.Errorf("a second rotation: %v", err)
	}
	w.publish()
	w.look()
	w.want("s20261125r:active s20261125e:active", "s20261125r", "s20261125e")

	w.now = w.now.Add(90 * 24 * time.Hour)
	w.rotate()
	w.look()
	w.want("s20261125r:active s20261125e:active s20270223r:new s20270223e:new", "s20261125r", "s20261125e")
	// Only one record was pasted: only that algorithm changes over.
	for _, k := range w.ring.Keys(w.domain()) {
		if k.Name.Selector == "s20270223e" {
			w.zone[k.Name] = []string{k.Record}
		}
	}
	w.look()
	w.want("s20261125r:active s20261125e:retired s20270223r:new s20270223e:active", "s20261125r", "s20270223e")
	w.publish()
	w.look()
	w.want("s20261125r:retired s20261125e:retired s20270223r:active s20270223e:active", "s20270223r", "s20270223e")
	w.set = 10 * 365 * 24 * time.Hour // a clock that is set ahead makes nothing old
	w.look()
	w.want("s20261125r:retired s20261125e:retired s20270223r:active s20270223e:active", "s20270223r", "s20270223e")
	w.set = 0
	w.now = w.now.Add(DefaultLimits().Overlap - time.Second)
	w.look()
	w.want("s20261125r:retired s20261125e:retired s20270223r:active s20270223e:active", "s20270223r", "s20270223e")
	w.now = w.now.Add(time.Second)
	w.look()
	w.want("s20270223r:active s20270223e:active", "s20270223r", "s20270223e")
	if all := w.told(); strings.Count(all, "its record can be removed") != 2 || strings.Count(all, "it signs from now on") != 4 {
		t.Errorf("facts %q", all)
	}
}

// A key whose record the DNS does not show any more signs nothing; a DNS that does
// not answer changes nothing.
func TestALostRecordStopsSigning(t *testing.T) {
	w := newWorld(t)
	w.rotate()
	w.publish()
	w.look()
	w.deaf = true
	w.look()
	w.want("s20261125r:active s20261125e:active", "s20261125r", "s20261125e")
	w.deaf = false
	for n := range w.zone {
		if n.Selector == "s20261125e" {
			delete(w.zone, n)
		} else {
			w.zone[n] = append(w.zone[n], "v=DKIM1; p=")
		}
	}
	w.look()
	w.want("s20261125r:active s20261125e:active")
	if all := w.told(); strings.Count(all, "shows it no more") != 2 {
		t.Errorf("facts %q", all)
	}
	w.look()
	w.publish()
	w.look()
	w.want("s20261125r:active s20261125e:active", "s20261125r", "s20261125e")
}

// An operator may know better than the DNS that we see; then its loss is told, and
// the key signs on.
func TestActivatedByHand(t *testing.T) {
	w := newWorld(t)
	w.rotate()
	_, err := w.ring.Activate(t.Context(), w.domain(), "", nil)
	w.must(err)
	w.look()
	w.want("s20261125r:active s20261125e:active", "s20261125r", "s20261125e")
	if _, err := w.ring.Activate(t.Context(), w.domain(), "", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("activated twice: %v", err)
	}
	if all := w.told(); strings.Count(all, "since an operator said so") != 2 {
		t.Errorf("facts %q", all)
	}
	w.rotate() // on the same day
	w.want("s20261125r:active s20261125e:active s20261125r2:new s20261125e2:new", "s20261125r", "s20261125e")
}

// Keys of other programs are taken over and removed.
func TestImportAndDrop(t *testing.T) {
	w := newWorld(t)
	secret, err := generate(dkim.RSASHA256, 1024, rand.Reader)
	w.must(err)
	n := dkim.KeyName{Selector: "mail2023", Domain: w.domain()}
	parsed, err := ParseSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	if err != nil || !bytes.Equal(parsed, secret) {
		t.Fatalf("%v", err)
	}
	_, err = w.ring.Import(t.Context(), n, secret, nil)
	w.must(err)
	if _, err := w.ring.Import(t.Context(), n, secret, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("imported twice: %v", err)
	}
	w.publish()
	w.look()
	w.want("mail2023:active", "mail2023")
	if _, err := w.ring.Drop(t.Context(), dkim.KeyName{Selector: "other", Domain: w.domain()}, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("dropped what is not there: %v", err)
	}
	_, err = w.ring.Drop(t.Context(), n, nil)
	w.must(err)
	w.want("")
	for _, bad := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"} {
		if _, err := ParseSecret([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := x509.ParsePKCS8PrivateKey(secret); err != nil {
		t.Error(err)
	}
}

// A key for Ed25519 comes in three forms, one for each program that makes it: OpenSSL, dkimpy,
// Rspamd. It is the one of RFC 8463 appendix A.2, whose record stands there.
func TestKeysForEd25519OfOtherPrograms(t *testing.T) {
	const (
		record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
		seed   = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
		both   = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="
	)
	pkcs8 := "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
	for name, text := range map[string]string{"OpenSSL": pkcs8, "dkimpy": seed, "Rspamd": both, "Rspamd, with a line's end": both + "\n"} {
		w := newWorld(t)
		secret, err := ParseSecret([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n := dkim.KeyName{Selector: "brisbane", Domain: w.domain()}
		if _, err := w.ring.Import(t.Context(), n, secret, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if keys := w.ring.Keys(w.domain()); len(keys) != 1 || keys[0].Record != record {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	for name, bad := range map[string]string{
		"too short":                      seed[:40] + "fw==",
		"a public key that fits another": strings.Replace(both, "Gg==", "eA==", 1),
		"two keys":                       seed + "\n" + seed,
		"hex":                            strings.Repeat("9d61b19deffd5a60", 4),
	} {
		if _, err := ParseSecret([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A store that fails leaves the keys as they were.
func TestAFailingStoreChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.rotate()
	w.must(w.st.Close())
	if _, err := w.ring.Activate(t.Context(), w.domain(), "", nil); err == nil {
		t.Error("activated without a store")
	}
	if len(w.ring.Signing(w.domain())) != 0 {
		t.Error("keys sign that the store does not know to be active")
	}
}

// Run looks by itself: soon for new keys, and it ends with its context.
func TestRunWatchesTheDNS(t *testing.T) {
	w := newWorld(t)
	w.rotate()
	w.publish()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.ring.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); len(w.ring.Signing(w.domain())) != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the DNS is not looked at")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// Whatever happens in whatever order: at most one key of an algorithm is active, at
// most it signs, nothing signs that was never seen or ordered, and a record that is
// known to be missing signs only by order.
func TestLifeKeepsItsPromises(t *testing.T) {
	d, err := mail.ParseDomain("example.test")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var keys []Key
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		serial := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
			seen := map[dkim.KeyName]Sight{}
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				var fresh []Key
				for _, a := range []dkim.Algorithm{dkim.RSASHA256, dkim.Ed25519SHA256} {
					serial++
					fresh = append(fresh, Key{
						Name:      dkim.KeyName{Selector: "k" + time.Duration(serial).String(), Domain: d},
						Algorithm: a, State: StateNew, Created: now, Since: now,
					})
				}
				keys, _, _ = Begin(keys, fresh)
			case 1:
				keys, _, _ = Activate(keys, "", now)
			case 2:
				keys, _ = Expire(keys, 14*24*time.Hour, now.Sub)
			default:
				for _, k := range keys {
					seen[k.Name] = Sight(rapid.IntRange(0, 3).Draw(t, "sight"))
				}
				keys, _ = Observe(keys, seen, now)
			}
			active := map[dkim.Algorithm]int{}
			for _, k := range keys {
				if k.State == StateActive {
					active[k.Algorithm]++
				}
				if k.Signs() && (k.State != StateActive || k.Seen.IsZero() && !k.Forced) {
					t.Fatalf("%+v signs", k)
				}
				if s := seen[k.Name]; (s == SightMissing || s == SightWrong) && k.Signs() && !k.Forced {
					t.Fatalf("%+v signs although the DNS shows %v", k, s)
				}
			}
			if active[dkim.RSASHA256] > 1 || active[dkim.Ed25519SHA256] > 1 {
				t.Fatalf("%+v", keys)
			}
		}
	})
}
