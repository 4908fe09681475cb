package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
)

type traceCommand struct {
	configFlag
	jsonFlag
	Query       []string       `arg:"" optional:"" help:"A queue id, message-id, address, IP address or network, connection id, envelope id (ENVID), or what another server called a message when it took it. Without it, and without a kind, a rule or a time, a header, bounce or log line is read from standard input."`
	Kind        []string       `placeholder:"KIND" help:"Only facts of these kinds, such as ALARM, sign-in or refused."`
	Rule        []string       `placeholder:"RULE" help:"Only what these rules decided, such as relay-denied."`
	Since       timespan.Since `placeholder:"WHEN" help:"Only what happened since this day or minute, 2026-11-01 or 2026-11-01T13:00, or since so long ago: 48h, 14d."`
	Until       timespan.Until `placeholder:"WHEN" help:"Only what happened until the end of this day or minute, or until so long ago."`
	OldestFirst bool           `help:"With --limit: the oldest ones. Without, all are shown in their order anyway."`
	Limit       int            `help:"At most so many entries, the newest."`
	Exact       bool           `help:"Only what names the query itself, not the whole story of each message."`
	Before      uint64         `placeholder:"N" help:"Only what is older than entry N: the next page."`
	After       uint64         `placeholder:"N" help:"Only what is newer than entry N: the next page with --oldest-first."`
	Summary     bool           `xor:"what" help:"Instead, what each account did: messages, recipients, refusals, and whence it signed in."`
	Verify      bool           `xor:"what" help:"Instead, recompute the whole log and compare it with its signed checkpoints."`
}

// Help shows examples.
func (traceCommand) Help() string {
	return `Examples:
  sallyport trace 06f1k4h8m2n5q7r9s1t3v5w7       a message, by its queue id
  sallyport trace '<20261123.1@example.org>'     the same, by its message-id
  sallyport trace alice@example.org --since 24h  an account, any other address
  sallyport trace 192.0.2.0/24                   whoever came from there
  sallyport trace < bounce.eml                   a pasted bounce or header
  sallyport trace --kind ALARM --since 7d        what a person must look at
  sallyport trace --rule relay-denied --limit 20
  sallyport trace --summary --since 24h          who sent how much, and from where
  sallyport trace --verify                       has the log been tampered with?

A short answer has the whole story of each message. A long one has only the
entries that name what was asked for.

Exits with 1 when nothing is found, or when the log does not verify.`
}

// Run answers the query.
func (t traceCommand) Run(ctx context.Context, c console) error {
	if t.Verify {
		return t.operate(ctx, c, func(o *operate.Client) error { return t.verify(ctx, c, o) })
	}
	q, err := t.query(c)
	if err != nil {
		return err
	}
	return t.operate(ctx, c, func(o *operate.Client) error {
		if t.Summary {
			return t.summary(ctx, c, o, q)
		}
		return t.answer(ctx, c, o, q)
	})
}

// query is the command line as a query.
func (t traceCommand) query(c console) (q operate.TraceQuery, err error) {
	now := time.Now()
	q = operate.TraceQuery{
		Rules: t.Rule, From: t.Since.From(now), To: t.Until.To(now), Before: t.Before, After: t.After,
		OldestFirst: t.OldestFirst || t.After > 0, Limit: t.Limit, Exact: t.Exact,
	}
	switch {
	case t.Limit < 0:
		return q, usageError{"--limit: at least 1"}
	case t.Before > 0 && q.OldestFirst:
		return q, usageError{"--before goes with the newest first, --after with --oldest-first"}
	case t.Summary && len(t.Kind)+len(t.Rule) > 0:
		return q, usageError{"--summary counts by kinds of its own: leave out --kind and --rule"}
	}
	for _, k := range t.Kind {
		kind, err := kindOf(k)
		if err != nil {
			return q, err
		}
		q.Kinds = append(q.Kinds, kind)
	}
	if len(t.Query) == 0 && (t.Summary || len(q.Kinds)+len(q.Rules) > 0 || !q.From.IsZero() || !q.To.IsZero()) {
		return q, nil
	}
	q.Text, err = t.text(c)
	return q, err
}

