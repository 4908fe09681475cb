package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/node"
	"sallyport/internal/ops"
)

type checkCommand struct {
	configFlag
	jsonFlag
}

// Help says what is checked.
func (checkCommand) Help() string {
	return `Checks syntax and meaning: every key known and in its bounds, names and addresses parsed,
aliases without circles, routes that lead elsewhere, files present and secrets closed to others.
Then whether it goes together with what the data folder holds: accounts, and the domains,
aliases, forwards and delegates that were added with commands.

Examples:
  sallyport check -c /etc/sallyport/sallyport.toml
  sallyport check -c new.toml --json                one fault a line`
}

// Run checks the configuration.
func (k checkCommand) Run(ctx context.Context, c console) error {
	cfg, err := config.Load(k.Config)
	var faults config.Faults
	if errors.As(err, &faults) && k.JSON {
		for _, f := range faults {
			if err := printJSON(c.out, f); err != nil {
				return err
			}
		}
		return errSilent
	}
	if err != nil {
		return err
	}
	if err := k.stored(ctx, c, cfg); err != nil {
		return err
	}
	if k.JSON {
		return nil
	}
	c.printf("%s: syntax and meaning: fine (%s, %s, %s)\n", k.Config,
		plural(len(cfg.Domains), "domain"), pluralAlias(len(cfg.Aliases)), plural(len(cfg.Routes), "route"))
	return nil
}

// stored checks a configuration beside what its data folder holds, if anything.
func (k checkCommand) stored(ctx context.Context, c console, cfg config.Config) error {
	check := func(stored *ops.Client) error {
		_, err := node.BuildDirectory(ctx, cfg, stored)
		return err
	}
	var err error
	switch _, statErr := os.Stat(cfg.StoreDir()); {
	case errors.Is(statErr, fs.ErrNotExist):
		err = check(nil)
	case statErr != nil:
		return fmt.Errorf("what the data folder holds cannot be checked: %w", statErr)
	default:
		err = k.operate(ctx, c, check)
	}
	var faults directory.Faults
	if !errors.As(err, &faults) {
		return err
	}
	for _, f := range faults {
		fault := config.Fault{Position: config.Position{File: k.Config}, Message: f.Text}
		if !k.JSON {
			fmt.Fprintln(c.err, fault.Error())
		} else if err := printJSON(c.out, fault); err != nil {
			return err
		}
	}
	return errSilent
}

func pluralAlias(n int) string {
	if n == 1 {
		return "1 alias"
	}
	return plural(n, "aliase")
}
