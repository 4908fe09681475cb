package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

const directory = "https://ca.test/"

var limits = DefaultLimits()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func domains(t *testing.T, names ...string) (all []mail.Domain) {
	t.Helper()
	for _, name := range names {
		d, err := mail.ParseDomain(name)
		must(t, err)
		all = append(all, d)
	}
	return all
}

// issue makes a certificate as an authority would, and stores it as obtained.
func issue(t *testing.T, st store.Store, from string, lasts time.Duration, names ...mail.Domain) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(lasts)}
	for _, d := range names {
		template.DNSNames = append(template.DNSNames, d.ASCII())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	r := record{
		recordVersion, from, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain})),
	}
	text, err := json.Marshal(r)
	must(t, err)
	must(t, newStorage(st).Store(t.Context(), currentKey, text))
	cert, err := tls.X509KeyPair([]byte(r.Chain), []byte(r.Key))
	must(t, err)
	return cert
}

func TestLoad(t *testing.T) {
	st := mem.New()
	names := domains(t, "mx.test", "smtp.test", "other.test")
	if _, ok, err := Load(t.Context(), st, names[0]); ok || err != nil {
		t.Errorf("of an empty store: %v, %v", ok, err)
	}
	issue(t, st, directory, time.Hour, names[0])
	h, ok, err := Load(t.Context(), st, names[0])
	if !ok || err != nil || !h.serves(directory, names[:1]) || h.serves("https://other.test/", names[:1]) || h.serves(directory, names[:2]) {
		t.Errorf("%+v, %v, %v", h.Directory, ok, err)
	}
	if h, ok, err := Load(t.Context(), st, names[2]); ok || err != nil || h.Certificate.Leaf != nil {
		t.Errorf("for another host: %v, %v", ok, err)
	}
	for _, text := range []string{"x", `{"version":2}`, `{"version":1,"chain":"x","key":"y"}`} {
		must(t, newStorage(st).Store(t.Context(), currentKey, []byte(text)))
		if h, ok, err := Load(t.Context(), st, names[0]); ok || err == nil || h.serves(directory, nil) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v, %v", text, ok, err)
		}
	}
}

// What fails is tried again with longer and longer pauses, but at once when somebody asks
// for it; what is there is renewed when a third of its time is left; a name that is added
// is obtained at the next look.
func TestKeep(t *testing.T) {
	names := domains(t, "mx.test", "smtp.test")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		st, fault := mem.New(), errors.New("refused")
		var tried, nexts, told []time.Duration
		more := names[1:1]
		var mu sync.Mutex // of all of these; this goroutine holds it but while time passes
		mu.Lock()
		locked := func(fn func()) { mu.Lock(); defer mu.Unlock(); fn() }
		k, err := New(Options{
			Store: st, Directory: directory, Agreed: true, Challenge: HTTP01, Host: names[0], Listeners: []net.Listener{nil},
			Names: func(context.Context) (now []mail.Domain) { locked(func() { now = more }); return now }, Limits: limits, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Obtained: func(context.Context, tls.Certificate) { locked(func() { told = append(told, time.Since(began)) }) },
			Failed: func(_ context.Context, err error, next time.Time) {
				locked(func() {
					if !errors.Is(err, fault) {
						t.Errorf("failed with %v", err)
					}
					nexts = append(nexts, next.Sub(began))
				})
			},
		})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.keep(ctx, func(_ context.Context, wanted []mail.Domain) (tls.Certificate, error) {
				mu.Lock()
				defer mu.Unlock()
				tried = append(tried, time.Since(began))
				if fault != nil {
					return tls.Certificate{}, fault
				}
				return issue(t, st, directory, 90*24*time.Hour, wanted...), nil
			})
		}()
		pass := func(d time.Duration) { mu.Unlock(); time.Sleep(d); synctest.Wait(); mu.Lock() }
		at := func(d time.Duration) { pass(d - time.Since(began)) }
		at(16 * time.Minute)
		if want := []time.Duration{0, 1 * time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute}; !slices.Equal(tried, want) || nexts[4] != 31*time.Minute {
			t.Errorf("tried at %v, next at %v", tried, nexts)
		}
		k.Wake()
		pass(0)
		if len(tried) != 6 || nexts[5] != 17*time.Minute {
			t.Errorf("woken: tried at %v, next at %v", tried, nexts)
		}
		fault = nil
		at(17 * time.Minute)
		if len(tried) != 7 || len(told) != 1 {
			t.Errorf("tried at %v, obtained at %v", tried, told)
		}
		tried = nil
		at(17*time.Minute + 60*24*time.Hour - time.Second)
		if len(tried) != 0 {
			t.Errorf("renewed early: %v", tried)
		}
		at(17*time.Minute + 60*24*time.Hour + limits.Look)
		if len(tried) != 1 || len(told) != 2 {
			t.Errorf("not renewed: %v", tried)
		}
		more = names[1:]
		pass(limits.Look)
		h, ok, err := Load(t.Context(), st, names[0])
		if len(tried) != 2 || !ok || err != nil || !h.serves(directory, names) {
			t.Errorf("the name that was added: tried at %v, %v", tried, h.Certificate.Leaf.DNSNames)
		}
		mu.Unlock()
		cancel()
		<-ended
	})
}

