package book

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// ledTo is how many aliases lead to each of some names, of which one is then led elsewhere.
func ledTo(much bool) []int {
	if much {
		return []int{100, 1000, 5000, 20_000}
	}
	return []int{100, 2500}
}

// trial is one change that is judged, apart from what carries it out.
type trial struct {
	name   string
	edit   func(before *roster.State, n int) roster.Edit
	become func(n int) func([]mail.Address) []mail.Address // of the accounts; nil: the same
	most   time.Duration                                   // of the processor, in the middle
}

// apart are the changes of the book that large makes, with names to which many aliases lead.
func apart(t testing.TB, much bool) []trial {
	at := func(format string, n ...any) mail.Address {
		return parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, fmt.Sprintf(format, n...))
	}
	alias := func(name, to mail.Address) roster.Entry {
		return roster.Alias{Alias: directory.Alias{Address: name, Targets: []mail.Address{to}, Posting: directory.PostingAnyone}}
	}
	put := func(e ...roster.Entry) roster.Edit { return roster.Edit{Put: e} }
	renaming := func(n int) Renaming {
		n += 2 // everything is tried as one of those before, which only the whole can replace
		return Renaming{From: at("u%d@d%d.test", n, n), To: at("renamed%d@d%d.test", n, n), Detail: '+'}
	}
	const one = 50 * time.Millisecond
	all := []trial{
		{"alias add", func(_ *roster.State, n int) roster.Edit {
			return put(alias(at("new%d@d7.test", n), at("a%d@d%d.test", n, n)))
		}, nil, one},
		{"alias rm", func(_ *roster.State, n int) roster.Edit {
			a := at("a%d@d%d.test", 2*n+1, 2*n+1)
			return roster.Edit{Remove: []roster.Ref{alias(a, a).Ref()}}
		}, nil, one},
		{"forward add", func(_ *roster.State, n int) roster.Edit {
			return put(roster.Forward{Forward: directory.Forward{Account: at("u%d@d%d.test", n, n), Targets: []mail.Address{at("x%d@elsewhere.test", n)}, Keep: true}})
		}, nil, one},
		{"delegate add", func(_ *roster.State, n int) roster.Edit {
			return put(roster.Delegate{Delegate: directory.Delegate{Account: at("u%d@d%d.test", n, n), Address: at("a%d@d%d.test", 2*n, 2*n)}})
		}, nil, one},
		{"domain add", func(_ *roster.State, n int) roster.Edit {
			return put(roster.Domain{Name: parse(t, mail.ParseDomain, fmt.Sprintf("new%d.test", n)), Deliver: "maildir"})
		}, nil, one},
		{"account add", func(*roster.State, int) roster.Edit { return roster.Edit{} }, func(n int) func([]mail.Address) []mail.Address {
			return func(all []mail.Address) []mail.Address {
				return append(slices.Clone(all), at("new.person%d@d9.test", n))
			}
		}, one},
		{"account rename, with an alias that stays", func(before *roster.State, n int) roster.Edit {
			e := renaming(n).Edit(before)
			e.Put = append(e.Put, Alias(renaming(n).From, renaming(n).To))
			return e
		}, func(n int) func([]mail.Address) []mail.Address { return renaming(n).Accounts }, one},
	}
	for i, many := range ledTo(much) {
		all = append(all, trial{fmt.Sprintf("an alias to which %d lead is led elsewhere", many), func(_ *roster.State, n int) roster.Edit {
			return put(alias(at("hub%d@d1.test", i), at("u%d@d%d.test", n, n)))
		}, nil, 0})
	}
	return all
}

// batch is how many entries are put at once: an act of the store has no more parts than 16,384.
const batch = 10_000

// hubs adds the names to which many aliases lead.
func (b *Book) hubs(t testing.TB, much bool) {
	at := func(format string, n ...any) mail.Address {
		return parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, fmt.Sprintf(format, n...))
	}
	var put []roster.Entry
	for i, many := range ledTo(much) {
		hub := at("hub%d@d1.test", i)
		put = append(put, roster.Alias{Alias: directory.Alias{Address: hub, Targets: []mail.Address{at("u0@d0.test")}, Posting: directory.PostingAnyone}})
		for n := range many {
			put = append(put, roster.Alias{Alias: directory.Alias{Address: at("spoke%d.%d@d%d.test", i, n, n%20), Targets: []mail.Address{hub}, Posting: directory.PostingAnyone}})
		}
	}
	for some := range slices.Chunk(put, batch) {
		began := processor(t)
		if err := b.Change(t.Context(), Change{Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: some}, nil }}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d aliases more in one change: %.0f ms", len(some), ms(processor(t)-began))
	}
}

// tried judges one change and takes it back; whole says that only the whole could tell.
func (b *Book) tried(t testing.TB, l *listed, x trial, n int) (took time.Duration, whole bool) {
	change := Change{DryRun: true, Plan: func(before *roster.State) (roster.Edit, error) { return x.edit(before, n), nil }}
	if x.become != nil {
		change.Accounts = x.become(n)
	}
	c := b.judged(change)
	check := c.Check
	c.Check = func(ctx context.Context, before, after *roster.State) error {
		l.times = 0
		began := processor(t)
		err := check(ctx, before, after)
		took = processor(t) - began
		whole = l.times > 0
		return err
	}
	if _, err := b.o.Roster.Change(t.Context(), c); err != nil {
		t.Fatalf("%s: %v", x.name, err)
	}
	return took, whole
}

// processor is the processor time of this process: others on the machine change it little.
func processor(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The check of one change, apart from what carries it out: what it takes of a processor among 100,000
// aliases, and that it is judged by what it touches, also where that is thousands of names. SALLYPORT_CHANGES is how often each is judged; without
// it the directory is small and nothing is held against a time.
func TestTheCheckApart(t *testing.T) {
	rounds, domains, aliases, people := 1, 20, 4000, 100
	n, err := strconv.Atoi(os.Getenv("SALLYPORT_CHANGES"))
	much := err == nil
	if much {
		rounds, domains, aliases, people = n, 1000, 100_000, 1000
	}
	b, p := large(t, domains, aliases, people)
	l := &listed{people: p}
	b.o.Accounts = l
	b.hubs(t, much)
	for _, x := range apart(t, much) {
		var all []time.Duration
		whole := false
		for n := range rounds {
			took, as := b.tried(t, l, x, n+1)
			all, whole = append(all, took), whole || as
		}
		slices.Sort(all)
		t.Logf("| %s | %.1f | %.1f |", x.name, ms(all[len(all)/2]), ms(all[len(all)-1]))
		if whole {
			t.Errorf("%s: judged as a whole", x.name)
		}
		if middle := all[len(all)/2]; much && x.most > 0 && middle > x.most {
			t.Errorf("%s: its check takes %s of a processor", x.name, middle)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
