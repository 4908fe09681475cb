package review

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds what is kept.
type Limits struct {
	PerAccount int           // names of one account, each at each place; more are counted together
	All        int           // of all accounts together
	Write      time.Duration // how often the count of one name that is refused is written
}

// DefaultLimits returns the bounds of a server that was told nothing.
func DefaultLimits() Limits {
	return Limits{PerAccount: 200, All: 10_000, Write: time.Minute}
}

// Options of Findings; all are needed.
type Options struct {
	Limits Limits
	Now    func() time.Time
	Logger *slog.Logger
}

// Findings are all that was seen and not forgotten. All methods may be called concurrently.
type Findings struct {
	st store.Store
	o  Options

	mu    sync.Mutex
	by    map[string]map[string]*kept // by the account's key, and then by their own
	count int                         // of those with a name
}

// kept is a finding, and when it was last written.
type kept struct {
	Finding
	written time.Time
}

// Open reads the findings. One that cannot be read is told and left alone.
func Open(ctx context.Context, st store.Store, o Options) (*Findings, error) {
	f := &Findings{st: st, o: o, by: map[string]map[string]*kept{}}
	err := st.Scan(ctx, store.SpaceBinding.All(), func(k, v []byte) (bool, error) {
		found, err := decode(v)
		if err != nil || string(found.key()) != string(k) {
			o.Logger.Error("a finding of sender binding cannot be read", "key", mail.Printable(string(k), mail.ReplyShown), "err", err)
			return true, nil
		}
		f.add(&kept{Finding: found})
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("review: reading the findings: %w", err)
	}
	return f, nil
}

func (f *Findings) add(k *kept) {
	account := k.Account.Key()
	if f.by[account] == nil {
		f.by[account] = map[string]*kept{}
	}
	f.by[account][string(k.key())] = k
	if k.Name != "" {
		f.count++
	}
}

// NameOf is how a name is kept: whole where it is ours; else its domain alone, since whom an
// account wanted to be there concerns nobody here, and there may be any number of them.
func NameOf(a mail.Address, ours bool) string {
	if ours {
		return a.Key()
	}
	if a.Domain().IsZero() {
		return "@an address literal"
	}
	return "@" + a.Domain().ASCII()
}

// Used counts the names that a message used, each once, and returns what is to become durable
// with the message where it was taken, or by Keep where it was refused.
func (f *Findings) Used(account mail.Address, taken bool, ours func(mail.Domain) bool, uses ...bind.Use) []store.Mutation {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.o.Now().UTC()
	var out []store.Mutation
	seen := map[*kept]bool{}
	for _, u := range uses {
		d := u.Address.Domain()
		k := f.find(Finding{Account: account, Name: NameOf(u.Address, !d.IsZero() && ours(d)), Where: u.Where, First: now})
		if seen[k] {
			continue
		}
		seen[k] = true
		k.Last = now
		if taken {
			k.Taken++
		} else {
			k.Refused++
		}
		if since := now.Sub(k.written); !taken && since >= 0 && since < f.o.Limits.Write {
			continue // whoever tries again and again must not keep the disk busy
		}
		k.written = now
		out = append(out, store.Mutation{Key: k.key(), Value: k.encode()})
	}
	return out
}

// find returns what is kept of a name, or begins it; where there is no room, what stands for
// all others of the account.
func (f *Findings) find(n Finding) *kept {
	all := f.by[n.Account.Key()]
	if k := all[string(n.key())]; k != nil {
		return k
	}
	if len(all) >= f.o.Limits.PerAccount || f.count >= f.o.Limits.All {
		n.Name, n.Where = "", bind.Nowhere
		if k := all[string(n.key())]; k != nil {
			return k
		}
	}
	k := &kept{Finding: n}
	f.add(k)
	return k
}

// Keep writes by itself what a message would have been made durable with. That it could not
// is told and no more: the refusal itself stands in the trace.
func (f *Findings) Keep(ctx context.Context, all []store.Mutation) {
	if len(all) == 0 {
		return
	}
	if _, err := f.st.Apply(context.WithoutCancel(ctx), store.Tx{Mutations: all}, store.Lazy); err != nil {
		f.o.Logger.Warn("a finding of sender binding was not written", "err", err)
	}
}

// List returns the findings of an account, or with the zero Address of all, in order of
// account, name and place.
func (f *Findings) List(account mail.Address) (out []Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, all := range f.by {
		if !account.IsZero() && key != account.Key() {
			continue
		}
		for _, k := range all {
			out = append(out, k.Finding)
		}
	}
	slices.SortFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Account.Key(), b.Account.Key()), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Where, b.Where))
	})
	return out
}

// forgetAtOnce is how many findings one transaction removes.
const forgetAtOnce = 4096

// Forget forgets the findings of an account, or with the zero Address all, and returns how
// many there were; the facts are committed with the first. Those that do not read go as well.
func (f *Findings) Forget(ctx context.Context, account mail.Address, facts ...[]byte) (n int, err error) {
	share, err := f.dropping(ctx, account)
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(share.Mutations, forgetAtOnce) {
		if _, err := f.st.Apply(ctx, store.Tx{Mutations: part, Facts: facts}, store.Durable); err != nil {
			return n, fmt.Errorf("review: forgetting findings: %w", err)
		}
		n, facts = n+len(part), nil
	}
	f.drop(account)
	return n, nil
}

// Dropping plans to forget the findings of an account, in the act by which it goes or comes.
func (f *Findings) Dropping(account mail.Address) store.Planner {
	return func(ctx context.Context) (store.Share, error) { return f.dropping(ctx, account) }
}

// Clearing plans what the end of an account's incident means here: names that it first used since the incident
// began may be a thief's, and are forgotten, unless a person vouched that nothing was wrong.
func (f *Findings) Clearing(account mail.Address, since time.Time, vouched bool) store.Planner {
	return func(context.Context) (s store.Share, err error) {
		if vouched {
			return s, nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		var gone []*kept
		for _, k := range f.by[account.Key()] {
			if !k.First.Before(since) {
				gone = append(gone, k)
				s.Mutations = append(s.Mutations, store.Mutation{Key: k.key(), Delete: true})
			}
		}
		s.Done = func(err error) error {
			if err == nil {
				f.dropThese(gone)
			}
			return nil
		}
		return s, nil
	}
}

// dropThese forgets findings that are still what they were.
func (f *Findings) dropThese(gone []*kept) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range gone {
		all := f.by[k.Account.Key()]
		if all[string(k.key())] != k {
			continue
		}
		delete(all, string(k.key()))
		if k.Name != "" {
			f.count--
		}
	}
}

func (f *Findings) dropping(ctx context.Context, account mail.Address) (s store.Share, err error) {
	of := store.SpaceBinding.All()
	if !account.IsZero() {
		of = store.Prefix(store.SpaceBinding.Key([]byte(account.Key()), []byte{0}))
	}
	err = f.st.Scan(ctx, of, func(k, _ []byte) (bool, error) {
		s.Mutations = append(s.Mutations, store.Mutation{Key: slices.Clone(k), Delete: true})
		return true, nil
	})
	if err != nil {
		return store.Share{}, fmt.Errorf("review: reading the findings: %w", err)
	}
	s.Done = func(err error) error {
		if err == nil {
			f.drop(account)
		}
		return nil
	}
	return s, nil
}

func (f *Findings) drop(account mail.Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, all := range f.by {
		if !account.IsZero() && key != account.Key() {
			continue
		}
		for _, k := range all {
			if k.Name != "" {
				f.count--
			}
		}
		delete(f.by, key)
	}
}
