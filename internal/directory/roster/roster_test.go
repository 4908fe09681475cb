package roster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB, st store.Store) *Roster {
	t.Helper()
	r, err := Open(context.Background(), st, Options{Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func anything(context.Context, *State, *State) error { return nil }

// planned is a change that passes every check.
func planned(e Edit) Change {
	return Change{Plan: func(*State) (Edit, error) { return e, nil }, Check: anything}
}

func change(t testing.TB, r *Roster, e Edit) *State {
	t.Helper()
	s, err := r.Change(context.Background(), planned(e))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shown is a State in a form that can be compared and read.
func shown(t testing.TB, s *State) []string {
	t.Helper()
	all, err := s.Export()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range all {
		out = append(out, e.Kind+" "+strings.ReplaceAll(e.Key, "\x00", " ")+" "+string(e.Value))
	}
	return out
}

func entries(t testing.TB) []Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alice, bob := address(t, "alice@local.test"), address(t, `"b o b"@local.test`)
	return []Entry{
		Domain{Name: domain(t, "münchen.test"), Deliver: "lmtp://127.0.0.1:24", Postmaster: alice, Added: at},
		Domain{Name: domain(t, "plain.test"), Deliver: "maildir", Added: at},
		Alias{directory.Alias{Address: address(t, "Ünï@local.test"), Targets: []mail.Address{alice, bob}, Posting: directory.PostingMembers}, at},
		Alias{directory.Alias{CatchAll: domain(t, "local.test"), Targets: []mail.Address{bob}, Posting: directory.PostingAnyone}, at},
		Alias{directory.Alias{Address: address(t, `"@local.test"@local.test`), Targets: []mail.Address{bob}, Posting: directory.PostingAccounts}, at},
		Forward{directory.Forward{Account: alice, Targets: []mail.Address{address(t, "A@remote.test")}, Keep: true}, at},
		Delegate{directory.Delegate{Account: alice, Address: bob}, at},
	}
}

func TestEntriesAreKept(t *testing.T) {
	st := mem.New()
	r := open(t, st)
	if r.State().Revision() != 0 || len(shown(t, r.State())) != 0 {
		t.Error("a new roster holds something")
	}
	change(t, r, Edit{Put: entries(t), Facts: [][]byte{[]byte("made")}})
	for what, s := range map[string]*State{"at once": r.State(), "reopened": open(t, st).State()} {
		if s.Revision() != 1 || len(shown(t, s)) != 7 {
			t.Errorf("%s: revision %d, %v", what, s.Revision(), shown(t, s))
		}
		for _, e := range entries(t) {
			got, ok := s.Get(e.Ref())
			if !ok || !s.Has(e.Ref()) {
				t.Errorf("%s: %v is missing", what, e.Ref())
				continue
			}
			want, _ := e.encode()
			if have, err := got.encode(); err != nil || !bytes.Equal(have, want) {
				t.Errorf("%s: %s became %s, %v", what, want, have, err)
			}
		}
		if len(s.Domains()) != 2 || len(s.Aliases()) != 3 || len(s.Forwards()) != 1 || len(s.Delegates()) != 1 || s.Damaged() != nil {
			t.Errorf("%s: %v", what, shown(t, s))
		}
		// The catch-all of local.test and the address that is spelt like it.
		if a := s.Aliases(); a[0].CatchAll.IsZero() || a[1].Name() != `"@local.test"@local.test` {
			t.Errorf("%s: aliases %q, %q", what, a[0].Name(), a[1].Name())
		}
		all, err := s.Export()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Import(all)
		if err != nil || !cmp.Equal(shown(t, back), shown(t, s)) {
			t.Errorf("%s: exported and imported it is %v, %v", what, back, err)
		}
	}
	former := r.State()
	change(t, r, Edit{Remove: []Ref{AliasRef(address(t, "ÜNÏ@local.test")), DelegateRef(address(t, "ALICE@local.test"), address(t, `"B O B"@local.test`))}})
	if len(shown(t, former)) != 7 || len(shown(t, r.State())) != 5 {
		t.Error("a State was changed, or the roster was not")
	}
}

func TestChangesThatAreRefused(t *testing.T) {
	ctx, st := context.Background(), mem.New()
	r, err := Open(ctx, st, Options{Limits: Limits{Domains: 1, Aliases: 1, Forwards: 1, Delegates: 1, Contacts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t)
	change(t, r, Edit{Put: all[:1], Facts: [][]byte{[]byte("one")}})
	no := errors.New("no")
	for what, c := range map[string]struct {
		c    Change
		want error
	}{
		"a plan that fails":      {Change{Plan: func(*State) (Edit, error) { return Edit{}, no }, Check: anything}, no},
		"a check that fails":     {Change{Plan: func(*State) (Edit, error) { return Edit{Put: all[2:3]}, nil }, Check: func(context.Context, *State, *State) error { return no }}, no},
		"removing what is not":   {planned(Edit{Remove: []Ref{all[1].Ref()}}), ErrNoSuch},
		"one domain too many":    {planned(Edit{Put: all[1:2]}), ErrFull},
		"two aliases at once":    {planned(Edit{Put: all[2:4]}), ErrFull},
		"an alias of no posting": {planned(Edit{Put: []Entry{Alias{directory.Alias{Address: address(t, "a@b.test")}, time.Time{}}}}), nil},
	} {
		c.c.Plan = withFact(c.c.Plan)
		if _, err := r.Change(ctx, c.c); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	// Replacing is no growth, and a dry run is no change.
	change(t, r, Edit{Put: []Entry{Domain{Name: domain(t, "münchen.test"), Deliver: "maildir"}}})
	dry := planned(Edit{Put: all[5:], Facts: [][]byte{[]byte("dry")}})
	dry.DryRun = true
	after, err := r.Change(ctx, dry)
	if err != nil || len(shown(t, after)) != 3 || len(shown(t, r.State())) != 1 || r.State().Revision() != 2 {
		t.Errorf("a dry run: %v, %v", err, shown(t, r.State()))
	}
	if st.FactHead() != 1 {
		t.Errorf("%d facts of refused changes", st.FactHead()-1)
	}
	if _, err := Open(ctx, st, Options{}); err == nil {
		t.Error("a roster without limits opens")
	}
}

func withFact(plan func(*State) (Edit, error)) func(*State) (Edit, error) {
	return func(s *State) (Edit, error) {
		e, err := plan(s)
		e.Facts = [][]byte{[]byte("a fact of what did not happen")}
		return e, err
	}
}

// What cannot be read is named and not guessed, and goes when it is removed.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	alice := address(t, "alice@local.test")
	for what, value := range map[string]string{
		"no record":        "x",
		"nothing":          "",
		"another version":  `{"v":2,"address":"a@local.test","targets":["b@local.test"],"from":"anyone","added":"2026-01-02T03:04:05Z"}`,
		"another name":     `{"v":1,"address":"b@local.test","targets":["b@local.test"],"from":"anyone","added":"2026-01-02T03:04:05Z"}`,
		"an unknown field": `{"v":1,"address":"a@local.test","targets":["b@local.test"],"from":"anyone","secret":true,"added":"2026-01-02T03:04:05Z"}`,
		"an unknown rule":  `{"v":1,"address":"a@local.test","targets":["b@local.test"],"from":"everyone","added":"2026-01-02T03:04:05Z"}`,
		"a bad target":     `{"v":1,"address":"a@local.test","targets":["b"],"from":"anyone","added":"2026-01-02T03:04:05Z"}`,
		"something more":   `{"v":1,"address":"a@local.test","targets":["b@local.test"],"from":"anyone","added":"2026-01-02T03:04:05Z"}{}`,
	} {
		st := mem.New()
		ref := AliasRef(address(t, "a@local.test"))
		_, err := st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: ref.storeKey(), Value: []byte(value)}}}, store.Durable)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		r, err := Open(ctx, st, Options{Limits: DefaultLimits(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		s := r.State()
		if d := s.Damaged(); len(d) != 1 || d[0].Ref != ref || d[0].Ref.Name() != "a@local.test" || d[0].Why == "" || s.Aliases() != nil || !s.Has(ref) {
			t.Errorf("%s: %v, %v", what, d, s.Aliases())
		}
		if !strings.Contains(log.String(), "cannot be read") {
			t.Errorf("%s: nothing was said", what)
		}
		all, err := s.Export()
		if back, importErr := Import(all); err != nil || importErr != nil || !slices.Equal(back.Damaged(), s.Damaged()) {
			t.Errorf("%s: the damage was lost on the way", what)
		}
		change(t, r, Edit{Put: []Entry{Delegate{directory.Delegate{Account: alice, Address: alice}, time.Time{}}}})
		if len(r.State().Damaged()) != 1 {
			t.Errorf("%s: another change healed it", what)
		}
		if s := change(t, r, Edit{Remove: []Ref{ref}}); s.Damaged() != nil || open(t, st).State().Damaged() != nil {
			t.Errorf("%s: it cannot be removed", what)
		}
	}
	st := mem.New()
	_, err := st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(prefixAll + "list/x"), Value: []byte("{}")}}}, store.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, st, Options{Limits: DefaultLimits()}); err == nil || !strings.Contains(err.Error(), `the kind "list", which this release does not know`) {
		t.Errorf("an entry of the future: %v", err)
	}
	if _, err := Import([]Stored{{Kind: "list"}}); err == nil {
		t.Error("an entry of the future is imported")
	}
}