func TestPause(t *testing.T) {
	if got := []time.Duration{limits.pause(1), limits.pause(2), limits.pause(10), limits.pause(11), limits.pause(1000)}; !slices.Equal(got, []time.Duration{time.Minute, 2 * time.Minute, 512 * time.Minute, limits.MaxPause, limits.MaxPause}) {
		t.Error(got)
	}
}

// An authority that issues certificates which are to be renewed at once is not asked all
// the time.
func TestNoRush(t *testing.T) {
	now := time.Now()
	leaf := &x509.Certificate{NotBefore: now.Add(-80 * time.Hour), NotAfter: now.Add(10 * time.Hour), DNSNames: []string{"mx.test"}}
	h, names := Held{tls.Certificate{Leaf: leaf}, directory}, domains(t, "mx.test")
	a := obtainedAt(now, leaf)
	if a.due(h, directory, names, now) || !a.due(h, directory, names, now.Add(5*time.Hour)) || limits.wait(a.until(h, directory, names), now) != limits.Look {
		t.Errorf("%+v", a)
	}
	if !(attempts{}).due(h, directory, names, now) || !(attempts{}).due(Held{}, directory, names, now) {
		t.Error("nothing is due")
	}
	if w := limits.wait(attempts{}.until(h, directory, names), now); w != time.Second {
		t.Errorf("waits for %v", w)
	}
}

func TestOptionsAreRequired(t *testing.T) {
	whole := Options{
		Store: mem.New(), Directory: directory, Agreed: true, Challenge: TLSALPN01, Host: domains(t, "mx.test")[0], Listeners: []net.Listener{nil},
		Obtained: func(context.Context, tls.Certificate) {},
		Failed:   func(context.Context, error, time.Time) {}, Limits: limits, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	}
	if k, err := New(whole); err != nil || k == nil {
		t.Errorf("%v, %v", k, err)
	}
	for i, without := range []func(*Options){
		func(o *Options) { o.Store = nil }, func(o *Options) { o.Directory = "" }, func(o *Options) { o.Agreed = false },
		func(o *Options) { o.Challenge = ChallengeNone }, func(o *Options) { o.Host = mail.Domain{} }, func(o *Options) { o.Listeners = nil },
		func(o *Options) { o.Limits.Look = 0 }, func(o *Options) { o.Limits.Names = 0 },
		func(o *Options) { o.Obtained = nil }, func(o *Options) { o.Failed = nil },
		func(o *Options) { o.Now = nil }, func(o *Options) { o.Logger = nil },
	} {
		o := whole
		without(&o)
		if k, err := New(o); !errors.Is(err, errOptions) || k != nil {
			t.Errorf("%d: %v, %v", i, k, err)
		}
	}
}

