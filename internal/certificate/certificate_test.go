package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var silent = slog.New(slog.DiscardHandler)

// issue writes a certificate and its key to files.
func issue(t *testing.T, s Source) {
	t.Helper()
	issueAt(t, s, time.Now())
}

// issueAt does so at a time, from which the certificate lasts 396 days.
func issueAt(t *testing.T, s Source, now time.Time) {
	t.Helper()
	ca, err := pki.NewAuthority("test", pki.Names{Hosts: []string{"mx.test"}}, now)
	must(t, err)
	cert, key, err := ca.Issue(pki.Names{Hosts: []string{"mx.test"}}, now)
	must(t, err)
	must(t, errors.Join(os.WriteFile(s.Cert, cert, 0o600), os.WriteFile(s.Key, key, 0o600)))
}

func files(t *testing.T) Source {
	dir := t.TempDir()
	return Source{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
}

func TestBuild(t *testing.T) {
	if c, err := Build(t.Context(), Source{}, nil, nil, time.Now(), silent); c != nil || err != nil || Leaf(c) != nil {
		t.Errorf("of nothing: %v, %v", c, err)
	}
	s := files(t)
	if c, err := Build(t.Context(), s, nil, nil, time.Now(), silent); c != nil || err == nil {
		t.Errorf("of files that are not there: %v, %v", c, err)
	}
	issue(t, s)
	first, err := Build(t.Context(), s, nil, nil, time.Now(), silent)
	must(t, err)
	if Leaf(first).VerifyHostname("mx.test") != nil || first.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", first)
	}
	if again, err := Build(t.Context(), s, nil, first, time.Now(), silent); again != first || err != nil {
		t.Errorf("the same certificate lost its tickets: %v", err)
	}
	issue(t, s)
	if other, err := Build(t.Context(), s, nil, first, time.Now(), silent); other == first || err != nil {
		t.Errorf("another certificate is not taken: %v", err)
	}
	s.Authority = "https://ca.test/"
	if kept, err := Build(t.Context(), s, nil, first, time.Now(), silent); kept != first || err != nil {
		t.Errorf("a running server changed its source: %v", err)
	}
	if c, err := Build(t.Context(), s, mem.New(), nil, time.Now(), silent); c != nil || err != nil {
		t.Errorf("nothing was obtained yet: %v, %v", c, err)
	}
}

// What was read while it might be stands for files that may not be read any more, and for
// no others.
func TestHeld(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may read everything: the fallback is shown as another user, by TestScripts/root of cmd/sallyport")
	}
	s := files(t)
	if Hold(s.Cert, s.Key) != nil {
		t.Error("held what is not there")
	}
	issue(t, s)
	s.Held = Hold(s.Cert, s.Key)
	if s.Held == nil || s.Held.Pair.Leaf.VerifyHostname("mx.test") != nil {
		t.Fatalf("%+v", s.Held)
	}
	must(t, os.Remove(s.Key))
	if _, err := s.read(); err == nil {
		t.Error("what is gone is read")
	}
	issue(t, s)
	if os.Geteuid() != 0 {
		must(t, os.Chmod(s.Key, 0))
		if pair, err := s.read(); err != nil || !bytes.Equal(pair.Leaf.Raw, s.Held.Pair.Leaf.Raw) {
			t.Errorf("what may not be read: %v", err)
		}
		s.Held.Key = "another"
		if _, err := s.read(); err == nil {
			t.Error("another pair stands for it")
		}
	}
}

// A certificate out of its time never takes the place of a good one, at a reload as little
// as when its files change; where there is no good one, it is taken.
func TestNoneTakesThePlaceOfAGoodOne(t *testing.T) {
	now := time.Now()
	host, err := mail.ParseDomain("mx.test")
	must(t, err)
	for name, issued := range map[string]time.Time{"expired on": now.AddDate(-3, 0, 0), "is not valid before": now.AddDate(0, 1, 0)} {
		k := keep(t)
		good := k.inForce
		issueAt(t, k.source, issued)
		if c, err := Build(t.Context(), k.source, nil, good, now, silent); c != nil || err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "in force is good until") {
			t.Errorf("%s: reloaded: %v, %v", name, c, err)
		}
		if fault := k.Reread(t.Context(), ""); !strings.Contains(fault, name) || k.inForce != good || k.facts[0].Rule != "certificate-refused" {
			t.Errorf("%s: read again: %q, %+v", name, fault, k.facts)
		}
		c, err := Build(t.Context(), k.source, nil, nil, now, silent)
		must(t, err)
		if w := Warning(Leaf(c), host, now); !strings.Contains(w, name) {
			t.Errorf("%s: %q", name, w)
		}
		k.inForce = c
		issueAt(t, k.source, issued)
		if fault := k.Reread(t.Context(), ""); fault != "" || k.inForce == c {
			t.Errorf("%s: the place of one that is no better: %q", name, fault)
		}
		if w := Warning(Leaf(good), host, now); w != "" {
			t.Error(w)
		}
		if w := Warning(Leaf(good), host, Leaf(good).NotAfter.Add(-73*time.Hour)); !strings.Contains(w, "expires in 3 days") {
			t.Error(w)
		}
		other, err := mail.ParseDomain("mail.test")
		must(t, err)
		if w := Warning(Leaf(good), other, now); !strings.Contains(w, "is not for mail.test") {
			t.Error(w)
		}
	}
}

