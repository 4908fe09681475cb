package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/moving/mbox"
	"sallyport/internal/reports/format"
)

type dmarcCommands struct {
	Report dmarcReport `cmd:"" help:"Show who sends in the name of our domains, from the reports that others send about them."`
	Record dmarcRecord `cmd:"" help:"Print the SPF and DMARC records of a domain, ready to paste."`
}

type dmarcReport struct {
	jsonFlag
	Files   []string       `arg:"" optional:"" name:"file" help:"Reports, or messages that bear them: files, mboxes, folders of files such as a Maildir, or - for standard input."`
	Maildir string         `placeholder:"FOLDER" help:"A Maildir: the messages in its new and cur."`
	Domain  string         `placeholder:"DOMAIN" help:"Only mail in the name of this domain and those below it."`
	Since   timespan.Since `placeholder:"WHEN" help:"Only reports of days after this one, 2026-11-01, or of so long ago: 14d."`
	Names   bool           `help:"Ask the system's DNS for the name of each source."`
	Failed  bool           `help:"Only sources of mail that neither SPF nor DKIM speaks for."`
}

// Help says what is read and shows examples.
func (dmarcReport) Help() string {
	return `Reads DMARC aggregate reports (RFC 9990, and RFC 7489): XML, gzip, zip, or the messages that they come
in, also many of them in an mbox. What is no report is told and passed over; of a damaged one, what can be
read counts, and what was left out is told; a report that comes twice counts once. Nothing is asked and
nothing is sent, unless --names asks the DNS. Exits with 1 if there is mail that neither SPF nor DKIM
speaks for, or something could not be read.

Examples:
  sallyport dmarc report /var/lib/sallyport/mail/example.org/reports
  sallyport dmarc report --domain example.org --since 14d --failed reports/
  sallyport dmarc report - < report.eml
  sallyport dmarc report --json reports/        one source a line`
}

// Run reads and tells.
func (d dmarcReport) Run(ctx context.Context, c console) error {
	filter, err := d.filter(time.Now())
	if err != nil {
		return err
	}
	if d.Maildir != "" {
		d.Files = append(d.Files, d.Maildir)
	}
	if len(d.Files) == 0 {
		return usageError{"name files or folders with reports, or - for standard input"}
	}
	in := reportInput{c: c, limits: format.DefaultLimits()}
	for _, path := range d.Files {
		if err := in.path(ctx, path); err != nil {
			return err
		}
	}
	if in.others > 0 {
		fmt.Fprintf(c.err, "sallyport: %s without a report passed over\n", words.Count(in.others, "message"))
	}
	if in.rows > 0 {
		fmt.Fprintf(c.err, "sallyport: %s that could not be read left out, not counted below\n", words.Count(in.rows, "row"))
	}
	s := format.Summarize(in.found, filter)
	if d.Failed {
		s.Sources = slices.DeleteFunc(s.Sources, func(s format.Source) bool { return s.Failed() == 0 })
	}
	if d.Names {
		nameSources(ctx, s.Sources)
	}
	if err := d.tell(c, s); err != nil {
		return err
	}
	if in.bad > 0 || s.Passed < s.Messages {
		return errSilent
	}
	return nil
}

func (d dmarcReport) filter(now time.Time) (f format.Filter, err error) {
	if d.Domain != "" {
		domain, err := mail.ParseDomain(d.Domain)
		if err != nil {
			return f, usageError{"--domain: " + err.Error()}
		}
		f.Domain = domain.ASCII()
	}
	f.Since = d.Since.From(now)
	return f, nil
}

// reportInput reads reports from wherever they are.
type reportInput struct {
	c      console
	limits format.Limits
	found  []format.Report
	bad    int // that could not be read, or not all of them
	rows   int // that were left out
	others int // messages of a folder that bear no report
}

// path reads a file, a folder with its folders, or standard input.
func (r *reportInput) path(ctx context.Context, path string) error {
	if path == "-" {
		r.piped("standard input", r.c.in, false)
		return nil
	}
	return filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.IsDir() || name != path && skipped(d) {
			return nil
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a mail program moved it meanwhile
		}
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			r.read(name, f, info.Size(), name != path)
		} else {
			r.piped(name, f, name != path)
		}
		return nil
	})
}

// skipped are a Maildir's own files, and what no report can be.
func skipped(d fs.DirEntry) bool {
	return !d.Type().IsRegular() || d.Name() == "maildirfolder" || strings.HasPrefix(d.Name(), "dovecot") || strings.HasPrefix(d.Name(), ".")
}

