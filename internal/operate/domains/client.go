package domains

import (
	"context"

	"sallyport/internal/directory/roster"
	"sallyport/internal/operate/call"
)

// DirectoryStored calls fn for each entry of the roster as it is stored, so that
// another configuration can be judged beside it.
func (op *Actions) DirectoryStored(_ context.Context, _ call.Caller, _ struct{}, fn func(roster.Stored) error) error {
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

// Stored is an entry of the directory as it is stored.
type Stored = roster.Stored

// DirectoryStored calls Actions.DirectoryStored.
func (c Client) DirectoryStored(ctx context.Context, fn func(roster.Stored) error) error {
	return call.Stream(ctx, c.Client, "directory.stored", struct{}{}, fn)
}

// DomainAdd calls Actions.DomainAdd.
func (c Client) DomainAdd(ctx context.Context, r DomainAdd) (Domain, error) {
	return call.Do[Domain](ctx, c.Client, "domain.add", r)
}

// DomainList calls Actions.DomainList.
func (c Client) DomainList(ctx context.Context, fn func(Domain) error) error {
	return call.Stream(ctx, c.Client, "domain.ls", struct{}{}, fn)
}

// DomainRemove calls Actions.DomainRemove.
func (c Client) DomainRemove(ctx context.Context, r DomainRemove) (Changed, error) {
	return call.Do[Changed](ctx, c.Client, "domain.rm", r)
}

// AliasAdd calls Actions.AliasAdd.
func (c Client) AliasAdd(ctx context.Context, r AliasAdd) (Alias, error) {
	return call.Do[Alias](ctx, c.Client, "alias.add", r)
}

// AliasList calls Actions.AliasList.
func (c Client) AliasList(ctx context.Context, fn func(Alias) error) error {
	return call.Stream(ctx, c.Client, "alias.ls", struct{}{}, fn)
}

// AliasRemove calls Actions.AliasRemove.
func (c Client) AliasRemove(ctx context.Context, r AliasRemove) (Changed, error) {
	return call.Do[Changed](ctx, c.Client, "alias.rm", r)
}

// ForwardAdd calls Actions.ForwardAdd.
func (c Client) ForwardAdd(ctx context.Context, r ForwardAdd) (Forward, error) {
	return call.Do[Forward](ctx, c.Client, "forward.add", r)
}

// ForwardList calls Actions.ForwardList.
func (c Client) ForwardList(ctx context.Context, fn func(Forward) error) error {
	return call.Stream(ctx, c.Client, "forward.ls", struct{}{}, fn)
}

// ForwardRemove calls Actions.ForwardRemove.
func (c Client) ForwardRemove(ctx context.Context, r ForwardRemove) (Changed, error) {
	return call.Do[Changed](ctx, c.Client, "forward.rm", r)
}

// DelegateAdd calls Actions.DelegateAdd.
func (c Client) DelegateAdd(ctx context.Context, r DelegateChange) (Delegate, error) {
	return call.Do[Delegate](ctx, c.Client, "delegate.add", r)
}

// DelegateList calls Actions.DelegateList.
func (c Client) DelegateList(ctx context.Context, r DelegateSelect, fn func(Delegate) error) error {
	return call.Stream(ctx, c.Client, "delegate.ls", r, fn)
}

// DelegateRemove calls Actions.DelegateRemove.
func (c Client) DelegateRemove(ctx context.Context, r DelegateChange) (Changed, error) {
	return call.Do[Changed](ctx, c.Client, "delegate.rm", r)
}