// The library finds in the store what it finds in a folder.
func TestStorage(t *testing.T) {
	s, ctx := newStorage(mem.New()), t.Context()
	for _, key := range []string{"a/b/c", "a/b/d", "a/e", "ab"} {
		must(t, s.Store(ctx, key, []byte(key)))
	}
	for _, c := range []struct {
		folder    string
		recursive bool
		want      string
	}{
		{"a", false, "a/b a/e"}, {"a/", false, "a/b a/e"}, {"a", true, "a/b a/b/c a/b/d a/e"}, {"", false, "a ab"}, {"a/b", true, "a/b/c a/b/d"},
	} {
		if got, err := s.List(ctx, c.folder, c.recursive); err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("List %q, %v: %v, %v", c.folder, c.recursive, got, err)
		}
	}
	if _, err := s.List(ctx, "x", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List: %v", err)
	}
	if v, err := s.Load(ctx, "a/e"); string(v) != "a/e" || err != nil {
		t.Errorf("Load: %q, %v", v, err)
	}
	for key, terminal := range map[string]bool{"a/e": true, "a/b": false} {
		if i, err := s.Stat(ctx, key); err != nil || i.Key != key || i.IsTerminal != terminal || !s.Exists(ctx, key) {
			t.Errorf("Stat: %+v, %v", i, err)
		}
	}
	must(t, s.Delete(ctx, "a/b"))
	for _, key := range []string{"a/b", "a/b/c", "a/b/d"} {
		if _, err := s.Stat(ctx, key); !errors.Is(err, fs.ErrNotExist) || s.Exists(ctx, key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if !s.Exists(ctx, "a/e") || !s.Exists(ctx, "ab") {
		t.Error("more was deleted")
	}
}

// One holds a lock at a time; who waits for one may give up.
func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStorage(mem.New())
		must(t, s.Lock(t.Context(), "x"))
		must(t, s.Lock(t.Context(), "y"))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Lock(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock: %v", err)
		}
		got := make(chan error, 1)
		go func() { got <- s.Lock(t.Context(), "x") }()
		synctest.Wait()
		must(t, s.Unlock(t.Context(), "x"))
		must(t, <-got)
		must(t, s.Unlock(t.Context(), "x"))
		if err := s.Unlock(t.Context(), "x"); !errors.Is(err, errNotLocked) {
			t.Errorf("Unlock: %v", err)
		}
	})
}

// M11: who asks for a challenge under another host's name, by another path or in another way gets
// nothing, and nothing of what he asked.
func TestOnlyChallengesAreAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	k, err := New(Options{
		Store: mem.New(), Directory: directory, Agreed: true, Challenge: HTTP01, Host: domains(t, "mx.test")[0], Listeners: []net.Listener{l},
		Obtained: func(context.Context, tls.Certificate) {},
		Failed:   func(context.Context, error, time.Time) {}, Limits: limits, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	ca, err := k.authority()
	must(t, err)
	defer ca.cache.Stop()
	under := path.Join("acme", certmagic.StorageKeys.Safe(ca.issuer.IssuerKey()), "challenge_tokens", "mx.test.json")
	must(t, ca.storage.Store(t.Context(), under, []byte(`{"type":"http-01","token":"tok-1","keyAuthorization":"tok-1.thumb","identifier":{"type":"dns","value":"mx.test"}}`)))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- k.answer(ctx, ca) }()
	const at = "/.well-known/acme-challenge/"
	for _, c := range []struct{ method, host, path, want string }{
		{"GET", "mx.test", at + "tok-1", "200 tok-1.thumb"},
		{"GET", "remote.test", at + "tok-1", "404"}, {"GET", "mx.test.remote.test", at + "tok-1", "404"}, {"GET", "127.0.0.1", at + "tok-1", "404"},
		{"GET", "../../mx.test", at + "tok-1", "404"}, {"GET", "mx.test", at, "404"}, {"GET", "mx.test", at + "tok-2", "404"}, {"GET", "mx.test", at + "x/../tok-1", "404"},
		{"GET", "mx.test", at + "../../etc/passwd", "404"}, {"GET", "mx.test", "/" + at + "tok-1", "404"}, {"GET", "mx.test", "/", "404"}, {"POST", "mx.test", at + "tok-1", "404"},
	} {
		nc, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		_, err = fmt.Fprintf(nc, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.method, c.path, c.host)
		must(t, err)
		text, err := io.ReadAll(nc)
		must(t, err)
		_ = nc.Close()
		code, body, _ := strings.Cut(c.want, " ")
		// A host that is none is told so before anything is looked for.
		odd := strings.Contains(c.host, "/") && strings.HasPrefix(string(text), "HTTP/1.1 400 ")
		if !odd && !strings.HasPrefix(string(text), "HTTP/1.1 "+code+" ") ||
			!strings.HasSuffix(string(text), body) ||
			code == "404" && (strings.Contains(string(text), "tok-") || strings.Contains(string(text), "remote")) {
			t.Errorf("%s %s of %s: %q", c.method, c.path, c.host, text)
		}
	}
	cancel()
	must(t, <-served)
}
