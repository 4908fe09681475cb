package main

import (
	"context"
	"strconv"
	"strings"

	"sallyport/internal/operate"
)

type screenCommands struct {
	Ls   screenLs   `cmd:"" help:"List who is kept out on port 25, and how often each line has hit."`
	Test screenTest `cmd:"" help:"Say what would happen to somebody who connects, and why."`
}

type screenLs struct {
	configFlag
	jsonFlag
	Unused bool `help:"Only what has not hit yet."`
}

// Help shows examples.
func (screenLs) Help() string {
	return `Lists the lines of screen.list, the lists that others keep ([dnsbl]), in the order in which they
are asked, and the bounds of what comes in ([inflow]). Hits are counted by the running server since it started; a reload goes on
counting. A line that never hits for months can go.

Examples:
  sallyport screen ls
  sallyport screen ls --unused`
}

// Run lists lines.
func (l screenLs) Run(ctx context.Context, c console) error {
	return l.operate(ctx, c, func(o *operate.Client) error {
		t := newTable(c, "LINE", "HITS", "LAST", "WHAT")
		err := o.ScreenList(ctx, func(h operate.ScreenHit) error {
			switch {
			case l.Unused && h.Hits > 0:
				return nil
			case l.JSON:
				return printJSON(c.out, h)
			}
			line := h.Kind
			if h.Line > 0 {
				line = strconv.Itoa(h.Line)
			}
			t.row(line, strconv.FormatInt(h.Hits, 10), moment(h.Last), h.Text)
			return nil
		})
		if err != nil || l.JSON {
			return err
		}
		return t.flushOr("nobody is kept out, or every line has hit")
	})
}

type screenTest struct {
	configFlag
	jsonFlag
	Address string `arg:"" help:"The address from which somebody connects."`
	Hello   string `help:"The name that EHLO gives."`
	From    string `help:"The envelope sender; '<>' is the null sender."`
	To      string `help:"The recipient; lists of others are not asked for postmaster and abuse."`
}

// Help shows examples.
func (screenTest) Help() string {
	return `Asks the same lists as for real mail on port 25, and says which line or lists decide. Nothing
is counted. Who signs in is never screened.

Examples:
  sallyport screen test 192.0.2.7
  sallyport screen test 2001:db8::7 --hello mail.example.net --from x@example.net --json`
}

// Run tests one visitor. Whatever the answer is, the question was answered.
func (t screenTest) Run(ctx context.Context, c console) error {
	return t.operate(ctx, c, func(o *operate.Client) error {
		a, err := o.ScreenTest(ctx, operate.ScreenVisitor{Client: t.Address, Hello: t.Hello, From: t.From, To: t.To})
		if err != nil {
			return err
		}
		if t.JSON {
			return printJSON(c.out, a)
		}
		c.prose("%s: %s (%s)\n", a.Client, screenWords(a.Verdict), a.Rule)
		if a.Line > 0 {
			c.prose("line %-5d  %s\n", a.Line, strings.TrimSpace(a.Text+" "+a.Reason))
		}
		if a.AS != 0 {
			c.prose("network     AS%d\n", a.AS)
		}
		if a.Country != "" {
			c.prose("country     %s\n", a.Country)
		}
		if len(a.Names) > 0 {
			c.prose("names       %s\n", strings.Join(a.Names, ", "))
		}
		for _, asked := range a.Asked {
			c.prose("asked       %s\n", asked)
		}
		if a.Wait != "" {
			c.prose("waits       %s for each recipient\n", a.Wait)
		}
		if a.Reply != "" {
			c.prose("answer      %s\n", a.Reply)
		}
		return nil
	})
}

func screenWords(verdict string) string {
	switch verdict {
	case "take":
		return "let in"
	case "defer":
		return "put off"
	}
	return "kept out"
}
