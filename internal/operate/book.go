package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

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

// changeEntries carries out one change of the entries.
func (op *Operator) changeEntries(ctx context.Context, c book.Change) error {
	var refused *book.Refused
	err := op.o.Book.Change(ctx, c)
	if errors.As(err, &refused) {
		return &Error{CodeInvalid, refused.Error()}
	}
	return err
}

// notStated refuses to touch what the configuration states.
func (op *Operator) notStated(s directory.Subject) error {
	if at, ok := op.o.Book.Stated().Where(s); ok {
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
	return fact.DirectoryChanged{At: op.o.Now(), Rule: RuleOperator, Name: name, Change: kind.String() + " " + done, Evidence: doneBy(by)}
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
	case roster.Contact:
		return op.contactFact(by, e, "removed")
	}
	return op.directoryFact(by, e.Ref().Kind, e.Ref().Name(), "removed").Fact()
}

// parseOurs reads an address of ours, its local-part folded as the mailbox is.
func parseOurs(text string) (mail.Address, error) { return parseAccount(text) }

func (op *Operator) addedNow() time.Time { return op.o.Now().UTC() }
