package main

import (
	"context"
	"fmt"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/directory/explain"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
)

// explain walks the transaction that --explain imagines. Whatever the answer is, the
// question was answered.
func (k checkCommand) explain(ctx context.Context, c console, cfg config.Config) error {
	q, err := explain.Parse(k.Explain)
	if err != nil {
		return err
	}
	var a explain.Answer
	err = k.beside(ctx, c, cfg, func(stored *operate.Client) error {
		a, err = survey.Explain(ctx, cfg, stored, q)
		return err
	})
	if err != nil {
		return err
	}
	if k.JSON {
		return printJSON(c.out, a)
	}
	printExplained(c, a)
	return nil
}

// printExplained prints one step a line, below the name of its stage.
func printExplained(c console, a explain.Answer) {
	var stage explain.Stage
	for _, s := range a.Steps {
		name := ""
		if s.Stage != stage {
			name = string(s.Stage)
		}
		stage = s.Stage
		says := s.Says
		if s.Reply != "" {
			says = fmt.Sprintf("%s (%s). %s", s.Reply, s.Rule, s.Says)
		}
		if s.At != "" {
			says += " [" + s.At + "]"
		}
		c.prose("%-10s  %s\n", name, strings.TrimRight(says, " "))
	}
	c.prose("\nanswer: %s; %s, by the rule %s\n", a.Reply, actionWords(a.Action), a.Rule)
	if a.Remedy != "" {
		c.prose("remedy: %s\n", c.again(a.Remedy))
	}
}

func actionWords(action string) string {
	switch action {
	case "accept-local":
		return "it is taken, for recipients of ours"
	case "relay":
		return "it is taken, and leaves in the account's name"
	case "defer":
		return "the sender is asked to try again later"
	}
	return "it is refused"
}
