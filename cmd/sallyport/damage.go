package main

import (
	"context"

	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type damageCommand struct {
	Ls          damageList        `cmd:"" help:"List what the disk has damaged, and what that cost."`
	Acknowledge damageAcknowledge `cmd:"" help:"Say that damage is known, so that nothing tells of it any more."`
}

type damageList struct {
	configFlag
	jsonFlag
	All bool `short:"a" help:"What is acknowledged, too."`
}

// Help shows examples.
func (damageList) Help() string {
	return `A bit that flipped on the disk, or a part of a file that is gone: in the store (its logs, tables and files of
values), in a message that waits, in the trace, in the index of a mailbox. What could be put right was; the file as it
was found is kept aside, untouched. status, doctor and the metrics tell of it until it is acknowledged.

Examples:
  sallyport damage ls
  sallyport damage ls --all --json`
}

// Run lists.
func (l damageList) Run(ctx context.Context, c console) error {
	return l.operate(ctx, c, func(o *operate.Client) error {
		n := 0
		err := o.DamageList(ctx, operate.DamageRef{All: l.All}, func(d operate.DamageEntry) error {
			n++
			if l.JSON {
				return printJSON(c.out, d)
			}
			damaged(c, d)
			return nil
		})
		if err == nil && n == 0 && !l.JSON {
			c.printf("nothing is damaged that is not acknowledged\n")
		}
		return err
	})
}

// damaged tells of one damage.
func damaged(c console, d operate.DamageEntry) {
	c.prose("%d  %s  %s: %s\n", d.Number, moment(d.At), d.File, d.What)
	lost := d.Lost
	if lost == "" {
		lost = "nothing"
	}
	c.prose("    lost: %s\n", lost)
	if d.Aside != "" {
		c.prose("    as it was found: %s\n", d.Aside)
	}
	if !d.Acknowledged.IsZero() {
		c.prose("    acknowledged %s\n", moment(d.Acknowledged))
	}
}

type damageAcknowledge struct {
	configFlag
	jsonFlag
	Numbers []int `arg:"" optional:"" help:"Those of 'sallyport damage ls'."`
	All     bool  `help:"Everything that is on the list."`
}

// Help shows examples.
func (damageAcknowledge) Help() string {
	return `Acknowledge damage once you have looked at the disk and know what was lost. Files that were put aside stay where they
are, and may be removed then.

Examples:
  sallyport damage acknowledge 3
  sallyport damage acknowledge --all`
}

// Run acknowledges.
func (a damageAcknowledge) Run(ctx context.Context, c console) error {
	if !a.All && len(a.Numbers) == 0 {
		return usageError{"name numbers, or --all"}
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		done, err := o.DamageAcknowledge(ctx, operate.DamageRef{Numbers: a.Numbers, All: a.All})
		if err != nil {
			return err
		}
		if a.JSON {
			return printJSON(c.out, done)
		}
		c.printf("acknowledged: %s\n", words.Count(len(done.Acknowledged), "damage"))
		return nil
	})
}
