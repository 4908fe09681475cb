package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/timespan"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
)

type traceCommand struct {
	configFlag
	jsonFlag
	Query  []string       `arg:"" optional:"" help:"A queue id, message-id, address, IP address or network, or connection id. Without it, a header, bounce or log line is read from standard input."`
	Since  timespan.Since `placeholder:"WHEN" help:"Only what happened since this day, 2026-11-01, or since so long ago: 48h, 14d."`
	Limit  int            `help:"At most about so many entries."`
	Exact  bool           `help:"Only what names the query itself, not the whole story of each message."`
	Before uint64         `placeholder:"N" help:"Only what is older than entry N: the next page."`
	Verify bool           `help:"Instead, recompute the whole log and compare it with its signed checkpoints."`
}

// Help shows examples.
func (traceCommand) Help() string {
	return `Examples:
  sallyport trace 06f1k4h8m2n5q7r9s1t3v5w7            a message, by its queue id
  sallyport trace '<20261123.1@example.org>'          the same, by its message-id
  sallyport trace alice@example.org --since 24h       an account or any other address
  sallyport trace 192.0.2.0/24                        whoever came from there
  sallyport trace < bounce.eml                        a pasted bounce or header
  sallyport trace --verify                            has the log been tampered with?

Exits with 1 when nothing is found, or when the log does not verify.`
}

// Run answers the query.
func (t traceCommand) Run(ctx context.Context, c console) error {
	if t.Verify {
		return t.operate(ctx, c, func(o *operate.Client) error { return t.verify(ctx, c, o) })
	}
	text, err := t.text(c)
	if err != nil {
		return err
	}
	q := operate.TraceQuery{Text: text, Limit: t.Limit, Exact: t.Exact, Before: t.Before, From: t.Since.From(time.Now())}
	return t.operate(ctx, c, func(o *operate.Client) error {
		answer, err := o.Trace(ctx, q)
		if err != nil {
			return err
		}
		return t.show(c, answer)
	})
}

// text returns the query: the arguments, or what is pasted.
func (t traceCommand) text(c console) (string, error) {
	if len(t.Query) > 0 {
		return strings.Join(t.Query, " "), nil
	}
	if f, ok := c.in.(*os.File); ok && isTerminal(f) {
		fmt.Fprintln(c.err, "Paste a header or a bounce, then press Ctrl-D:")
	}
	text, err := io.ReadAll(io.LimitReader(c.in, query.MaxQueryOctets))
	if err == nil && strings.TrimSpace(string(text)) == "" {
		return "", usageError{"name something to look for, or paste a header or bounce; see: sallyport trace --help"}
	}
	return string(text), err
}

func (t traceCommand) show(c console, a query.Answer) error {
	if len(a.Entries) == 0 {
		fmt.Fprintln(c.err, "sallyport: nothing is known about that")
		return errSilent
	}
	if t.JSON {
		for _, e := range a.Entries {
			if err := printJSON(c.out, e); err != nil {
				return err
			}
		}
	} else {
		c.lines(fact.Timeline(a.Facts(), time.Local))
	}
	if a.Older > 0 {
		fmt.Fprintf(c.err, "sallyport: there is more; see it with --before %d\n", a.Older)
	}
	if a.Partial {
		fmt.Fprintln(c.err, "sallyport: there is more than one query reads; name a narrower network")
	}
	return nil
}

func (t traceCommand) verify(ctx context.Context, c console, o *operate.Client) error {
	r, err := o.TraceVerify(ctx)
	if err != nil {
		return err
	}
	if t.JSON {
		err = printJSON(c.out, r)
	} else {
		c.printf("%s recomputed, %d forgotten by age, %s compared\nroot %s\n",
			plural(int(r.Facts), "fact"), r.Forgotten, plural(r.Checkpoints, "signed checkpoint"), r.Root)
		for _, f := range r.Faults {
			c.printf("WRONG: %s\n", f)
		}
		if r.More > 0 {
			c.printf("and %d more\n", r.More)
		}
	}
	if err == nil && !r.OK() {
		return errSilent
	}
	if err == nil && !t.JSON {
		c.printf("the log is whole and unchanged\n")
	}
	return err
}