// kept is a Keeper of files, and what it did.
type kept struct {
	*Keeper
	source  Source
	inForce *tls.Config
	facts   []fact.Fact

	mu  sync.Mutex // what the test and a Watch that runs both touch
	log strings.Builder
	now time.Time
}

// Write takes a line of the log.
func (k *kept) Write(line []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(line)
}

func (k *kept) logged() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.String()
}

// passes lets time go by, and returns what it is then.
func (k *kept) passes(d time.Duration) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
	return k.now
}

func keep(t *testing.T) *kept {
	k := &kept{source: files(t), now: time.Now()}
	issue(t, k.source)
	var err error
	k.inForce, err = Build(t.Context(), k.source, nil, nil, time.Now(), silent)
	must(t, err)
	k.Keeper = New(Options{
		Source: func() Source { return k.source }, InForce: func() *tls.Config { return k.inForce }, Change: func(fn func()) { fn() },
		Present: func(c *tls.Config) { k.inForce = c }, Record: func(_ context.Context, f fact.Fact) { k.facts = append(k.facts, f) },
		Limits: DefaultLimits(), Now: func() time.Time { return k.passes(0) }, Logger: slog.New(slog.NewTextHandler(k, nil)),
	})
	return k
}

// A pair that cannot be used leaves the former one in force, and is told of once.
func TestReread(t *testing.T) {
	k := keep(t)
	before := k.inForce
	if fault := k.Reread(t.Context(), ""); fault != "" || k.inForce != before || len(k.facts) != 0 {
		t.Errorf("the same files: %q, %+v", fault, k.facts)
	}
	must(t, os.WriteFile(k.source.Key, []byte("half"), 0o600))
	fault := k.Reread(t.Context(), "")
	if again := k.Reread(t.Context(), fault); fault == "" || again != fault || k.inForce != before || len(k.facts) != 1 || k.facts[0].Rule != "certificate-refused" {
		t.Errorf("%q, %q, %+v", fault, again, k.facts)
	}
	issue(t, k.source)
	if fault := k.Reread(t.Context(), fault); fault != "" || k.inForce == before || len(k.facts) != 2 || k.facts[1].Rule != "certificate-renewed" {
		t.Errorf("%q, %+v", fault, k.facts)
	}
	k.source.Authority = "https://ca.test/"
	issue(t, k.source)
	if now := k.inForce; k.Reread(t.Context(), "") != "" || k.inForce != now {
		t.Error("files are read although the certificate is obtained")
	}
}

// A certificate that nothing renews is warned of once a day, the nearer to its end.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t)
		k.now = Leaf(k.inForce).NotAfter.Add(-15 * 24 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { k.Watch(ctx); close(ended) }()
		look := func(after time.Duration) int {
			synctest.Wait()
			k.passes(after)
			time.Sleep(k.o.Limits.Every)
			synctest.Wait()
			return strings.Count(k.logged(), "ends soon")
		}
		if got := []int{look(0), look(25 * time.Hour), look(time.Hour), look(23 * time.Hour)}; !slices.Equal(got, []int{0, 1, 1, 2}) {
			t.Errorf("warned %v times\n%s", got, k.logged())
		}
		cancel()
		<-ended
	})
	leaf := Leaf(keep(t).inForce)
	if got := DefaultLimits().warnBefore(Source{Authority: "x"}, leaf); got != leaf.NotAfter.Sub(leaf.NotBefore)/4 {
		t.Errorf("one that is obtained is warned of %v before its end", got)
	}
}

