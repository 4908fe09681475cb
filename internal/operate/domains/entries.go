package domains

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
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
func (op *Actions) changeEntries(ctx context.Context, c book.Change) error {
	var refused *book.Refused
	err := op.o.Book.Change(ctx, c)
	if errors.As(err, &refused) {
		return call.Refused(refused.Error())
	}
	return err
}

// notStated refuses to touch what the configuration states.
func (op *Actions) notStated(s directory.Subject) error {
	if at, ok := op.o.Book.Stated().Where(s); ok {
		return call.Exists(fmt.Sprintf("the %s %s is stated in the configuration, %s; change it there", s.Kind, s.Name, at))
	}
	return nil
}

func missing(kind directory.Kind, name string) error {
	return call.NotFound(fmt.Sprintf("there is no %s %s; list them with: sallyport %s ls", kind, name, kind))
}

// directoryFact begins a fact about an entry of the directory; name is the address
// that it is found by.
func (op *Actions) directoryFact(by call.Caller, kind directory.Kind, name, done string) fact.DirectoryChanged {
	return fact.DirectoryChanged{At: op.o.Now(), Rule: fact.RuleOperator, Name: name, Change: kind.String() + " " + done, Evidence: call.DoneBy(by)}
}

// removalFact records that an entry is removed with something else.
func (op *Actions) removalFact(by call.Caller, e roster.Entry) fact.Fact {
	switch e := e.(type) {
	case roster.Alias:
		return op.aliasFact(by, e, e.Targets, "removed")
	case roster.Forward:
		f := op.directoryFact(by, directory.KindForward, e.Account.String(), "removed")
		f.Targets = call.Texts(e.Targets)
		return f.Fact()
	case roster.Delegate:
		return op.delegateFact(by, e, "removed")
	case roster.Contact:
		return op.contactFact(by, e, "removed")
	}
	return op.directoryFact(by, e.Ref().Kind, e.Ref().Name(), "removed").Fact()
}

func (op *Actions) addedNow() time.Time { return op.o.Now().UTC() }

// Hosting returns our own name, and the names of our domains.
func (op *Actions) Hosting() (hostname string, domains []string) {
	s := op.o.Book.Snapshot()
	for _, d := range s.Domains() {
		domains = append(domains, d.Name.ASCII())
	}
	return s.Hostname().ASCII(), domains
}

// Hostname returns our own name, as a book says at any time.
func Hostname(b *Book) func() string {
	return func() string { return b.Snapshot().Hostname().ASCII() }
}

// Ours reports whether a domain is ours, as a book says at any time.
func Ours(b *Book) func(mail.Domain) bool {
	return func(d mail.Domain) bool { return b.Snapshot().IsOurs(d) }
}

// NotTheirs names the first most of the further addresses that directories give to accounts and that are
// somebody else's, or nobody's to have.
func (op *Actions) NotTheirs(ctx context.Context, most int) (refused []string, err error) {
	aliases, err := op.o.Book.FurtherRefused(ctx)
	for _, a := range aliases[:min(len(aliases), most)] {
		refused = append(refused, a.Address.String()+" of "+a.Targets[0].String())
	}
	return refused, err
}

func joinAddresses(addresses []mail.Address) string { return strings.Join(call.Texts(addresses), ", ") }
