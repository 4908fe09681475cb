package main

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
)

type queueLs struct {
	selectFlags
	Limit int    `help:"At most so many."`
	By    string `enum:",destination,account" default:"" placeholder:"WHAT" help:"Sum up by destination or by account instead."`
}

// Help shows examples.
func (queueLs) Help() string {
	return `Examples:
  sallyport queue ls
  sallyport queue ls --domain example.net --older-than 4h
  sallyport queue ls --account alice@example.org --held --json
  sallyport queue ls --by destination        where does it pile up, and why?
  sallyport queue ls --by account --held     whose mail waits for a decision?`
}

// Run lists messages.
func (q queueLs) Run(ctx context.Context, c console) error {
	choice := q.choice()
	choice.Limit = q.Limit
	if q.By != "" {
		return q.summary(ctx, c, choice)
	}
	return q.operate(ctx, c, func(o *operate.Client) error {
		if q.JSON {
			return o.QueueList(ctx, choice, func(m operate.Message) error { return printJSON(c.out, m) })
		}
		t, n := newTable(c, "ID", "STATE", "SIZE", "TRIES", "NEXT TRY", "SENDER", "RECIPIENTS", "BECAUSE"), 0
		err := o.QueueList(ctx, choice, func(m operate.Message) error {
			n++
			t.row(m.ID, word(m.State), fact.Octets(m.Size), strconv.Itoa(m.Attempts), moment(m.NextTry),
				m.Sender, pending(m), dash(m.Why()))
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			c.printf("the queue is empty, or nothing in it matches\n")
			return nil
		}
		return t.flush()
	})
}

// summary shows what waits, by destination or account.
func (q queueLs) summary(ctx context.Context, c console, choice operate.Select) error {
	limit := choice.Limit
	choice.Limit = 0
	return q.operate(ctx, c, func(o *operate.Client) error {
		t, n := newTable(c, strings.ToUpper(q.By), "MESSAGES", "HELD", "RECIPIENTS", "SIZE", "OLDEST", "BECAUSE"), 0
		err := o.QueueSummary(ctx, operate.QueueSummary{Select: choice, By: q.By}, func(g operate.QueueGroup) error {
			if n++; limit > 0 && n > limit {
				return nil
			}
			if q.JSON {
				return printJSON(c.out, g)
			}
			t.row(orOthers(g.Name), strconv.Itoa(g.Messages), strconv.Itoa(g.Held),
				strconv.Itoa(g.Recipients), fact.Octets(g.Octets), moment(g.Oldest), dash(g.Reason))
			return nil
		})
		switch {
		case err != nil || q.JSON:
			return err
		case n == 0:
			c.printf("the queue is empty, or nothing in it matches\n")
			return nil
		}
		if err := t.flush(); err != nil {
			return err
		}
		if limit > 0 && n > limit {
			c.printf("and %d more\n", n-limit)
		}
		return nil
	})
}

// orOthers names what a summary did not tell apart.
func orOthers(name string) string {
	if name == "" {
		return "(all others)"
	}
	return name
}

// word is a state in one word; what is held with its account is held.
func word(state string) string {
	if state == operate.StateParked {
		return operate.StateHeld
	}
	return state
}

// pending names the recipients that do not have it and were not reported, three at most.
func pending(m operate.Message) string {
	var names []string
	for _, r := range m.Recipients {
		if r.State == "pending" || r.State == operate.RecipientUntold {
			names = append(names, r.Address)
		}
	}
	if len(names) > fewNames {
		names = append(names[:fewNames], "and "+strconv.Itoa(len(names)-fewNames)+" more")
	}
	return strings.Join(names, ", ")
}

type queueShow struct {
	configFlag
	jsonFlag
	ID      string `arg:"" help:"The queue id."`
	Headers bool   `xor:"what" help:"Its header section instead. That it was read is recorded in the trace."`
	Raw     bool   `xor:"what" help:"The whole message instead, as it would leave. This is recorded, too."`
}

// Help shows examples.
func (queueShow) Help() string {
	return `Examples:
  sallyport queue show 06f1k4h8m2n5q7r9s1t3v5w7
  sallyport queue show 06f1k4h8m2n5q7r9s1t3v5w7 --headers
  sallyport queue show 06f1k4h8m2n5q7r9s1t3v5w7 --raw > message.eml`
}

// Run shows a message.
func (q queueShow) Run(ctx context.Context, c console) error {
	if err := checkIDs(q.ID); err != nil {
		return err
	}
	if (q.Headers || q.Raw) && q.JSON {
		return usageError{"--json shows what is known of a message; --headers and --raw print the message itself"}
	}
	if q.Headers || q.Raw {
		return q.read(ctx, c)
	}
	return q.operate(ctx, c, func(o *operate.Client) error {
		m, err := o.QueueShow(ctx, operate.QueueRef{ID: q.ID})
		if err != nil {
			return err
		}
		if q.JSON {
			return printJSON(c.out, m)
		}
		c.printf("id          %s\nstate       %s\n", m.ID, m.State)
		if m.Reason != "" {
			c.printf("because     %s\n", m.Reason)
		}
		c.printf("received    %s\nsender      %s\naccount     %s\nmessage-id  %s\nsize        %s\nattempts    %d\nnext try    %s\n",
			moment(m.Received), m.Sender, dash(m.Account), dash(m.MessageID), fact.Octets(m.Size), m.Attempts, moment(m.NextTry))
		for _, mark := range marks(m) {
			c.printf("note        %s\n", mark)
		}
		for _, r := range m.Recipients {
			c.printf("to          %s: %s\n", r.Address, r.State)
			if r.Last != "" {
				c.printf("              %s, %s: %s\n", moment(r.LastAt), dash(r.Remote), r.Last)
			}
		}
		return nil
	})
}

// read prints the message itself: for a terminal as text, for anything else octet for
// octet.
func (q queueShow) read(ctx context.Context, c console) error {
	var out io.Writer = &output{Writer: raw(c.out)}
	text := false
	if f, ok := fileOf(c.out); ok && isTerminal(f) || q.Headers {
		out, text = c.out, true
	}
	return q.operate(ctx, c, func(o *operate.Client) error {
		return o.QueueRead(ctx, operate.QueueRead{ID: q.ID, Headers: q.Headers}, func(piece []byte) error {
			if text {
				piece = bytes.ReplaceAll(piece, []byte("\r"), nil)
			}
			_, err := out.Write(piece)
			return err
		})
	})
}

// marks says what is special about a message.
func marks(m operate.Message) (all []string) {
	if m.Forward {
		all = append(all, "a forward of the account's mail, in its name")
	}
	if m.Warned {
		all = append(all, "the account was told of the delay")
	}
	if m.Junk {
		all = append(all, "junk: a mailbox of ours keeps it apart")
	}
	return all
}

type queueRedirect struct {
	configFlag
	jsonFlag
	ID        string `arg:"" help:"The queue id."`
	Address   string `arg:"" help:"Who gets it, instead of those who do not have it yet."`
	ForwardOf string `name:"forward-of" placeholder:"ACCOUNT" help:"For an address that is not ours: an account that forwards there. The message leaves as its forward."`
	Reason    string `help:"Why; it stands in the trace."`
}

// Help says what may be done, and shows examples.
func (queueRedirect) Help() string {
	return `Recipients who have the message keep it; all others are replaced. An address of
ours gets it as if it had been written to. To any other it leaves only as a forward
that an account owns and that leads there: in that account's name, with its return
path, from its budget. What a frozen account sent stays.

Examples:
  sallyport queue redirect 06f1k4h8m2n5q7r9s1t3v5w7 bob@example.org
  sallyport queue redirect 06f1k4h8m2n5q7r9s1t3v5w7 bob@elsewhere.example \
      --forward-of bob@example.org --reason "his old address is gone"`
}

// Run redirects a message.
func (q queueRedirect) Run(ctx context.Context, c console) error {
	if err := checkIDs(q.ID); err != nil {
		return err
	}
	return q.operate(ctx, c, func(o *operate.Client) error {
		done, err := o.QueueRedirect(ctx, operate.QueueRedirect{ID: q.ID, To: q.Address, ForwardOf: q.ForwardOf, Reason: q.Reason})
		if err != nil {
			return err
		}
		if q.JSON {
			return printJSON(c.out, done)
		}
		c.printf("it goes to %s as %s,\ninstead of %s\n", q.Address, done.ID, strings.Join(done.Instead, ", "))
		return nil
	})
}
