package main

import (
	"context"

	"sallyport/internal/operate"
)

type domainCommands struct {
	Add domainAdd `cmd:"" help:"Make a domain ours."`
	Ls  domainLs  `cmd:"" help:"List our domains."`
	Rm  domainRm  `cmd:"" help:"Give a domain up."`

	Records domainRecords `cmd:"" help:"Print all that the DNS should say about a domain of ours, ready to paste."`
}

// entryFlags are those of every change of the directory.
type entryFlags struct {
	configFlag
	jsonFlag
	DryRun bool `help:"Only say what would be done, or why it cannot be."`
}

// tell prints what a change did.
func (f entryFlags) tell(c console, v operate.Changed, err error) error {
	if err != nil {
		return err
	}
	if f.JSON {
		return printJSON(c.out, v)
	}
	for _, line := range v.Done {
		c.printf("%s%s\n", f.would(), line)
	}
	return nil
}

// would begins a line about what was only tried.
func (f entryFlags) would() string {
	if f.DryRun {
		return "would be done: "
	}
	return ""
}

type domainAdd struct {
	entryFlags
	Name       string `arg:"" help:"The domain."`
	Deliver    string `default:"maildir" help:"How its mail is delivered, as the configuration has it: maildir, lmtp://HOST:PORT, smtp://HOST:PORT."`
	Postmaster string `placeholder:"ADDR" help:"The address of ours that reads its postmaster's mail."`
}

// Help shows examples.
func (domainAdd) Help() string {
	return `The domain is ours from the next transaction on, without a restart. A domain that the
configuration states is changed there. A server behind this one (lmtp://, smtp://) is
asked about recipients; all other keys of such a domain need the configuration.
Keys that sign its mail (DKIM) are made, and their DNS records printed.

Examples:
  sallyport domain add example.org
  sallyport domain add example.org --postmaster alice@example.com
  sallyport domain add example.org --deliver lmtp://127.0.0.1:24 --dry-run`
}

// Run makes the domain ours.
func (d domainAdd) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.DomainAdd(ctx, operate.DomainAdd{Name: d.Name, Deliver: d.Deliver, Postmaster: d.Postmaster, DryRun: d.DryRun})
		if err != nil {
			return err
		}
		if d.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s%s is ours, delivered to %s\n", d.would(), v.Name, v.Deliver)
		if len(v.DKIM) == 0 {
			return nil
		}
		if v.DKIMKept {
			c.printf("it was ours before, and its signing keys of then are used again:\n")
		} else {
			c.printf("publish these records; its mail is signed once the DNS shows them:\n")
		}
		for _, k := range v.DKIM {
			c.lines("  " + k.Zone + "\n")
		}
		c.printf("sallyport domain records %s prints all that its DNS needs, sallyport doctor looks at it\n", v.Name)
		return nil
	})
}

type domainLs struct {
	configFlag
	jsonFlag
}

// Run lists the domains.
func (d domainLs) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		if d.JSON {
			return o.DomainList(ctx, func(v operate.Domain) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "DOMAIN", "DELIVERED TO", "POSTMASTER", "ADDED", "STATED IN")
		err := o.DomainList(ctx, func(v operate.Domain) error {
			t.row(v.Name, v.Deliver, dash(v.Postmaster), moment(v.Added), dash(v.Where))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("there is no domain")
	})
}

type domainRm struct {
	entryFlags
	Name  string `arg:"" help:"The domain."`
	Force bool   `help:"Also while it is needed: its aliases, forwards and delegates go with it, its accounts and mailboxes stay, and what is queued for it is held."`
}

// Help shows examples.
func (domainRm) Help() string {
	return `Refuses while accounts, aliases, forwards, delegates or queued mail need the domain. Nothing
is lost by --force: an account of the domain stays and neither receives nor sends until the
domain is back, its mailbox stays on disk, and held mail waits for: sallyport queue release.

Examples:
  sallyport domain rm example.org
  sallyport domain rm example.org --force --dry-run`
}

// Run gives the domain up.
func (d domainRm) Run(ctx context.Context, c console) error {
	return d.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.DomainRemove(ctx, operate.DomainRemove{Name: d.Name, Force: d.Force, DryRun: d.DryRun})
		return d.tell(c, v, err)
	})
}