// One that has not begun, as after a clock that went back, is told of as one that has ended.
func TestOutOfItsTime(t *testing.T) {
	for name, at := range map[string]func(*tls.Config) time.Time{
		"is not valid before": func(c *tls.Config) time.Time { return Leaf(c).NotBefore.Add(-time.Hour) },
		"expired on":          func(c *tls.Config) time.Time { return Leaf(c).NotAfter },
	} {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t)
			k.now = at(k.inForce)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { k.Watch(ctx); close(ended) }()
			synctest.Wait()
			cancel()
			<-ended
			if got := k.logged(); strings.Count(got, "clients refuse to speak to this server") != 1 || !strings.Contains(got, name) {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
}

// What fails is told with the next attempt, and what succeeds is presented.
func TestObtained(t *testing.T) {
	k := keep(t)
	k.source.Authority = "https://ca.test/"
	next := k.now.Add(time.Hour)
	k.failed(t.Context(), errors.New("refused"), next)
	if s := k.State(); s.Fault != "refused" || !s.Next.Equal(next) || !strings.Contains(s.Chain, "BEGIN CERTIFICATE") || len(k.facts) != 1 || k.facts[0].Rule != "certificate-not-obtained" {
		t.Errorf("%+v, %+v", s, k.facts)
	}
	cert := k.inForce.Certificates[0]
	k.inForce = nil
	if s := k.State(); s.Chain != "" {
		t.Errorf("there is none: %+v", s)
	}
	k.obtained(t.Context(), cert)
	if s := k.State(); s.Fault != "" || !s.Next.IsZero() || Leaf(k.inForce) == nil || len(k.facts) != 2 || k.facts[1].Rule != "certificate-renewed" {
		t.Errorf("%+v, %+v", s, k.facts)
	}
	k.Wake() // nobody is asked
	if err := k.Obtain(t.Context(), Order{}); err == nil {
		t.Error("obtained with no options")
	}
}

// addresses is a DNS in which each name has one address, or none that is known.
type addresses struct {
	dnsx.Resolver
	at map[string]netip.Addr
}

// Addresses implements dnsx.Resolver.
func (a addresses) Addresses(_ context.Context, n dnsx.Name) (dnsx.Answer[netip.Addr], error) {
	if at, ok := a.at[n.String()]; ok {
		return dnsx.Answer[netip.Addr]{Data: []netip.Addr{at}}, nil
	}
	return dnsx.Answer[netip.Addr]{}, dnsx.ErrNoName
}

// Names that are stated come first, and policies take what room is left.
func TestNamesHaveABound(t *testing.T) {
	host := func(name string) mail.Domain {
		d, err := mail.ParseDomain(name)
		must(t, err)
		return d
	}
	here := netip.MustParseAddr("192.0.2.1")
	n := Names{
		Host: host("mx.test"), Stated: []mail.Domain{host("smtp.test")}, Policies: []mail.Domain{host("a.test"), host("gone.test"), host("b.test")}, Time: time.Second, Most: 3,
		Resolver: addresses{at: map[string]netip.Addr{"mx.test": here, "a.test": here, "b.test": here}}, Borne: func(mail.Domain) bool { return false }, Logger: silent,
	}
	if got := fmt.Sprint(n.Wanted(t.Context())); got != fmt.Sprint([]mail.Domain{host("smtp.test"), host("a.test")}) {
		t.Error(got)
	}
	n.Policies = nil
	if got := n.Wanted(t.Context()); len(got) != 1 {
		t.Error(got)
	}
}

// A policy's name is wanted when the DNS shows that it leads here; a silent DNS changes
// nothing.
func TestWantedPolicyNames(t *testing.T) {
	host := func(name string) mail.Domain {
		d, err := mail.ParseDomain(name)
		must(t, err)
		return d
	}
	ours, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	all := []mail.Domain{host("mta-sts.here.test"), host("mta-sts.there.test"), host("mta-sts.nowhere.test"), host("mta-sts.silent.test"), host("mta-sts.borne.test")}
	quiet := false
	look := func(d mail.Domain) ([]netip.Addr, error) {
		switch d.ASCII() {
		case "mx.test":
			if quiet {
				return nil, errors.New("timeout")
			}
			return []netip.Addr{other.Next(), ours}, nil
		case "mta-sts.here.test":
			return []netip.Addr{ours}, nil
		case "mta-sts.there.test":
			return []netip.Addr{other}, nil
		case "mta-sts.nowhere.test":
			return nil, nil
		}
		return nil, errors.New("timeout")
	}
	borne := func(d mail.Domain) bool { return d.ASCII() == "mta-sts.borne.test" }
	if got := fmt.Sprint(led(host("mx.test"), all, borne, look)); got != fmt.Sprint([]mail.Domain{all[0], all[4]}) {
		t.Error(got)
	}
	quiet = true
	if got := fmt.Sprint(led(host("mx.test"), all, borne, look)); got != fmt.Sprint(all[4:]) {
		t.Error(got)
	}
}
