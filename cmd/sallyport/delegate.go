package main

import (
	"context"

	"sallyport/internal/operate"
)

type delegateCommands struct {
	Add delegateAdd `cmd:"" help:"Let an account send as another address of ours."`
	Ls  delegateLs  `cmd:"" help:"List who may send as whom."`
	Rm  delegateRm  `cmd:"" help:"Take such a right away."`
}

type delegateArgs struct {
	entryFlags
	Account string `arg:"" help:"The account that sends."`
	Address string `arg:"" help:"The address that it sends as: an account, an alias, a group, postmaster or abuse of ours."`
}

type delegateAdd struct{ delegateArgs }

// Help shows examples.
func (delegateAdd) Help() string {
	return `The account may use the address as envelope sender and in From. Nobody is told, and replies go
to the address. Never for an address that is not ours, nor for what only a catch-all takes.

Examples:
  sallyport delegate add alice@example.org team@example.org
  sallyport delegate add secretary@example.org director@example.org`
}

// Run gives the right.
func (d delegateAdd) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.DelegateAdd(ctx, operate.DelegateChange{Account: d.Account, Address: d.Address, DryRun: d.DryRun})
		if err != nil {
			return err
		}
		if d.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s%s may send as %s\n", d.would(), v.Account, v.Address)
		return nil
	})
}

type delegateLs struct {
	configFlag
	jsonFlag
	Account string `placeholder:"ADDR" help:"Only what this account may send as."`
	Address string `placeholder:"ADDR" help:"Only who may send as this address."`
}

// Run lists the rights.
func (d delegateLs) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		r := operate.DelegateSelect{Account: d.Account, Address: d.Address}
		if d.JSON {
			return o.DelegateList(ctx, r, func(v operate.Delegate) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ACCOUNT", "SENDS AS", "STATE", "ADDED")
		err := o.DelegateList(ctx, r, func(v operate.Delegate) error {
			state := "in force"
			if !v.InForce {
				state = "idle: one of the two does not exist"
			}
			t.row(v.Account, v.Address, state, moment(v.Added))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("there is no delegate, or none that matches")
	})
}

type delegateRm struct{ delegateArgs }

// Run takes the right away.
func (d delegateRm) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.DelegateRemove(ctx, operate.DelegateChange{Account: d.Account, Address: d.Address, DryRun: d.DryRun})
		return d.tell(c, v, err)
	})
}
