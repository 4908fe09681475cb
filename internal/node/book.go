package node

import (
	"context"

	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/node/settings"
)

// openBook reads the roster; buildDirectory makes the first directory.
func (n *Node) openBook(ctx context.Context, _ keys) (err error) {
	n.roster, err = roster.Open(ctx, n.store, roster.Options{Limits: roster.DefaultLimits(), Logger: n.log})
	if err != nil {
		return err
	}
	n.book = book.New(book.Options{
		Accounts: n.identity, Roster: n.roster, Learn: n.returnPaths.Learn, Serving: func() bool { return n.started.Load() != nil }, Logger: n.log,
	})
	return nil
}

// buildDirectory makes the directory of a configuration with the accounts and the roster
// of now. Where they do not go together, a reload is refused; at a start the commands that
// mend it work all the same, but no server can be run: see Listen.
func (n *Node) buildDirectory(ctx context.Context, next, last *generation) error {
	st, err := settings.Stated(next.cfg)
	if err != nil {
		return err
	}
	d, err := n.book.Build(ctx, st, last == nil)
	if err != nil {
		return err
	}
	next.then = append(next.then, d.Adopt)
	next.undo = append(next.undo, d.Abandon)
	return nil
}
