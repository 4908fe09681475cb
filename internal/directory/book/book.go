package book

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// Accounts is what a Book needs of package accounts.
type Accounts interface {
	List(ctx context.Context) ([]accounts.Account, error)
	Aliases(ctx context.Context) ([]accounts.Alias, error)
	Watch() <-chan struct{}
	// Changes grows with every change of what List and Aliases return.
	Changes() uint64
}

// Options are what a Book is made of.
type Options struct {
	Accounts Accounts
	Roster   *roster.Roster
	// Learn is told of all accounts before a directory with them is published; nil: nobody
	// is told.
	Learn func(accounts []mail.Address)
	// Serving reports whether a server runs on the directory. While none does, a
	// directory that is being mended need not stand after each step.
	Serving func() bool
	Logger  *slog.Logger
}

// Book is the directory as it stands. It is safe for concurrent use.
type Book struct {
	o Options
	// changing is held while accounts or entries change, so that neither judges what the
	// other is about to replace. It is taken before state.
	changing sync.Mutex

	current atomic.Pointer[directory.Snapshot]
	state   sync.Mutex // held while accounts and entries are read and become the snapshot
	stated  Stated
	fault   error // why no directory stands that a server could be run on
	made    *made // what the snapshot was made of; nil: it does not stand, or is not proven yet
	pending *made // what a change came to that is not published yet; nil: none
}

// New returns a Book without a directory; Build makes the first one.
func New(o Options) *Book { return &Book{o: o} }

// Snapshot returns the directory in force. Whoever needs several answers that go together
// takes it once and keeps it. It is nil until the first Build was adopted.
func (b *Book) Snapshot() *directory.Snapshot { return b.current.Load() }

// Entries returns the entries that commands added.
func (b *Book) Entries() *roster.State { return b.o.Roster.State() }

// Stated returns what the configuration in force states.
func (b *Book) Stated() Stated {
	b.state.Lock()
	defer b.state.Unlock()
	return b.stated
}

// External reports whether forwards may leave.
func (b *Book) External() bool { return b.Stated().Config.ForwardExternal }

// Fault says why the directory does not stand; nil when it does.
func (b *Book) Fault() error {
	b.state.Lock()
	defer b.state.Unlock()
	return b.fault
}

// Next is a directory that was built and is not in force yet. Until it is adopted or
// abandoned, no account and no entry becomes part of any other.
type Next struct {
	book     *Book
	stated   Stated
	fault    error
	snapshot *directory.Snapshot
	made     *made
}

// Build makes the directory of what is stated with the accounts and the entries of now.
// Where they do not go together, it fails; with mend, at a start, the commands that mend
// it shall work all the same: then Next answers nothing, and Fault says why.
func (b *Book) Build(ctx context.Context, st Stated, mend bool) (next *Next, err error) {
	b.state.Lock()
	defer func() {
		if err != nil {
			b.state.Unlock()
		}
	}()
	changes, s := b.o.Accounts.Changes(), b.Entries()
	st, addresses, err := b.standing(ctx, st)
	if err != nil {
		return nil, err
	}
	next = &Next{book: b, stated: st}
	if mend {
		next.snapshot, next.fault = st.make(s, s, addresses) // a start proves it before it serves
	} else {
		var j Judged
		j, next.fault = st.Judge(s, addresses)
		next.snapshot, next.made = j.Snapshot, madeOf(j, st, s, changes)
	}
	switch {
	case next.fault == nil:
		return next, nil
	case !mend:
		return nil, notStanding(next.fault)
	}
	next.fault = notStanding(next.fault)
	// Until it is mended nothing is guessed.
	if next.snapshot, err = directory.Unavailable(st.Config); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	return next, nil
}

func notStanding(err error) error { return fmt.Errorf("the directory does not stand: %w", err) }

// Adopt puts the directory in force.
func (n *Next) Adopt() {
	n.book.stated, n.book.fault, n.book.made = n.stated, n.fault, n.made
	n.book.current.Store(n.snapshot)
	n.book.state.Unlock()
}

// Abandon forgets it; the former one stays.
func (n *Next) Abandon() { n.book.state.Unlock() }

