package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Roster is what an Operator needs of package roster.
type Roster interface {
	State() *roster.State
	Change(ctx context.Context, c roster.Change) (*roster.State, error)
	Planned(c roster.Change) store.Planner
}

// Book is the directory as operators change it. What the configuration states is
// read only here; all else is in the roster.
type Book struct {
	Roster Roster
	// Judge says what would be wrong with the whole directory if the roster were s.
	Judge func(ctx context.Context, s *roster.State) error
	// Stated says where the configuration states an entry, as "file:line:column";
	// false where it does not.
	Stated func(s directory.Subject) (where string, ok bool)
	// Domains and Aliases are those that the configuration states.
	Domains func() []Domain
	Aliases func() []directory.Alias
	// External reports whether forwards may leave.
	External func() bool
	// Deliver reads a way of delivery and writes it as the configuration has it.
	Deliver func(text string) (string, error)
}

// Origins of an entry of the directory.
const (
	OriginConfiguration = "configuration"
	OriginCommand       = "command"
)

// Changed says what a change of the directory did, or would do.
type Changed struct {
	Done   []string `json:"done"` // one line for each entry that was added or removed
	DryRun bool     `json:"dry_run,omitempty"`
}

// entryChange is one change of the roster by an operator.
type entryChange struct {
	dryRun bool
	plan   func(before *roster.State) (roster.Edit, error)
}

// changeRoster carries out one change. One that only removes may leave a directory
// that does not stand, if nothing about it gets worse: that is how it is mended.
// Changes of accounts and of the roster follow one another, so that neither judges
// what the other is about to replace.
func (op *Operator) changeRoster(ctx context.Context, c entryChange) error {
	op.directory.Lock()
	defer op.directory.Unlock()
	return op.changeHeld(ctx, c)
}

// changeHeld is changeRoster for who holds op.directory already.
func (op *Operator) changeHeld(ctx context.Context, c entryChange) error {
	_, err := op.o.Book.Roster.Change(ctx, op.judged(c))
	if err != nil || c.dryRun {
		return err
	}
	return op.changed(ctx)
}

// judged is a change of the roster with the check of the whole directory.
func (op *Operator) judged(c entryChange) roster.Change {
	removes := false
	return roster.Change{
		DryRun: c.dryRun,
		Plan: func(before *roster.State) (roster.Edit, error) {
			e, err := c.plan(before)
			removes = len(e.Put) == 0
			return e, err
		},
		Check: func(ctx context.Context, before, after *roster.State) error {
			err := op.o.Book.Judge(ctx, after)
			if err != nil && removes && op.noWorse(ctx, before, err) {
				return nil
			}
			return refusal(err)
		},
	}
}

// noWorse reports whether every fault is one that stands already.
func (op *Operator) noWorse(ctx context.Context, before *roster.State, after error) bool {
	var now, then directory.Faults
	if !errors.As(after, &then) || !errors.As(op.o.Book.Judge(ctx, before), &now) {
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

// refusal is an error of the would-be directory as an operator reads it.
func refusal(err error) error {
	var faults directory.Faults
	if !errors.As(err, &faults) {
		return err
	}
	text := ""
	for i, f := range faults {
		if i > 0 {
			text += "\n"
		}
		text += f.Text
	}
	return &Error{CodeInvalid, text}
}

// notStated refuses to touch what the configuration states.
func (op *Operator) notStated(s directory.Subject) error {
	if at, ok := op.o.Book.Stated(s); ok {
		return &Error{CodeExists, fmt.Sprintf("the %s %s is stated in the configuration, %s; change it there", s.Kind, s.Name, at)}
	}
	return nil
}

func missing(kind directory.Kind, name string) error {
	return &Error{CodeNotFound, fmt.Sprintf("there is no %s %s; list them with: sallyport %s ls", kind, name, kind)}
}

// directoryFact begins a fact about an entry of the directory; name is the address
// that it is found by.
func (op *Operator) directoryFact(by Caller, kind directory.Kind, name, done string) fact.DirectoryChanged {
	return fact.DirectoryChanged{At: op.o.Now(), Rule: ruleOperator, Name: name, Change: kind.String() + " " + done, Evidence: doneBy(by)}
}

// removalFact records that an entry is removed with something else.
func (op *Operator) removalFact(by Caller, e roster.Entry) fact.Fact {
	switch e := e.(type) {
	case roster.Alias:
		return op.aliasFact(by, e, e.Targets, "removed")
	case roster.Forward:
		f := op.directoryFact(by, directory.KindForward, e.Account.String(), "removed")
		f.Targets = texts(e.Targets)
		return f.Fact()
	case roster.Delegate:
		return op.delegateFact(by, e, "removed")
	}
	return op.directoryFact(by, e.Ref().Kind, e.Ref().Name(), "removed").Fact()
}

// parseOurs reads an address of ours, its local-part folded as the mailbox is.
func parseOurs(text string) (mail.Address, error) { return parseAccount(text) }

func (op *Operator) addedNow() time.Time { return op.o.Now().UTC() }
