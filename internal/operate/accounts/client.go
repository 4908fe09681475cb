package accounts

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/domains"
)

// Client calls the actions.
type Client struct{ *call.Client }

// AccountAdd calls Actions.AccountAdd.
func (c Client) AccountAdd(ctx context.Context, r AccountAdd) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.add", r)
}

// AccountPassword calls Actions.AccountPassword.
func (c Client) AccountPassword(ctx context.Context, r AccountPassword) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.passwd", r)
}

// AccountFreeze calls Actions.AccountFreeze.
func (c Client) AccountFreeze(ctx context.Context, r AccountReason) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.freeze", r)
}

// AccountSet calls Actions.AccountSet.
func (c Client) AccountSet(ctx context.Context, r AccountSet) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.set", r)
}

// AccountThaw calls Actions.AccountThaw.
func (c Client) AccountThaw(ctx context.Context, r call.AccountRef) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.thaw", r)
}

// AccountRemove calls Actions.AccountRemove.
func (c Client) AccountRemove(ctx context.Context, r call.AccountRef) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.rm", r)
}

// AccountRename calls Actions.AccountRename.
func (c Client) AccountRename(ctx context.Context, r AccountRename) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.rename", r)
}

// AccountShow calls Actions.AccountShow.
func (c Client) AccountShow(ctx context.Context, r call.AccountRef) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.show", r)
}

// AccountList calls Actions.AccountList.
func (c Client) AccountList(ctx context.Context, fn func(Account) error) error {
	return call.Stream(ctx, c.Client, "account.ls", struct{}{}, fn)
}

// Stored returns what is stored of the directory: its entries and the accounts.
func (c Client) Stored(ctx context.Context) (entries []domains.Stored, accounts []mail.Address, err error) {
	err = domains.Client{Client: c.Client}.DirectoryStored(ctx, func(e domains.Stored) error {
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
