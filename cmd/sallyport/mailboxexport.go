package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sallyport/internal/fact"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving/export"
	"sallyport/internal/moving/mbox"
	"sallyport/internal/operate"
)

type mailboxExport struct {
	configFlag
	jsonFlag
	Folder   []string `sep:"none" placeholder:"NAME" help:"This folder alone, with those below it; may be given more than once, and * stands for any word of a level."`
	Exclude  []string `sep:"none" placeholder:"NAME" help:"Not this one."`
	Format   string   `default:"maildir" enum:"maildir,tar,mbox" help:"maildir: a Maildir++ in a new folder; tar: the same as one file; mbox: a file for each folder."`
	Form     string   `placeholder:"FORM" default:"mboxrd" enum:"mboxrd,mboxcl2" help:"How mbox files keep messages apart: mboxrd, or mboxcl2 for Dovecot, mutt and others that believe a Content-Length."`
	Continue bool     `help:"Go on with a Maildir that an export wrote, with what is not in it."`
	Account  string   `arg:"" help:"Whose mailbox."`
	To       string   `arg:"" help:"The folder, or the file of a tar, to write; it must not be there, or be an empty folder."`
}

// Help says what is written.
func (mailboxExport) Help() string {
	return `Messages come out as they are but for the ends of their lines, with flags, keywords and dates. A
Maildir has the keywords and subscriptions of Dovecot beside it; at most 26 keywords of a folder fit.
An mbox has the flags in Status, X-Status and X-Keywords, as Dovecot and mutt write them. Nothing that is there
is overwritten. A message that is damaged is named, and the rest comes out; the exit code is 1 then.

Examples:
  sallyport mailbox export alice@example.org /srv/export/alice
  sallyport mailbox export alice@example.org alice.tar --format tar --exclude Trash
  sallyport mailbox export alice@example.org alice-sent --format mbox --folder Sent`
}

// exportedFolder is what --json prints of a folder.
type exportedFolder struct {
	Folder   string `json:"folder"`
	Messages int    `json:"messages"` // written
	There    int    `json:"there,omitempty"`
	Octets   int64  `json:"octets"`
	Damaged  int    `json:"damaged,omitempty"` // not written
	Remarks  int    `json:"remarks,omitempty"` // written, and not what they were
	Keywords int    `json:"keywords_dropped,omitempty"`
}

// Run exports.
func (m mailboxExport) Run(ctx context.Context, c console) error {
	if m.Continue && m.Format != "maildir" {
		return usageError{"--continue goes with --format maildir"}
	}
	return m.operate(ctx, c, func(o *operate.Client) error {
		stream, err := o.MailboxExport(ctx, operate.MailboxExport{Account: m.Account, Folders: m.Folder, Exclude: m.Exclude})
		if err != nil {
			return err
		}
		out, err := m.writer()
		if err != nil {
			return errors.Join(err, stream.Close())
		}
		x := &exporting{
			c: c, out: out, json: m.JSON,
			bar: newProgress(c, "exporting", func(n int64) string { return words.Count(int(n), "message") }),
			of:  stream.Head.Messages,
		}
		err = stream.Each(x.folder, x.message)
		x.bar.end()
		if err = errors.Join(err, stream.Close()); err == nil {
			err = out.Commit()
		}
		out.Abort()
		if err == nil {
			err = x.tell(m.To)
		}
		return err
	})
}

func (m mailboxExport) writer() (export.Writer, error) {
	form, _ := mbox.ParseForm(m.Form)
	switch m.Format {
	case "tar":
		return export.Tar(m.To)
	case "mbox":
		return export.Mbox(m.To, form)
	}
	out, err := export.Maildir(m.To, m.Continue)
	if errors.Is(err, export.ErrThere) {
		err = fmt.Errorf("%w; what an export that was cut off has written goes on with --continue", err)
	}
	return out, err
}

// exporting writes what comes.
type exporting struct {
	c    console
	out  export.Writer
	json bool
	bar  *progress
	of   int
	done int
	all  []exportedFolder
}

func (x *exporting) folder(f operate.ExportedFolder) error {
	x.all = append(x.all, exportedFolder{Folder: f.Name})
	return x.out.Folder(f.Name, f.Subscribed, f.UIDValidity)
}

func (x *exporting) message(m operate.ExportedMessage) error {
	if len(x.all) == 0 {
		return errors.New("the export holds a message of no folder")
	}
	x.done++
	x.bar.at(int64(x.done), int64(x.of))
	f := &x.all[len(x.all)-1]
	if m.Damage != "" {
		f.Damaged++
		x.say(f.Folder, m.UID, "cannot be read: "+m.Damage)
		return nil
	}
	if m.Remark != "" {
		f.Remarks++
		x.say(f.Folder, m.UID, m.Remark+"; it is written as it is")
	}
	if x.out.Has(m.UID) {
		f.There++
		return nil
	}
	text := export.Unix(m.Octets)
	dropped, err := x.out.Write(export.Message{UID: m.UID, Flags: mailbox.NewFlags(m.System, m.Keywords...), Date: m.Date, Octets: text})
	f.Messages++
	f.Octets += int64(len(text))
	f.Keywords += dropped
	return err
}

func (x *exporting) say(folder string, uid uint32, what string) {
	x.bar.end()
	fmt.Fprintf(x.c.err, "sallyport: %s: UID %d: %s\n", mail.Shown(folder), uid, mail.Shown(what))
}

// tell says what came out; it fails where anything is damaged.
func (x *exporting) tell(to string) error {
	var sum exportedFolder
	t := newTable(x.c, "FOLDER", "MESSAGES", "OCTETS")
	for _, f := range x.all {
		if x.json {
			if err := printJSON(x.c.out, f); err != nil {
				return err
			}
		}
		t.row(f.Folder, strconv.Itoa(f.Messages), fact.Octets(f.Octets))
		sum.Messages, sum.Octets, sum.There, sum.Damaged = sum.Messages+f.Messages, sum.Octets+f.Octets, sum.There+f.There, sum.Damaged+f.Damaged
		sum.Remarks, sum.Keywords = sum.Remarks+f.Remarks, sum.Keywords+f.Keywords
	}
	if !x.json {
		if err := t.flush(); err != nil {
			return err
		}
		x.c.printf("wrote %s: %s, %s\n", to, words.Count(sum.Messages, "message"), fact.Octets(sum.Octets))
		for _, left := range []struct {
			n         int
			what, why string
		}{
			{sum.There, "message", "were there already"},
			{sum.Damaged, "message", "could not be read and are named above"},
			{sum.Remarks, "message", "were written and are not what they were; they are named above"},
			{sum.Keywords, "keyword", "were left out, since a folder of a Maildir has room for 26"},
		} {
			if left.n > 0 {
				x.c.printf("%s %s\n", words.Count(left.n, left.what), left.why)
			}
		}
	}
	if sum.Damaged+sum.Remarks > 0 {
		return errSilent
	}
	return nil
}