// kindOf reads a kind of facts, as it is stored or as a line of the trace names it.
func kindOf(s string) (fact.Kind, error) {
	var words []string
	for _, k := range fact.Kinds() {
		if strings.EqualFold(s, string(k.Kind)) || strings.EqualFold(s, k.Word) {
			return k.Kind, nil
		}
		words = append(words, k.Word)
	}
	return "", usageError{"--kind: " + s + " is none of " + strings.Join(words, ", ")}
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

// answer shows what is found, in the order of the log, on however many pages it comes.
func (t traceCommand) answer(ctx context.Context, c console, o *operate.Client, q operate.TraceQuery) error {
	a, err := o.Trace(ctx, q)
	if err != nil {
		return err
	}
	show := shownFacts{c: c, json: t.JSON}
	switch {
	case !a.More():
		err = show.entries(a.Entries)
	case q.Limit > 0 && !q.OldestFirst:
		err = t.newest(ctx, o, q, &a, &show)
	case q.Limit > 0:
		err = t.oldest(ctx, o, q, &a, &show)
	default:
		// All of it, page by page from the oldest, so that none need be kept.
		q.OldestFirst, q.After = true, max(q.After, 0)
		if a, err = o.Trace(ctx, q); err == nil {
			err = t.oldest(ctx, o, q, &a, &show)
		}
	}
	if err == nil && show.shown == 0 {
		fmt.Fprintln(c.err, "sallyport: nothing is known about that")
		return errSilent
	}
	t.remark(c, a)
	return err
}

// remark says what the answer leaves out.
func (t traceCommand) remark(c console, a query.Answer) {
	for _, r := range []struct {
		is   bool
		text string
	}{
		{a.Older > 0, "there is more; see it with --before " + strconv.FormatUint(a.Older, 10)},
		{a.Newer > 0, "there is more; see it with --oldest-first --after " + strconv.FormatUint(a.Newer, 10)},
		{a.Exact, "only what names the query itself; the queue id of a message finds its whole story"},
		{a.Short, "a message has more facts than its story tells; its queue id finds all"},
		{a.Partial, "there is more than one query reads; name a narrower network"},
	} {
		if r.is {
			text := "sallyport: " + r.text + "\n"
			if width := widthOf(c.err); width > 0 {
				text = foldedProse(text, width)
			}
			fmt.Fprint(c.err, text)
		}
	}
}

// newest reads pages backwards until the limit is reached, and shows them in order.
func (t traceCommand) newest(ctx context.Context, o *operate.Client, q operate.TraceQuery, a *query.Answer, show *shownFacts) error {
	pages := [][]query.Entry{a.Entries}
	for left := q.Limit - len(a.Entries); left > 0 && a.Older > 0; left = left - len(a.Entries) {
		q.Before, q.Limit = a.Older, left
		next, err := o.Trace(ctx, q)
		if err != nil {
			return err
		}
		next.Exact = next.Exact || a.Exact
		*a = next
		pages = append(pages, a.Entries)
	}
	for _, p := range slices.Backward(pages) {
		if err := show.entries(p); err != nil {
			return err
		}
	}
	return nil
}

// oldest shows pages as they come, until the limit is reached, if there is one.
func (t traceCommand) oldest(ctx context.Context, o *operate.Client, q operate.TraceQuery, a *query.Answer, show *shownFacts) error {
	for {
		if err := show.entries(a.Entries); err != nil {
			return err
		}
		left := q.Limit - len(a.Entries)
		if a.Newer == 0 || q.Limit > 0 && left <= 0 {
			return nil
		}
		if q.Limit > 0 {
			q.Limit = left
		}
		q.After = a.Newer
		next, err := o.Trace(ctx, q)
		if err != nil {
			return err
		}
		next.Exact = next.Exact || a.Exact
		*a = next
	}
}

// shownFacts writes entries, and knows what it wrote.
type shownFacts struct {
	c     console
	json  bool
	shown int
	lines fact.Chronicle
}

func (s *shownFacts) entries(all []query.Entry) error {
	s.shown += len(all)
	for _, e := range all {
		if s.json {
			if err := printJSON(s.c.out, e); err != nil {
				return err
			}
			continue
		}
		if _, err := io.WriteString(s.c.out, s.folded(s.lines.Add(e.Fact, time.Local))); err != nil {
			return err
		}
	}
	return nil
}

// folded breaks long lines on a terminal; what goes on stands as deep as evidence does.
func (s *shownFacts) folded(text string) string {
	width := widthOf(s.c.out)
	if width == 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(hung(strings.TrimSuffix(line, "\n"), fact.TimelineIndent, width))
	}
	return b.String()
}

// summary shows what each account did.
func (t traceCommand) summary(ctx context.Context, c console, o *operate.Client, q operate.TraceQuery) error {
	n := 0
	table := newTable(c, "ACCOUNT", "MESSAGES", "RECIPIENTS", "REFUSED", "FAILED", "SIGN-INS", "WRONG", "NETWORKS", "LAST")
	err := o.TraceSummary(ctx, q, func(a query.Tallied) error {
		if n++; t.Limit > 0 && n > t.Limit {
			return nil
		}
		if t.JSON {
			return printJSON(c.out, a)
		}
		table.row(a.Account, strconv.Itoa(a.Messages), strconv.Itoa(a.Recipients), strconv.Itoa(a.Refused), strconv.Itoa(a.Failed),
			strconv.Itoa(a.SignIns), strconv.Itoa(a.SignInsBad), networks(a), moment(a.Last))
		return nil
	})
	switch {
	case err != nil:
		return err
	case n == 0:
		fmt.Fprintln(c.err, "sallyport: no account did anything in that time, as far as the trace knows")
		return errSilent
	case t.JSON:
		return nil
	}
	return table.flush()
}

// networks names whence an account signed in, the three busiest.
func networks(a query.Tallied) string {
	var names []string
	for _, n := range a.Networks[:min(len(a.Networks), fewNames)] {
		names = append(names, n.Network.String())
	}
	if more := len(a.Networks) - len(names); more > 0 {
		names = append(names, "and "+strconv.Itoa(more)+" more")
	}
	return dash(strings.Join(names, ", "))
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
			words.Count(int(r.Facts), "fact"), r.Forgotten, words.Count(r.Checkpoints, "signed checkpoint"), r.Root)
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
