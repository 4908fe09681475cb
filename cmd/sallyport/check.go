package main

import (
	"context"
	"errors"

	"sallyport/internal/config"
)

type checkCommand struct {
	configFlag
	jsonFlag
}

// Help says what is checked.
func (checkCommand) Help() string {
	return `Checks syntax and meaning: every key known and in its bounds, names and addresses parsed,
aliases without circles, routes that lead elsewhere, files present and secrets closed to others.

Examples:
  sallyport check -c /etc/sallyport/sallyport.toml
  sallyport check -c new.toml --json                one fault a line`
}

// Run checks the configuration.
func (k checkCommand) Run(_ context.Context, c console) error {
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
	if k.JSON {
		return nil
	}
	c.printf("%s: syntax and meaning: fine (%s, %s, %s)\n", k.Config,
		plural(len(cfg.Domains), "domain"), pluralAlias(len(cfg.Aliases)), plural(len(cfg.Routes), "route"))
	return nil
}

func pluralAlias(n int) string {
	if n == 1 {
		return "1 alias"
	}
	return plural(n, "aliase")
}
