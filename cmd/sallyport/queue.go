package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

type queueCommands struct {
	Ls       queueLs       `cmd:"" help:"List the messages that wait and why, oldest first, or sum them up."`
	Show     queueShow     `cmd:"" help:"Show one message: what became of it so far, its headers, or all of it."`
	Hold     queueHold     `cmd:"" help:"Keep messages from being tried."`
	Release  queueRelease  `cmd:"" help:"End the hold of messages."`
	Retry    queueRetry    `cmd:"" help:"Try messages now."`
	Redirect queueRedirect `cmd:"" help:"Give a message another recipient."`
	Rm       queueRm       `cmd:"" help:"Remove messages for good, without telling their senders."`
}

// selectFlags choose messages.
type selectFlags struct {
	configFlag
	jsonFlag
	IDs       []string      `arg:"" optional:"" name:"id" help:"Queue ids."`
	Account   string        `help:"Of this account."`
	Sender    string        `help:"With this envelope sender; '<>' for notifications."`
	Recipient string        `help:"To this recipient."`
	Domain    string        `help:"To this domain."`
	Held      *bool         `negatable:"" help:"Held ones only, or with --no-held the others."`
	OlderThan timespan.Flag `placeholder:"DURATION" help:"Received longer ago than this, such as 36h or 3d."`
}

func (s selectFlags) choice() operate.Select {
	return operate.Select{
		IDs: s.IDs, Account: s.Account, Sender: s.Sender, Recipient: s.Recipient, Domain: s.Domain,
		Held: s.Held, OlderThan: time.Duration(s.OlderThan),
	}
}

// changeFlags choose messages to change.
type changeFlags struct {
	selectFlags
	All    bool `help:"All messages."`
	DryRun bool `help:"Only say how many it would be."`
}

// apply changes the chosen messages and tells how many they were.
func (f changeFlags) apply(ctx context.Context, c console, reason, done string,
	act func(*operate.Client, operate.QueueChange) (operate.QueueChanged, error)) error {
	r := operate.QueueChange{Select: f.choice(), Reason: reason, DryRun: f.DryRun}
	r.All = f.All
	if err := f.check(r); err != nil {
		return err
	}
	return f.operate(ctx, c, func(o *operate.Client) error {
		changed, err := f.watched(c, o, r, act)
		if err != nil && changed.Count > 0 {
			return fmt.Errorf("%s, at least, %s, and the rest is as it was; the command may be repeated: %w",
				words.Count(changed.Count, "message"), done, err)
		}
		if err != nil {
			return err
		}
		if f.JSON {
			if err := printJSON(c.out, changed); err != nil || changed.Missing == 0 {
				return err
			}
			return errSilent
		}
		if changed.DryRun {
			done = "would be " + done
		}
		c.printf("%s %s\n", words.Count(changed.Count, "message"), done)
		if changed.Unchanged > 0 {
			c.printf("%s unchanged: already so, or held with an account, which only 'account thaw' ends\n",
				words.Count(changed.Unchanged, "message"))
		}
		if changed.Missing > 0 {
			return fmt.Errorf("%s not found in the queue; 'sallyport trace ID' tells what became of it",
				words.Count(changed.Missing, "named message"))
		}
		return nil
	})
}

// check demands that messages are chosen, in one way.
func (f changeFlags) check(r operate.QueueChange) error {
	if r.All && r.Chooses() {
		return usageError{"--all means every message: name none beside it, and leave out what narrows the choice down"}
	}
	if !r.All && !r.Chooses() {
		return usageError{"which messages? Name their ids, or choose them by --account, --sender, --recipient, --domain, --held or --older-than, or take --all; --dry-run says how many that would be"}
	}
	return checkIDs(f.IDs...)
}

// checkIDs demands queue ids.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if _, err := mail.ParseID(id); err != nil {
			return usageError{err.Error() + "; 'sallyport queue ls' lists them"}
		}
	}
	return nil
}

// watched changes messages under the eyes of whoever sits at a terminal. How many they
// will be is asked first, for the bar alone.
func (f changeFlags) watched(c console, o *operate.Client, r operate.QueueChange,
	act func(*operate.Client, operate.QueueChange) (operate.QueueChanged, error)) (operate.QueueChanged, error) {
	bar := newProgress(c, "changing messages", func(n int64) string { return strconv.FormatInt(n, 10) })
	if r.DryRun || !bar.seen() {
		return act(o, r)
	}
	r.DryRun = true
	before, err := act(o, r)
	if err != nil {
		return before, err
	}
	defer bar.end()
	r.DryRun = false
	r.Tell = func(now operate.QueueChanged) { bar.at(int64(now.Count+now.Unchanged), int64(before.Count)) }
	return act(o, r)
}

type queueHold struct {
	changeFlags
	Reason string `help:"Why; it stands in the trace and in listings."`
}

// Help shows examples.
func (queueHold) Help() string {
	return `Examples:
  sallyport queue hold 06f1k4h8m2n5q7r9s1t3v5w7 --reason "is this spam?"
  sallyport queue hold --domain example.net --dry-run`
}

// Run holds messages.
func (q queueHold) Run(ctx context.Context, c console) error {
	return q.apply(ctx, c, q.Reason, "held", func(o *operate.Client, r operate.QueueChange) (operate.QueueChanged, error) {
		return o.QueueHold(ctx, r)
	})
}

type queueRelease struct{ changeFlags }

// Help shows examples.
func (queueRelease) Help() string {
	return `What is held with a contained or frozen account is released with it: sallyport incident release,
sallyport account thaw.

Examples:
  sallyport queue release 06f1k4h8m2n5q7r9s1t3v5w7
  sallyport queue release --domain example.net --dry-run`
}

// Run releases messages.
func (q queueRelease) Run(ctx context.Context, c console) error {
	return q.apply(ctx, c, "", "released", func(o *operate.Client, r operate.QueueChange) (operate.QueueChanged, error) {
		return o.QueueRelease(ctx, r)
	})
}

type queueRetry struct{ changeFlags }

// Help shows examples.
func (queueRetry) Help() string {
	return `Held messages stay held.

Examples:
  sallyport queue retry --domain example.net
  sallyport queue retry --all`
}

// Run retries messages.
func (q queueRetry) Run(ctx context.Context, c console) error {
	return q.apply(ctx, c, "", "due now", func(o *operate.Client, r operate.QueueChange) (operate.QueueChanged, error) {
		return o.QueueRetry(ctx, r)
	})
}

type queueRm struct {
	changeFlags
	Reason string `help:"Why; it stands in the trace."`
}

// Help shows examples.
func (queueRm) Help() string {
	return `Nobody is told, and nothing brings a message back.

Examples:
  sallyport queue rm 06f1k4h8m2n5q7r9s1t3v5w7 --reason "a virus"
  sallyport queue rm --sender shop@example.org --older-than 24h --dry-run`
}

// Run removes messages.
func (q queueRm) Run(ctx context.Context, c console) error {
	return q.apply(ctx, c, q.Reason, "removed", func(o *operate.Client, r operate.QueueChange) (operate.QueueChanged, error) {
		return o.QueueRemove(ctx, r)
	})
}
