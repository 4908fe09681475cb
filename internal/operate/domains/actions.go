package domains

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/signing"
)

// Book is the directory in force.
type Book = book.Book

// HowBound says how senders are bound.
type HowBound = func() bind.Mode

// Options are what Actions act on. All are needed but Reaches, Gone and ContactReplaced.
type Options struct {
	Book *book.Book
	// Account says whether there is an account, which is an error where there is none, and whether it
	// is active; Accounts are the addresses of all.
	Account  func(mail.Address) (active bool, err error)
	Accounts func(context.Context) ([]mail.Address, error)
	// Binding says how senders are bound, and Findings keeps what was met while binding only
	// reports.
	Binding  HowBound
	Findings Findings
	Signing  *signing.Actions
	// Queued counts what is queued for a domain, and HoldDomain holds it.
	Queued     func(context.Context, mail.Domain) (int, error)
	HoldDomain func(context.Context, call.Caller, mail.Domain) error
	// Reaches is told that an account reaches others from now on, by whosever wish; nil: nobody is.
	Reaches func(ctx context.Context, account mail.Address, what string)
	// Gone is told that an address of ours leads to nobody any more; nil: nobody is.
	Gone func(ctx context.Context, a mail.Address)
	// ContactReplaced is told that a former contact waits to be told; nil: nobody is. It must
	// not block.
	ContactReplaced func()
	Now             func() time.Time
}

// Actions are what an operator can do with domains and addresses.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Explain says what kind of failure an error of the directory is; nil: it is none of its.
func Explain(err error) *call.Error {
	var refused *book.Refused
	switch {
	case errors.As(err, &refused):
		return call.Refused(refused.Error())
	case errors.Is(err, roster.ErrNoSuch):
		return call.Of(call.CodeNotFound, err)
	case errors.Is(err, roster.ErrFull):
		return call.Of(call.CodeInvalid, err)
	}
	return nil
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Answer(routes, "domain.add", op.DomainAdd)
	call.Listing(routes, "domain.ls", op.DomainList)
	call.Answer(routes, "domain.rm", op.DomainRemove)
	call.Answer(routes, "alias.add", op.AliasAdd)
	call.Listing(routes, "alias.ls", op.AliasList)
	call.Answer(routes, "alias.rm", op.AliasRemove)
	call.Answer(routes, "forward.add", op.ForwardAdd)
	call.Listing(routes, "forward.ls", op.ForwardList)
	call.Answer(routes, "forward.rm", op.ForwardRemove)
	call.Answer(routes, "delegate.add", op.DelegateAdd)
	call.Listing(routes, "delegate.ls", op.DelegateList)
	call.Answer(routes, "delegate.rm", op.DelegateRemove)
	call.Listing(routes, "directory.stored", op.DirectoryStored)
	call.Listing(routes, "binding.ls", op.BindingList)
	call.Answer(routes, "binding.grant", op.BindingGrant)
	call.Answer(routes, "binding.forget", op.BindingForget)
}
