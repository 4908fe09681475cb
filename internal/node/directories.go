package node

import (
	"context"

	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
)

// buildDirectories makes the directories of an organisation that the configuration names.
func (n *Node) buildDirectories(ctx context.Context, next, last *generation) error {
	sources, err := settings.Directories(next.cfg)
	if err != nil {
		return err
	}
	var former *roll.Roll
	if last != nil {
		former = last.roll
	}
	next.roll, err = roll.Build(ctx, roll.Options{
		Sources: sources, Store: n.data.Store, Adopt: settings.Adopting(next.cfg, n.data.Accounts.Adopt), Changing: n.book.Changing(), Publish: n.book.Renew, Write: n.data.Trace.Write, Now: n.o.Now, Logger: n.log,
		Replaced: func(a mail.Address) []store.Planner { return n.operator.Replaced(a) },
	}, former)
	if err == nil {
		next.undo = append(next.undo, next.roll.Retire)
	}
	return err
}

// roll is that in force.
func (n *Node) roll() roll.Current { return func() *roll.Roll { return n.now().roll } }