// piped reads what can only be read from its beginning to its end.
func (r *reportInput) piped(name string, in io.Reader, mailbox bool) {
	data, err := io.ReadAll(io.LimitReader(in, r.limits.Octets+1))
	if err != nil || int64(len(data)) > r.limits.Octets {
		r.take(name, data, err, mailbox) // too large, which is told
		return
	}
	r.read(name, bytes.NewReader(data), int64(len(data)), mailbox)
}

// read reads one file: a report, a message, or an mbox of messages.
func (r *reportInput) read(name string, in io.ReaderAt, size int64, mailbox bool) {
	messages := mbox.NewReader(in, size, mbox.Any, r.limits.Octets, time.UTC)
	for first := true; ; first = false {
		m, err := messages.Next()
		switch {
		case first && (errors.Is(err, mbox.ErrNone) || err == io.EOF):
			data, err := io.ReadAll(io.NewSectionReader(in, 0, min(size, r.limits.Octets+1)))
			r.take(name, data, err, mailbox)
			return
		case err == io.EOF:
			return
		case err != nil:
			r.take(name, nil, err, false)
			return
		case m.TooLong:
			r.take(name, nil, fmt.Errorf("a message is larger than %d octets", r.limits.Octets), false)
		case !m.Internal:
			r.take(name, m.Octets, nil, true)
		}
	}
}

// take reads the reports in one file or message, unless that could not be read itself. In a mailbox
// there may be other mail, too.
func (r *reportInput) take(name string, data []byte, err error, mailbox bool) {
	if err == nil {
		var got format.Reading
		got, err = r.limits.Read(data)
		r.found = append(r.found, got.Reports...)
		r.rows += got.Rows
		for _, fault := range got.Faults {
			fmt.Fprintf(r.c.err, "sallyport: %s: not read whole: %s\n", name, fault)
		}
		if len(got.Faults) > 0 {
			r.bad++
		}
	}
	if mailbox && errors.Is(err, format.ErrNone) {
		r.others++
		return
	}
	if err != nil {
		r.bad++
		fmt.Fprintf(r.c.err, "sallyport: %s: %s\n", mail.Shown(name), mail.Shown(err.Error()))
	}
}

// nameSources asks the system's resolver, no longer than namesTime for all.
func nameSources(ctx context.Context, all []format.Source) {
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	for i := range all {
		all[i].Name = reverseName(ctx, all[i].Address)
	}
}

// namesTime is how long the DNS may take to name the addresses of a report.
const namesTime = 30 * time.Second

func reverseName(ctx context.Context, ip netip.Addr) string {
	names, err := (&net.Resolver{}).LookupAddr(ctx, ip.String())
	if err != nil || len(names) == 0 {
		return ""
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(names[0], "."))
	if err != nil {
		return ""
	}
	return d.ASCII()
}

func (d dmarcReport) tell(c console, s format.Summary) error {
	if d.JSON {
		for _, source := range s.Sources {
			if err := printJSON(c.out, source); err != nil {
				return err
			}
		}
		return nil
	}
	if s.Reports == 0 {
		c.printf("no reports\n")
		return nil
	}
	c.printf("%s from %s, %s to %s\n", words.Count(s.Reports, "report"), strings.Join(s.Receivers, ", "), s.Begin.Format("2006-01-02"), s.End.Format("2006-01-02"))
	if s.Duplicates > 0 {
		c.printf("%s that came twice counted once\n", words.Count(s.Duplicates, "report"))
	}
	c.printf("%s, %d of them with SPF or DKIM that speaks for the author, %d without\n\n", words.Count(s.Messages, "message"), s.Passed, s.Messages-s.Passed)
	t := newTable(c, "SOURCE", "MESSAGES", "PASSED", "BY SPF", "BY DKIM", "FAILED", "REFUSED", "JUNKED", "SENDS AS")
	for _, v := range s.Sources {
		t.row(v.Address.String(), fmt.Sprint(v.Messages), fmt.Sprint(v.Passed), fmt.Sprint(v.BySPF), fmt.Sprint(v.ByDKIM), fmt.Sprint(v.Failed()),
			fmt.Sprint(v.Refused), fmt.Sprint(v.Junked), strings.Join(v.From, " "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, v := range s.Sources {
		if v.Advice == format.Passes {
			continue
		}
		name := v.Address.String()
		if v.Name != "" {
			name += " (" + v.Name + ")"
		}
		what := fmt.Sprintf("sent %s as %s", words.Count(v.Messages, "message"), strings.Join(v.From, ", "))
		if v.Failed() > 0 {
			what += fmt.Sprintf(", %d of them without SPF or DKIM for the author", v.Failed())
		}
		c.printf("\n%s %s.\n  %s\n", name, what, v.Advice)
	}
	return nil
}
