package main

import (
	"context"
	"fmt"

	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type accountRename struct {
	accountArg
	To        string `arg:"" name:"new" help:"The address that it gets."`
	KeepAlias bool   `help:"Mail for the old address still comes to the account, by an alias."`
}

// Help shows examples.
func (accountRename) Help() string {
	return `Examples:
  sallyport account rename alice@example.org alice.smith@example.org --keep-alias

Password, app passwords and certificates stay as they are; whoever signs in gives the new
address. Aliases, the forward, delegates and limits follow, and so does the mailbox, within
the domains that are delivered to Maildirs. An alias of the new name that leads to the
account alone gives way. It is refused while the account is frozen, has an open incident
or a message in the queue, and while the configuration names it. What happened before
stays in the trace under the old address.`
}

// Run renames the account.
func (a accountRename) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountRename(ctx, operate.AccountRename{Address: a.Address, To: a.To, KeepAlias: a.KeepAlias})
		return a.tell(c, account, err,
			fmt.Sprintf("is what %s is called now, %s ended", a.Address, words.Count(account.SessionsEnded, "session")),
			"")
	})
}
