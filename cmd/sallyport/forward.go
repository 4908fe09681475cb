package main

import (
	"context"
	"strings"

	"sallyport/internal/operate"
)

type forwardCommands struct {
	Add forwardAdd `cmd:"" help:"Lead an account's mail on to other servers."`
	Ls  forwardLs  `cmd:"" help:"List the forwards."`
	Rm  forwardRm  `cmd:"" help:"Remove a forward, or some of its targets."`
}

type forwardAdd struct {
	entryFlags
	Account string   `arg:"" help:"The account, which answers for what leaves."`
	Targets []string `arg:"" help:"Addresses of other servers."`
	Keep    bool     `help:"Keep a copy in the mailbox."`
	More    bool     `help:"Add the targets to a forward that exists already."`
}

// Help shows examples.
func (forwardAdd) Help() string {
	return `Needs external = "on" in [forward] of the configuration. What leaves counts as sent by the
account, within its limits. Without --keep, the mailbox gets nothing.

Examples:
  sallyport forward add alice@example.org alice@elsewhere.example --keep
  sallyport forward add alice@example.org alice@third.example --more`
}

// Run makes the forward.
func (f forwardAdd) Run(ctx context.Context, c console) error {
	return f.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.ForwardAdd(ctx, operate.ForwardAdd{
			Account: f.Account, Targets: f.Targets, Keep: f.Keep, More: f.More, DryRun: f.DryRun,
		})
		if err != nil {
			return err
		}
		if f.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%smail for %s goes on to %s%s\n", f.would(), v.Account, strings.Join(v.Targets, ", "), keeps(v.Keep))
		return nil
	})
}

func keeps(keep bool) string {
	if keep {
		return ", and stays in the mailbox"
	}
	return ""
}

type forwardLs struct {
	configFlag
	jsonFlag
}

// Help says what asleep means.
func (forwardLs) Help() string {
	return `A forward is asleep while the configuration does not allow any ([forward], external = "off"):
the mail stays in the mailbox.`
}

// Run lists the forwards.
func (f forwardLs) Run(ctx context.Context, c console) error {
	return f.operate(ctx, c, func(o *operate.Client) error {
		if f.JSON {
			return o.ForwardList(ctx, func(v operate.Forward) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ACCOUNT", "GOES ON TO", "MAILBOX", "STATE", "ADDED")
		err := o.ForwardList(ctx, func(v operate.Forward) error {
			box, state := "-", "awake"
			if v.Keep {
				box = "keeps a copy"
			}
			if v.Asleep {
				box, state = "keeps all", "asleep"
			}
			t.row(v.Account, strings.Join(v.Targets, ", "), box, state, moment(v.Added))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("nobody's mail is sent on")
	})
}

type forwardRm struct {
	entryFlags
	Account string   `arg:"" help:"The account."`
	Targets []string `arg:"" optional:"" help:"Only these targets; with the last one the forward ends."`
}

// Help shows examples.
func (forwardRm) Help() string {
	return `Examples:
  sallyport forward rm alice@example.org
  sallyport forward rm alice@example.org alice@third.example`
}

// Run removes the forward.
func (f forwardRm) Run(ctx context.Context, c console) error {
	return f.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.ForwardRemove(ctx, operate.ForwardRemove{Account: f.Account, Targets: f.Targets, DryRun: f.DryRun})
		return f.tell(c, v, err)
	})
}
