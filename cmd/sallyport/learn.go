package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/history"
)

type learnCommands struct {
	List    learnList    `cmd:"" help:"From a list of accounts and their correspondents."`
	Maildir learnMaildir `cmd:"" help:"From the messages that people sent: the folder of sent mail of a Maildir."`
	Log     learnLog     `cmd:"" help:"From the mail log of Postfix or Exim."`
}

// learnFlags are those of each source.
type learnFlags struct {
	configFlag
	jsonFlag
	DryRun bool `help:"Say what would be learnt, and learn nothing."`
}

type learnList struct {
	learnFlags
	Files []string `arg:"" name:"file" help:"The lists; - is what comes in."`
}

// Help shows what a list looks like.
func (learnList) Help() string {
	return `Lines are "account correspondent [date]", with a date as 2026-11-01 or RFC 3339, or
"account: correspondent, correspondent". A line that begins with # is a remark. A list with a line
that does not read teaches nothing.

Examples:
  sallyport learn list known.txt
  echo 'alice@example.org: bob@remote.example, carl@remote.example' | sallyport learn list -`
}

// Run learns from lists.
func (l learnList) Run(ctx context.Context, c console) error {
	p := newPast(c, l.learnFlags, "line")
	for _, path := range l.Files {
		number := 0
		err := p.lines(ctx, path, func(line string, whole bool) error {
			number++
			s, err := history.ListLine(line)
			if !whole {
				err = errors.New("it is too long")
			}
			if err != nil {
				return fmt.Errorf("%s:%d: %w", path, number, err)
			}
			return p.add(s)
		})
		if err != nil {
			return err
		}
	}
	return p.teach(ctx, "a list")
}

type learnMaildir struct {
	learnFlags
	Account string   `placeholder:"ADDRESS" help:"Whose sent mail it is; without it, each message is of the account that it is From."`
	Folders []string `arg:"" name:"folder" help:"Folders with cur and new, such as /home/alice/Maildir/.Sent."`
}

// Help says what is read.
func (learnMaildir) Help() string {
	return `Reads From, To, Cc, Bcc and Date of every message, and nothing else. Name folders of sent mail
alone: in what came in, anybody may have written anything.

Examples:
  sallyport learn maildir /home/alice/Maildir/.Sent
  sallyport learn maildir --account alice@example.org /home/alice/Maildir/.Sent`
}

// Run learns from messages.
func (l learnMaildir) Run(ctx context.Context, c console) error {
	p := newPast(c, l.learnFlags, "message")
	p.recent = history.NewRecent(p.limits)
	var from mail.Address
	if l.Account != "" {
		var err error
		if from, err = mail.ParseAddress(l.Account, mail.UTF8); err != nil {
			return usageError{err.Error()}
		}
	}
	for _, folder := range l.Folders {
		if err := p.maildir(ctx, folder, from); err != nil {
			return err
		}
	}
	return p.teach(ctx, "sent mail")
}

type learnLog struct {
	learnFlags
	Unsigned bool     `help:"Also take mail without a sign-in, by its sender: where people sent from trusted networks, and nobody else could write their senders."`
	Files    []string `arg:"" name:"file" help:"The logs, also compressed with gzip or bzip2; - is what comes in."`
}

// Help says what is read.
func (learnLog) Help() string {
	return `Reads what was delivered for those who had signed in. Times may be in RFC 3339 or as
"Nov  1 12:00:00"; a year that is not there is taken from when the file was last written. Files are
read in the order of that time, so that a message may begin in one and end in the next.

Examples:
  sallyport learn log /var/log/mail.log*
  sallyport learn log /var/log/exim4/mainlog*
  journalctl -u 'postfix*' -o short-iso | sallyport learn log -`
}

