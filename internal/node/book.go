package node

import (
	"context"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
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
	st, err := stated(next.cfg)
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

// BuildDirectory builds the directory of a configuration, without running it, and
// proves it closed. What is stored beside it, stored tells; nil: nothing is. The error
// says what does not go together, or who could relay, and how it is mended.
func BuildDirectory(ctx context.Context, cfg config.Config, stored *operate.Client) (book.Judged, error) {
	st, err := stated(cfg)
	if err != nil {
		return book.Judged{}, err
	}
	var entries []roster.Stored
	var accounts []mail.Address
	if stored != nil {
		if entries, accounts, err = stored.Stored(ctx); err != nil {
			return book.Judged{}, err
		}
	}
	s, err := roster.Import(entries)
	if err != nil {
		return book.Judged{}, err
	}
	return st.Judge(s, accounts)
}

// stated is what a configuration states of the directory.
func stated(cfg config.Config) (book.Stated, error) {
	full, err := cfg.FullDirectory()
	st := book.Stated{
		Config: full, Ways: map[mail.Domain]string{}, Domain: config.DirectoryDomain,
		Where: func(s directory.Subject) (string, bool) {
			at, ok := cfg.Where(s)
			return at.String(), ok
		},
		Way: func(text string) (string, error) {
			d, err := config.ParseDelivery(text)
			return d.String(), err
		},
	}
	for _, d := range cfg.Domains {
		st.Ways[d.Name] = d.Deliver.String()
	}
	return st, err
}