// Two processes on one store: each change is made on what the other left, and is
// seen by the other.
func TestTwoWriters(t *testing.T) {
	st := mem.New()
	a, b := open(t, st), open(t, st)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	all := entries(t)
	change(t, a, Edit{Put: all[:2]})
	for len(b.State().Domains()) != 2 {
		<-b.Watch()
	}
	cancel()
	<-done
	change(t, b, Edit{Remove: []Ref{all[0].Ref()}})
	seen := 0
	s, err := a.Change(context.Background(), Change{Plan: func(before *State) (Edit, error) {
		seen++
		if before.Has(all[0].Ref()) && seen > 1 {
			t.Error("a change was planned on what is gone")
		}
		return Edit{Put: all[2:3]}, nil
	}, Check: anything})
	if err != nil || seen != 2 || len(s.Domains()) != 1 || s.Revision() != 3 {
		t.Errorf("%d plans: %v, %v", seen, err, s)
	}
}

func TestAChangeCanBeGivenUp(t *testing.T) {
	r := open(t, mem.New())
	ctx, cancel := context.WithCancel(context.Background())
	holding, release := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = r.Change(context.Background(), Change{Check: anything, Plan: func(*State) (Edit, error) {
			close(holding)
			<-release
			return Edit{}, nil
		}})
	}()
	<-holding
	cancel()
	if _, err := r.Change(ctx, planned(Edit{})); !errors.Is(err, context.Canceled) {
		t.Errorf("a change that waits for another: %v", err)
	}
	close(release)
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range entries(f) {
		value, err := e.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(e.Ref().storeKey()), value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		ref, err := refOf([]byte(key))
		if err != nil {
			return
		}
		e, err := decodeEntry(ref, value)
		if err != nil {
			return
		}
		again, err := e.encode()
		if err != nil || e.Ref() != ref {
			t.Fatalf("%q: %v, %v", value, e.Ref(), err)
		}
		if back, err := decodeEntry(ref, again); err != nil || back.Ref() != ref {
			t.Fatalf("%q was read from %q and is not read again: %v", again, value, err)
		}
	})
}
