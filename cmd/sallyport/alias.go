package main

import (
	"context"
	"strings"

	"sallyport/internal/operate"
)

type aliasCommands struct {
	Add aliasAdd `cmd:"" help:"Make an alias, a group or a catch-all."`
	Ls  aliasLs  `cmd:"" help:"List the aliases."`
	Rm  aliasRm  `cmd:"" help:"Remove an alias, or some of its targets."`
}

type aliasAdd struct {
	entryFlags
	Name    string   `arg:"" help:"The address; or @DOMAIN, for what nothing else has in that domain."`
	Targets []string `arg:"" help:"Addresses of ours that it leads to."`
	From    string   `enum:",anyone,accounts,members" default:"" placeholder:"WHO" help:"Who may write to it: anyone (the default), accounts (people who are signed in here), or members (the accounts that it leads to)."`
	More    bool     `help:"Add the targets to an alias that exists already."`
}

// Help shows examples.
func (aliasAdd) Help() string {
	return `An alias leads to addresses of ours only; an account's mail goes on to other servers with:
sallyport forward add. A catch-all takes what no account, no alias (with a detail or without)
and no role has, and never leads to an account whose mail is forwarded. An alias that names itself
stands beside the account of its address, and gives the others a copy of that account's mail.

Examples:
  sallyport alias add sales@example.org alice@example.org
  sallyport alias add team@example.org alice@example.org bob@example.org --from accounts
  sallyport alias add team@example.org alice@example.org,bob@example.org
  sallyport alias add team@example.org carol@example.org --more
  sallyport alias add bob@example.org bob@example.org alice@example.org    a copy of bob's mail for alice
  sallyport alias add @example.org alice@example.org`
}

// Run makes the alias.
func (a aliasAdd) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.AliasAdd(ctx, operate.AliasAdd{
			Name: a.Name, Targets: splitTargets(a.Targets), From: a.From, More: a.More, DryRun: a.DryRun,
		})
		if err != nil {
			return err
		}
		if a.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s%s leads to %s; %s may write to it\n", a.would(), v.Name, strings.Join(v.Targets, ", "), audience(v.From))
		return nil
	})
}

// splitTargets takes lists with commas apart, as aliases(5) and the web write them. A comma
// in a local-part stands in quotes, and such a word is one address.
func splitTargets(words []string) (out []string) {
	for _, w := range words {
		if strings.Contains(w, `"`) {
			out = append(out, w)
			continue
		}
		for one := range strings.SplitSeq(w, ",") {
			if one = strings.TrimSpace(one); one != "" {
				out = append(out, one)
			}
		}
	}
	return out
}

// audience says who may write to an alias.
func audience(from string) string {
	switch from {
	case "anyone":
		return "anyone"
	case "accounts":
		return "only who is signed in here"
	case "members":
		return "only its members"
	}
	return "nobody"
}

type aliasLs struct {
	configFlag
	jsonFlag
}

// Run lists the aliases.
func (a aliasLs) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		if a.JSON {
			return o.AliasList(ctx, func(v operate.Alias) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ALIAS", "LEADS TO", "WHO WRITES", "ADDED", "STATED IN")
		err := o.AliasList(ctx, func(v operate.Alias) error {
			t.row(v.Name, strings.Join(v.Targets, ", "), v.From, moment(v.Added), dash(v.Where))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("there is no alias")
	})
}

type aliasRm struct {
	entryFlags
	Name    string   `arg:"" help:"The address, or @DOMAIN."`
	Targets []string `arg:"" optional:"" help:"Only these targets; with the last one the alias ends."`
}

// Help shows examples.
func (aliasRm) Help() string {
	return `Delegates that let an account send as the alias end with it.

Examples:
  sallyport alias rm sales@example.org
  sallyport alias rm team@example.org bob@example.org        bob leaves the group`
}

// Run removes the alias.
func (a aliasRm) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.AliasRemove(ctx, operate.AliasRemove{Name: a.Name, Targets: splitTargets(a.Targets), DryRun: a.DryRun})
		return a.tell(c, v, err)
	})
}