// Run learns from logs.
func (l learnLog) Run(ctx context.Context, c console) error {
	p := newPast(c, l.learnFlags, "delivered recipient")
	p.recent = history.NewRecent(p.limits)
	files := slices.Clone(l.Files)
	written := map[string]time.Time{}
	for _, path := range files {
		written[path] = time.Now()
		if info, err := os.Stat(path); err == nil && path != "-" {
			written[path] = info.ModTime()
		}
	}
	slices.SortStableFunc(files, func(a, b string) int { return written[a].Compare(written[b]) })
	log := history.NewLog(p.limits, l.Unsigned)
	for _, path := range files {
		log.File(written[path])
		err := p.lines(ctx, path, func(line string, whole bool) error {
			if s, ok := log.Line(line); ok && whole {
				return p.add(s)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	p.unsigned = log.Left()
	return p.teach(ctx, "a log")
}

// past is what was read: whom each sender wrote to first when.
type past struct {
	c        console
	flags    learnFlags
	limits   history.Limits
	known    map[mail.Address]map[mail.Address]time.Time
	recent   *history.Recent // whole messages; nil: there are none in it
	pairs    int
	noun     string // what is counted in read
	read     int
	unread   int // messages that could not be read
	unsigned int // messages that were left out since nobody had signed in
}

func newPast(c console, f learnFlags, noun string) *past {
	return &past{c: c, flags: f, noun: noun, limits: history.DefaultLimits(), known: map[mail.Address]map[mail.Address]time.Time{}}
}

// add takes in what was sent.
func (p *past) add(s history.Sent) error {
	if s.From.IsZero() {
		return nil
	}
	p.read++
	if p.recent != nil {
		p.recent.Add(s)
	}
	all := p.known[s.From]
	if all == nil {
		all = map[mail.Address]time.Time{}
		p.known[s.From] = all
	}
	for _, to := range s.To {
		first, known := all[to]
		if !known {
			p.pairs++
		}
		if !known || s.At.Before(first) {
			all[to] = s.At
		}
	}
	if p.pairs > p.limits.Pairs {
		return fmt.Errorf("more than %d correspondents at once: name fewer files, and the others in another run", p.limits.Pairs)
	}
	return nil
}

// teach teaches the server, account by account, and says what it learnt.
func (p *past) teach(ctx context.Context, from string) error {
	return p.flags.operate(ctx, p.c, func(o *operate.Client) error {
		t := taught{past: p, accounts: map[string]operate.Learned{}}
		bar := newProgress(p.c, "teaching", func(n int64) string { return strconv.FormatInt(n, 10) })
		defer bar.end()
		byText := func(a, b mail.Address) int { return cmp.Compare(a.String(), b.String()) }
		done := 0
		for _, sender := range slices.SortedFunc(maps.Keys(p.known), byText) {
			all := slices.SortedFunc(maps.Keys(p.known[sender]), byText)
			for some := range slices.Chunk(all, operate.MaxLearn) {
				r := operate.Learn{Account: sender.String(), From: from, DryRun: p.flags.DryRun}
				for _, to := range some {
					r.Correspondents = append(r.Correspondents, operate.Correspondent{Address: to.String(), Since: p.known[sender][to]})
				}
				l, err := o.Learn(ctx, r)
				if err != nil {
					return fmt.Errorf("%s: %w", sender, err)
				}
				if t.add(sender, l); l.Account == "" {
					break // nobody's, whomever it wrote to
				}
				done += len(some)
				bar.at(int64(done), int64(p.pairs))
			}
		}
		bar.end()
		if err := p.teachNormal(ctx, o, &t, from); err != nil {
			return err
		}
		return t.tell()
	})
}

// teachNormal teaches what is normal here, when all correspondents are known.
func (p *past) teachNormal(ctx context.Context, o *operate.Client, t *taught, from string) error {
	if p.recent == nil {
		return nil
	}
	all := p.recent.Messages()
	for _, sender := range slices.SortedFunc(maps.Keys(all), func(a, b mail.Address) int { return cmp.Compare(a.String(), b.String()) }) {
		for some := range slices.Chunk(all[sender], operate.MaxLearn) {
			r := operate.Learn{Account: sender.String(), From: from, DryRun: p.flags.DryRun}
			for _, s := range some {
				r.Messages = append(r.Messages, operate.SentMessage{At: s.At, To: texts(s.To)})
			}
			l, err := o.Learn(ctx, r)
			if err != nil {
				return fmt.Errorf("%s: %w", sender, err)
			}
			t.all.Normal += l.Normal
		}
	}
	return nil
}

// taught is what the server learnt.
type taught struct {
	*past
	accounts map[string]operate.Learned
	all      operate.Learned
	unknown  []mail.Address
}

func (t *taught) add(sender mail.Address, l operate.Learned) {
	if l.Account == "" {
		t.unknown = append(t.unknown, sender)
		return
	}
	a := t.accounts[l.Account]
	a.Account = l.Account
	for _, sum := range []*operate.Learned{&a, &t.all} {
		sum.Taught += l.Taught
		sum.Known += l.Known
		sum.Gone += l.Gone
		sum.Misused += l.Misused
	}
	t.accounts[l.Account] = a
}

func (t *taught) tell() error {
	for _, name := range slices.Sorted(maps.Keys(t.accounts)) {
		a := t.accounts[name]
		if t.flags.JSON {
			if err := printJSON(t.c.out, a); err != nil {
				return err
			}
			continue
		}
		t.c.prose("%s: %s learnt, %d known already\n", name, words.Count(a.Taught, "correspondent"), a.Known)
	}
	to, what := t.c.out, "learnt"
	if t.flags.JSON {
		to = t.c.err // standard output is JSON alone
	}
	if t.flags.DryRun {
		what = "would be learnt"
	}
	say := console{out: to}
	say.prose("%s of %s %s, from %s\n", words.Count(t.all.Taught, "correspondent"),
		words.Count(len(t.accounts), "account"), what, words.Count(t.read, t.noun))
	if n := t.all.Normal; n > 0 {
		say.prose("what is normal here %s from %s\n", what, words.Count(n, "message"))
	}
	if n := len(t.unknown); n > 0 {
		say.prose("left out: %s without an account here: %s\n", words.Count(n, "sender"), some(texts(t.unknown)))
	}
	for _, left := range []struct {
		n         int
		what, why string
	}{
		{t.unsigned, "message", "for which nobody had signed in; --unsigned takes them by their sender, if nobody else could write it"},
		{t.unread, "message", "whose header does not read, or names no single author"},
		{t.all.Gone, "correspondent", "of a domain of ours, who is nobody here"},
		{t.all.Misused, "correspondent", "from the time of an incident of the account"},
	} {
		if left.n > 0 {
			say.prose("left out: %s %s\n", words.Count(left.n, left.what), left.why)
		}
	}
	if len(t.accounts) == 0 {
		return errSilent
	}
	return nil
}

func texts(all []mail.Address) (out []string) {
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

// lines calls fn for each line of a file; whole: all of the line, which was not too long.
func (p *past) lines(ctx context.Context, path string, fn func(line string, whole bool) error) error {
	in, size, err := openPlain(p.c, path)
	if err != nil {
		return err
	}
	defer in.Close()
	bar := newProgress(p.c, "reading "+mail.Printable(filepath.Base(path), mail.WordShown), fact.Octets)
	defer bar.end()
	text, err := unpacked(told{in, func(n int64) { bar.at(n, size) }}.reader())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := bufio.NewReaderSize(text, p.limits.Line)
	for ctx.Err() == nil {
		line, more, err := r.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		whole := !more
		line = bytes.Clone(line)
		for more && err == nil {
			_, more, err = r.ReadLine()
		}
		if err := fn(string(line), whole); err != nil {
			return err
		}
	}
	return ctx.Err()
}
