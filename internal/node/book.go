package node

import (
	"context"

	"sallyport/internal/directory/book"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
)

// openBook makes who owns the directory; buildDirectory makes the first directory.
func (n *Node) openBook(ctx context.Context) (err error) {
	n.book = book.New(book.Options{
		Accounts: n.data.Accounts, Roster: n.data.Roster, Learn: n.learnAccounts, Serving: func() bool { return n.started.Load() != nil }, Logger: n.log,
	})
	return nil
}

// learnAccounts tells whose return paths there are.
func (n *Node) learnAccounts(all []mail.Address) {
	n.data.ReturnPaths.Learn(all)
	n.data.ReturnPaths.Follow(n.data.Accounts.Renamed())
}

// buildDirectory makes the directory of a configuration with the accounts and the roster
// of now. Where they do not go together, a reload is refused; at a start the commands that
// mend it work all the same, but no server can be run: see Listen.
func (n *Node) buildDirectory(ctx context.Context, next, last *generation) error {
	st, err := settings.Stated(next.cfg)
	if err != nil {
		return err
	}
	if len(next.cfg.LDAP) > 0 { // else a change of domains is judged by what it touches
		st.List = next.roll.List
	}
	d, err := n.book.Build(ctx, st, last == nil)
	if err != nil {
		return err
	}
	return next.take(d, nil)
}
