package main

import (
	"context"

	"sallyport/internal/operate"
)

type calloutCommands struct {
	Ls     calloutLs     `cmd:"" help:"List what servers behind us said of recipients, and still counts."`
	Forget calloutForget `cmd:"" help:"Forget it, so that they are asked again."`
}

// calloutFlags choose answers.
type calloutFlags struct {
	configFlag
	jsonFlag
	Addresses []string `arg:"" optional:"" name:"address" help:"Recipients, as the server behind knows them."`
	Domain    string   `help:"All of this domain."`
}

func (f calloutFlags) choice() operate.CalloutRef {
	return operate.CalloutRef{Addresses: f.Addresses, Domain: f.Domain}
}

type calloutLs struct{ calloutFlags }

// Help shows examples.
func (calloutLs) Help() string {
	return `A domain with a server behind it (recipients = "callout") has that server asked whether it
takes a recipient. Its answers are remembered by the running server: [callout] in the
configuration says for how long.

Examples:
  sallyport callout ls
  sallyport callout ls --domain example.org --json
  sallyport callout ls alice@example.org`
}

// Run lists answers.
func (l calloutLs) Run(ctx context.Context, c console) error {
	return l.operate(ctx, c, func(o *operate.Client) error {
		if l.JSON {
			return o.CalloutList(ctx, l.choice(), func(a operate.Callout) error { return printJSON(c.out, a) })
		}
		t, n := newTable(c, "RECIPIENT", "STATE", "ASKED", "ASKED AGAIN FROM", "SERVER", "REPLY"), 0
		err := o.CalloutList(ctx, l.choice(), func(a operate.Callout) error {
			n++
			t.row(a.Address, a.State, moment(a.Asked), moment(a.Again), a.Server, dash(a.Reply))
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			c.printf("nothing is remembered, or nothing of it matches\n")
			return nil
		}
		return t.flush()
	})
}

type calloutForget struct {
	calloutFlags
	All bool `help:"Everything that is remembered."`
}

// Help shows examples.
func (calloutForget) Help() string {
	return `The server behind is asked again at the next mail: after an account was made or removed there,
or a full mailbox emptied. What it refuses for good at a delivery is forgotten by itself.

Examples:
  sallyport callout forget alice@example.org
  sallyport callout forget --domain example.org
  sallyport callout forget --all`
}

// Run forgets.
func (f calloutForget) Run(ctx context.Context, c console) error {
	choice := f.choice()
	choice.All = f.All
	if !choice.All && len(choice.Addresses) == 0 && choice.Domain == "" {
		return usageError{"name addresses, --domain DOMAIN, or --all"}
	}
	return f.operate(ctx, c, func(o *operate.Client) error {
		done, err := o.CalloutForget(ctx, choice)
		if err != nil {
			return err
		}
		if f.JSON {
			return printJSON(c.out, done)
		}
		c.printf("forgotten: %d\n", done.Forgotten)
		return nil
	})
}
