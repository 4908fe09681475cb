package main

import (
	"context"
	"strconv"

	"sallyport/internal/bind"
	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type bindingCommands struct {
	Ls     bindingLs     `cmd:"" help:"List the names that accounts used and do not own."`
	Grant  bindingGrant  `cmd:"" help:"Let accounts send as what they were found to send as."`
	Forget bindingForget `cmd:"" help:"Forget findings that were reviewed."`
}

type bindingLs struct {
	configFlag
	jsonFlag
	Account string `arg:"" optional:"" help:"Only the findings of this account."`
	All     bool   `help:"Those that were granted since as well."`
}

// Help says what is listed.
func (bindingLs) Help() string {
	return `While submission.sender_binding is "report", mail of an account that bears another name of ours as
its envelope sender or in From, Sender or Resent-From is taken, and the name is kept here. Names that
are not ours are refused all the same; of those only the domain is kept.

What is open can be granted (binding grant); what is nobody is first to be made an account, an alias or
a group; what is foreign nobody here can be granted: that program or person has to change the address.

Examples:
  sallyport binding ls
  sallyport binding ls alice@example.org --json`
}

// Run lists the findings.
func (b bindingLs) Run(ctx context.Context, c console) error {
	return b.operate(ctx, c, func(o *operate.Client) error {
		r := operate.BindingSelect{Account: b.Account, All: b.All}
		if b.JSON {
			return o.BindingList(ctx, r, func(v operate.Binding) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ACCOUNT", "NAME", "IN", "TAKEN", "REFUSED", "FIRST", "LAST", "STATE")
		err := o.BindingList(ctx, r, func(v operate.Binding) error {
			if v.State == operate.StateMore {
				v.Name, v.Where = "(more names)", "any"
			}
			t.row(v.Account, v.Name, v.Where, strconv.FormatUint(v.Taken, 10),
				strconv.FormatUint(v.Refused, 10), moment(v.First), moment(v.Last), string(v.State))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("nothing was found that is to be reviewed")
	})
}

type bindingGrant struct {
	entryFlags
	Account string   `arg:"" optional:"" help:"The account that sends."`
	Names   []string `arg:"" optional:"" help:"The addresses that it may send as, as binding ls shows them."`
	All     bool     `help:"All that are open: of the account, or of every account where none is named."`
}

// Help shows examples.
func (bindingGrant) Help() string {
	return `Makes a delegate of each finding that is named, all in one act: the directory as it would be is proved
closed first. Nothing is granted that was not found, that is not ours, or to an account that is frozen.
Look at the findings before: a thief writes as others, too.

Examples:
  sallyport binding grant alice@example.org sales@example.org info@example.org
  sallyport binding grant alice@example.org --all --dry-run
  sallyport binding grant --all`
}

// Run grants them.
func (b bindingGrant) Run(ctx context.Context, c console) error {
	if b.All == (len(b.Names) > 0) || !b.All && b.Account == "" {
		return usageError{"name an account and the addresses that it may send as, or take all with --all; not both"}
	}
	return b.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.BindingGrant(ctx, operate.BindingGrant{Account: b.Account, Names: b.Names, All: b.All, DryRun: b.DryRun})
		if err != nil {
			return err
		}
		if b.JSON {
			return printJSON(c.out, v)
		}
		for _, d := range v.Granted {
			c.printf("%s%s may send as %s\n", b.would(), d.Account, d.Address)
		}
		for _, l := range v.Left {
			c.printf("not granted: %s as %s: %s\n", l.Account, l.Name, l.Why)
		}
		if len(v.Granted)+len(v.Left) == 0 {
			c.printf("there is nothing to grant\n")
		}
		return nil
	})
}

type bindingForget struct {
	entryFlags
	Account string `arg:"" optional:"" help:"The account whose findings are forgotten."`
	All     bool   `help:"The findings of every account."`
}

// Run forgets them.
func (b bindingForget) Run(ctx context.Context, c console) error {
	if b.All == (b.Account != "") {
		return usageError{"name an account, or forget the findings of all with --all; not both"}
	}
	return b.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.BindingForget(ctx, operate.BindingForget{Account: b.Account, All: b.All, DryRun: b.DryRun})
		if err != nil {
			return err
		}
		if b.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s%s forgotten\n", b.would(), words.Count(v.Findings, "finding"))
		return nil
	})
}

// bindingStatus says loudly that binding only reports, and what there is to review.
func bindingStatus(c console, m *operate.BindingMode) {
	if m == nil {
		return
	}
	if m.Mode != bind.Enforce.String() {
		c.prose("binding   ONLY REPORTS: every account may write as any address of this server\n")
	} else {
		c.prose("binding   senders are bound\n")
	}
	if m.Names > 0 {
		c.prose("          %s to review of %s, the first since %s; see: sallyport binding ls\n",
			words.Count(m.Names, "name"), words.Count(m.Accounts, "account"), moment(m.Since))
	}
}
