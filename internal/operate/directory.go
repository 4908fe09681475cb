package operate

import (
	"context"
	"net/http"

	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// handleDirectory serves what changes and lists the directory.
func handleDirectory(mux *http.ServeMux, op *Operator) {
	answer(mux, "domain.add", op.DomainAdd)
	listing(mux, "domain.ls", op.DomainList)
	answer(mux, "domain.rm", op.DomainRemove)
	answer(mux, "alias.add", op.AliasAdd)
	listing(mux, "alias.ls", op.AliasList)
	answer(mux, "alias.rm", op.AliasRemove)
	answer(mux, "forward.add", op.ForwardAdd)
	listing(mux, "forward.ls", op.ForwardList)
	answer(mux, "forward.rm", op.ForwardRemove)
	answer(mux, "delegate.add", op.DelegateAdd)
	listing(mux, "delegate.ls", op.DelegateList)
	answer(mux, "delegate.rm", op.DelegateRemove)
	listing(mux, "directory.stored", op.DirectoryStored)
}

// DirectoryStored calls fn for each entry of the roster as it is stored, so that
// another configuration can be judged beside it.
func (op *Operator) DirectoryStored(_ context.Context, _ Caller, _ struct{}, fn func(roster.Stored) error) error {
	all, err := op.o.Book.Entries().Export()
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// DirectoryStored calls Operator.DirectoryStored.
func (c *Client) DirectoryStored(ctx context.Context, fn func(roster.Stored) error) error {
	return stream(ctx, c, "directory.stored", struct{}{}, fn)
}

// Stored returns what is stored of the directory: its entries and the accounts.
func (c *Client) Stored(ctx context.Context) (entries []roster.Stored, accounts []mail.Address, err error) {
	err = c.DirectoryStored(ctx, func(e roster.Stored) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	err = c.AccountList(ctx, func(a Account) error {
		address, err := mail.ParseAddress(a.Address, mail.UTF8)
		accounts = append(accounts, address)
		return err
	})
	return entries, accounts, err
}

// DomainAdd calls Operator.DomainAdd.
func (c *Client) DomainAdd(ctx context.Context, r DomainAdd) (Domain, error) {
	return call[Domain](ctx, c, "domain.add", r)
}

// DomainList calls Operator.DomainList.
func (c *Client) DomainList(ctx context.Context, fn func(Domain) error) error {
	return stream(ctx, c, "domain.ls", struct{}{}, fn)
}

// DomainRemove calls Operator.DomainRemove.
func (c *Client) DomainRemove(ctx context.Context, r DomainRemove) (Changed, error) {
	return call[Changed](ctx, c, "domain.rm", r)
}

// AliasAdd calls Operator.AliasAdd.
func (c *Client) AliasAdd(ctx context.Context, r AliasAdd) (Alias, error) {
	return call[Alias](ctx, c, "alias.add", r)
}

// AliasList calls Operator.AliasList.
func (c *Client) AliasList(ctx context.Context, fn func(Alias) error) error {
	return stream(ctx, c, "alias.ls", struct{}{}, fn)
}

// AliasRemove calls Operator.AliasRemove.
func (c *Client) AliasRemove(ctx context.Context, r AliasRemove) (Changed, error) {
	return call[Changed](ctx, c, "alias.rm", r)
}

// ForwardAdd calls Operator.ForwardAdd.
func (c *Client) ForwardAdd(ctx context.Context, r ForwardAdd) (Forward, error) {
	return call[Forward](ctx, c, "forward.add", r)
}

// ForwardList calls Operator.ForwardList.
func (c *Client) ForwardList(ctx context.Context, fn func(Forward) error) error {
	return stream(ctx, c, "forward.ls", struct{}{}, fn)
}

// ForwardRemove calls Operator.ForwardRemove.
func (c *Client) ForwardRemove(ctx context.Context, r ForwardRemove) (Changed, error) {
	return call[Changed](ctx, c, "forward.rm", r)
}

// DelegateAdd calls Operator.DelegateAdd.
func (c *Client) DelegateAdd(ctx context.Context, r DelegateChange) (Delegate, error) {
	return call[Delegate](ctx, c, "delegate.add", r)
}

// DelegateList calls Operator.DelegateList.
func (c *Client) DelegateList(ctx context.Context, r DelegateSelect, fn func(Delegate) error) error {
	return stream(ctx, c, "delegate.ls", r, fn)
}

// DelegateRemove calls Operator.DelegateRemove.
func (c *Client) DelegateRemove(ctx context.Context, r DelegateChange) (Changed, error) {
	return call[Changed](ctx, c, "delegate.rm", r)
}