// standing lists every account that receives, as frozen ones do too, and returns what is stated
// with the further addresses that directories elsewhere give them.
func (b *Book) standing(ctx context.Context, st Stated) (Stated, []mail.Address, error) {
	all, err := b.o.Accounts.List(ctx)
	if err != nil {
		return st, nil, err
	}
	further, err := b.o.Accounts.Aliases(ctx)
	if err != nil {
		return st, nil, err
	}
	out := make([]mail.Address, 0, len(all))
	for _, a := range all {
		if a.Receives() {
			out = append(out, a.Address)
		}
	}
	if b.o.Learn != nil {
		b.o.Learn(out)
	}
	st.further = nil
	for _, a := range further {
		st.further = append(st.further, directory.Alias{Address: a.Address, Targets: []mail.Address{a.Account}, Posting: directory.PostingAnyone})
	}
	return st, out, nil
}

// FurtherRefused returns the further addresses of accounts that are somebody else's already, or
// nobody's to have, by what stands now.
func (b *Book) FurtherRefused(ctx context.Context) ([]directory.Alias, error) {
	st, addresses, err := b.standing(ctx, b.Stated())
	if err != nil {
		return nil, err
	}
	_, refused, _ := st.whole(b.Entries(), addresses)
	return refused, nil
}

// refresh makes the snapshot again from the accounts and the entries as they stand, one
// at a time, so that an older state never replaces a newer one. On an error the former
// snapshot stays. What stands already is not made again, and what a change was judged to
// come to is taken as it is; with anew, both are.
func (b *Book) refresh(ctx context.Context, anew bool) error {
	b.state.Lock()
	defer b.state.Unlock()
	changes, s := b.o.Accounts.Changes(), b.Entries()
	switch {
	case anew:
	case b.made.of(s, changes):
		return nil // what is pending may be about to become durable
	case b.pending.of(s, changes):
		b.take(b.pending)
		return nil
	}
	st, addresses, err := b.standing(ctx, b.stated)
	if err != nil {
		return err
	}
	// Accounts changed, or entries and accounts in one act, of which half may be seen so far: what is
	// pending stays until it is taken.
	for _, m := range []*made{b.made, b.pending} {
		if next, ok := m.withAccounts(st, s, addresses, changes); ok && !anew {
			b.take(next)
			return nil
		}
	}
	b.made = nil // the next change is judged as a whole
	next, err := st.make(s, s, addresses)
	if err != nil {
		err = notStanding(err)
	}
	b.fault = err
	if err == nil {
		b.current.Store(next)
	}
	return err
}

// take puts in force what a change of what stands came to. The caller holds state.
func (b *Book) take(next *made) {
	if b.made, b.fault = next, nil; b.pending != nil && b.pending.entries == next.entries {
		b.pending = nil
	}
	b.current.Store(next.snapshot)
}

// Publish makes a change of accounts visible; who made it calls this before the answer.
func (b *Book) Publish(ctx context.Context) error { return b.publish(ctx, false) }

// Renew is Publish for who changed what directories elsewhere list as well.
func (b *Book) Renew(ctx context.Context) error { return b.publish(ctx, true) }

func (b *Book) publish(ctx context.Context, anew bool) error {
	err := b.refresh(ctx, anew)
	if errors.Is(err, directory.ErrConfig) && !b.o.Serving() {
		return nil
	}
	return err
}

// Follow publishes what others change, another node say, until ctx ends.
func (b *Book) Follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.o.Accounts.Watch():
		case <-b.o.Roster.Watch():
		}
		if err := b.refresh(ctx, false); err != nil && ctx.Err() == nil {
			// The former snapshot stays: it knows fewer or more accounts, and every
			// sign-in and claim asks the accounts itself.
			b.o.Logger.Error("the directory could not be rebuilt", "err", err)
		}
	}
}

// Prove proves the directory closed as it stands. A server asks before it binds anything:
// with a witness it does not serve. Where it is closed, changes are proven by what they touch
// from then on.
func (b *Book) Prove(ctx context.Context) (proof.Report, error) {
	b.state.Lock()
	defer b.state.Unlock()
	changes, s := b.o.Accounts.Changes(), b.Entries()
	st, addresses, err := b.standing(ctx, b.stated)
	if err != nil {
		return proof.Report{}, err
	}
	j, err := st.Judge(s, addresses)
	if err == nil && b.fault == nil {
		b.take(madeOf(j, st, s, changes))
	}
	return j.Proof, err
}
