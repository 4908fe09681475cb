package book

import (
	"context"
	"errors"
	"sync"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Change is one change of the entries.
type Change struct {
	DryRun bool // judges, and changes nothing
	// Accounts are those that there will be, made of those that there are, where the act of
	// which this is a share changes them; nil: the same.
	Accounts func([]mail.Address) []mail.Address
	// Plan says what to change of the entries that stand. It may be called again.
	Plan func(before *roster.State) (roster.Edit, error)
}

// Refused is a change that the directory as a whole does not bear.
type Refused struct{ Faults directory.Faults }

// Error returns one line for each fault.
func (r *Refused) Error() string {
	text := ""
	for i, f := range r.Faults {
		if i > 0 {
			text += "\n"
		}
		text += f.Text
	}
	return text
}

// Unwrap returns the faults.
func (r *Refused) Unwrap() error { return r.Faults }

// Changing is held by who changes accounts, so that no change of entries judges what they
// is about to replace.
func (b *Book) Changing() sync.Locker { return &b.changing }

// Change carries out one change of the entries, and publishes it. One that only removes
// may leave a directory that does not stand, if nothing about it gets worse: that is how
// it is mended. The error is a *Refused, or one of Plan, of package roster or of the store.
func (b *Book) Change(ctx context.Context, c Change) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	_, err := b.o.Roster.Change(ctx, b.judged(c))
	if err != nil || c.DryRun {
		return err
	}
	return b.Publish(ctx)
}

// Planned is a change of the entries as a share in an act of several rooms, for who holds
// Changing and publishes what the act has changed.
func (b *Book) Planned(c Change) store.Planner { return b.o.Roster.Planned(b.judged(c)) }

// judged is a change of the roster with the judgement of the whole directory.
func (b *Book) judged(c Change) roster.Change {
	removes := false
	var edit roster.Edit
	return roster.Change{
		DryRun: c.DryRun,
		Plan: func(before *roster.State) (roster.Edit, error) {
			e, err := c.Plan(before)
			removes, edit = len(e.Put) == 0 && c.Accounts == nil, e
			return e, err
		},
		Check: func(ctx context.Context, before, after *roster.State) error {
			if b.stepped(before, after, edit, c.Accounts) {
				return nil
			}
			err := b.anew(ctx, after, c.Accounts)
			if err != nil && removes && b.noWorse(ctx, before, err) {
				return nil
			}
			var faults directory.Faults
			if errors.As(err, &faults) {
				return &Refused{faults}
			}
			return err
		},
	}
}

// stepped reports whether the directory that stands and was proven stands with an edit, and is
// closed, by what the edit touches. False: only the whole can tell.
func (b *Book) stepped(before, after *roster.State, e roster.Edit, become func([]mail.Address) []mail.Address) bool {
	b.state.Lock()
	defer b.state.Unlock()
	if !b.made.of(before, b.o.Accounts.Changes()) {
		return false
	}
	next, ok := b.made.withEntries(b.stated, before, after, e, become)
	if ok {
		b.pending = next
	}
	return ok
}

// anew is wouldBe for a change. What it came to counts as proven when the change is made, so that
// the next one is judged by what it touches.
func (b *Book) anew(ctx context.Context, after *roster.State, become func([]mail.Address) []mail.Address) error {
	changes := b.o.Accounts.Changes()
	j, st, err := b.judgement(ctx, after, become)
	if err != nil {
		return err
	}
	b.state.Lock()
	defer b.state.Unlock()
	b.pending = madeOf(j, st, after, changes)
	return nil
}

// wouldBe says what would be wrong with the directory if the entries were s, and whom it
// would let relay. become makes the accounts of then of those of now.
func (b *Book) wouldBe(ctx context.Context, s *roster.State, become func([]mail.Address) []mail.Address) error {
	_, _, err := b.judgement(ctx, s, become)
	return err
}

func (b *Book) judgement(ctx context.Context, s *roster.State, become func([]mail.Address) []mail.Address) (Judged, Stated, error) {
	st, addresses, err := b.standing(ctx, b.Stated())
	if err != nil {
		return Judged{}, st, err
	}
	if become != nil {
		addresses = become(addresses)
	}
	j, err := st.judge(s, b.Entries(), addresses)
	return j, st, err
}

// noWorse reports whether every fault is one that stands already.
func (b *Book) noWorse(ctx context.Context, before *roster.State, after error) bool {
	var now, then directory.Faults
	if !errors.As(after, &then) || !errors.As(b.wouldBe(ctx, before, nil), &now) {
		return false
	}
	known := map[string]bool{}
	for _, f := range now {
		known[f.Text] = true
	}
	for _, f := range then {
		if !known[f.Text] {
			return false
		}
	}
	return true
}
