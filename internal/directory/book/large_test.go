package book

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

// people are accounts that nobody signs in to.
type people struct {
	all     []accounts.Account
	changes uint64
}

func (p *people) List(context.Context) ([]accounts.Account, error)  { return slices.Clone(p.all), nil }
func (p *people) Aliases(context.Context) ([]accounts.Alias, error) { return nil, nil }
func (p *people) Watch() <-chan struct{}                            { return nil }
func (p *people) Changes() uint64                                   { return p.changes }

func parse[V any](t testing.TB, f func(string) (V, error), s string) V {
	t.Helper()
	v, err := f(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// large is a book of many domains, aliases, of which half are stated and half were added, and
// accounts.
func large(t testing.TB, domains, aliases, accountsN int) (*Book, *people) {
	t.Helper()
	at := func(format string, n ...any) mail.Address {
		return parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, fmt.Sprintf(format, n...))
	}
	st := Stated{
		Config: directory.Config{Hostname: parse(t, mail.ParseDomain, "mx.local.test"), Detail: '+', ForwardExternal: true},
		Where:  func(directory.Subject) (string, bool) { return "", false },
		Domain: func(name mail.Domain, _ string) (directory.Domain, error) {
			return directory.Domain{Name: name, Deliver: directory.DeliverMaildir}, nil
		},
	}
	for i := range domains {
		st.Config.Domains = append(st.Config.Domains, directory.Domain{Name: parse(t, mail.ParseDomain, fmt.Sprintf("d%d.test", i)), Deliver: directory.DeliverMaildir})
	}
	p := &people{}
	for i := range accountsN {
		p.all = append(p.all, accounts.Account{Address: at("u%d@d%d.test", i, i%domains)})
	}
	slices.SortFunc(p.all, func(a, b accounts.Account) int { return compareKeys(a.Address, b.Address) })
	store := mem.New()
	t.Cleanup(func() { store.Close() })
	r, err := roster.Open(t.Context(), store, roster.Options{Limits: roster.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	var put []roster.Entry
	for i := range aliases {
		a := directory.Alias{Address: at("a%d@d%d.test", i, i%domains), Targets: []mail.Address{at("u%d@d%d.test", i%accountsN, i%accountsN%domains)}, Posting: directory.PostingAnyone}
		if i%2 == 0 {
			st.Config.Aliases = append(st.Config.Aliases, a)
			continue
		}
		put = append(put, roster.Alias{Alias: a})
	}
	for some := range slices.Chunk(put, 10_000) {
		_, err = r.Change(t.Context(), roster.Change{
			Plan:  func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: some}, nil },
			Check: func(context.Context, *roster.State, *roster.State) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b := New(Options{Accounts: p, Roster: r, Serving: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	began := time.Now()
	next, err := b.Build(t.Context(), st, false)
	if err != nil {
		t.Fatal(err)
	}
	next.Adopt()
	t.Logf("%d domains, %d aliases and %d accounts stand and are proven after %s", domains, aliases, accountsN, time.Since(began).Round(time.Millisecond))
	return b, p
}

// cpu reports the processor time of each round, which others on the machine don't change much.
func cpu(b *testing.B) (done func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op") }
}

func compareKeys(a, b mail.Address) int {
	switch x, y := a.Key(), b.Key(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// BenchmarkChange is one alias more, one forward more and one account more among 100,000 aliases:
// judged, proven, stored in memory and published.
func BenchmarkChange(b *testing.B) {
	book, p := large(b, 1000, 100_000, 20_000)
	address := func(format string, n ...any) mail.Address {
		return parse(b, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, fmt.Sprintf(format, n...))
	}
	n := 0
	put := func(b *testing.B, e roster.Entry) {
		err := book.Change(b.Context(), Change{Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: []roster.Entry{e}}, nil }})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("alias", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			n++
			put(b, roster.Alias{Alias: directory.Alias{Address: address("new%d@d7.test", n), Targets: []mail.Address{address("a%d@d%d.test", n%1000, n%1000)}, Posting: directory.PostingAnyone}})
		}
	})
	b.Run("forward", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			n++
			put(b, roster.Forward{Forward: directory.Forward{Account: address("u%d@d%d.test", n%20_000, n%1000), Targets: []mail.Address{address("x%d@elsewhere.test", n)}, Keep: true}})
		}
	})
	b.Run("domain", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			n++
			put(b, roster.Domain{Name: parse(b, mail.ParseDomain, fmt.Sprintf("new%d.test", n)), Deliver: "maildir"})
		}
	})
	b.Run("account", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			n++
			p.all = append(p.all, accounts.Account{Address: address("z%09d@zz.test", n)})
			p.changes++
			if err := book.Publish(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	if book.made == nil {
		b.Fatal("a change was judged as a whole")
	}
}
