package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/budget/quota"
	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type mailboxCommands struct {
	Ls      mailboxLs      `cmd:"" help:"List the mailboxes of accounts."`
	Show    mailboxShow    `cmd:"" help:"Show the folders of a mailbox."`
	Verify  mailboxVerify  `cmd:"" help:"Read every message and every index, and say what is damaged."`
	Rebuild mailboxRebuild `cmd:"" help:"Make the index of a mailbox anew from its files."`
	Import  mailboxImport  `cmd:"" help:"Move mail in from a Maildir, an mbox or another server."`
	Export  mailboxExport  `cmd:"" help:"Write mail out as a Maildir, a tar archive or mbox files."`
	Restore mailboxRestore `cmd:"" help:"Bring back mail, or one message, out of a backup."`
}

type mailboxLs struct {
	configFlag
	jsonFlag
	Account string `arg:"" optional:"" help:"That of this account alone."`
}

// Help shows examples.
func (mailboxLs) Help() string {
	return `An account to which nothing was delivered yet has no mailbox. HOLDS is how long its files are, OF how much
it may hold (sallyport account set --quota).

Examples:
  sallyport mailbox ls
  sallyport mailbox ls alice@example.org --json`
}

// Run lists mailboxes.
func (l mailboxLs) Run(ctx context.Context, c console) error {
	return l.operate(ctx, c, func(o *operate.Client) error {
		t, n := newTable(c, "ACCOUNT", "FOLDERS", "MESSAGES", "UNSEEN", "HOLDS", "OF", "PLACE"), 0
		err := o.MailboxList(ctx, operate.MailboxRef{Account: l.Account}, func(m operate.Mailbox) error {
			n++
			if l.JSON {
				return printJSON(c.out, m)
			}
			held, most := heldOf(m.Room)
			t.row(m.Account, strconv.Itoa(m.Folders), strconv.Itoa(m.Messages), strconv.Itoa(m.Unseen), held, most, m.Place)
			return nil
		})
		switch {
		case err != nil || l.JSON:
			return err
		case n == 0:
			c.printf("no account has a mailbox yet\n")
			return nil
		}
		return t.flush()
	})
}

// heldOf says what a mailbox holds, and may hold.
func heldOf(r *operate.Room) (held, most string) {
	if r == nil {
		return dash(""), dash("")
	}
	if most = "-"; r.Quota.Bounds() {
		most = r.Quota.String()
	}
	return quota.Size(r.Used.Octets), most
}

// mailboxFlags choose folders.
type mailboxFlags struct {
	configFlag
	jsonFlag
	Folder string `help:"This folder alone."`
}

type mailboxShow struct {
	mailboxFlags
	Account string `arg:"" help:"Whose mailbox."`
}

// Help shows examples.
func (mailboxShow) Help() string {
	return `OCTETS is what the messages are long over IMAP. A folder with another UIDVALIDITY than before is
read anew by every mail program.

Examples:
  sallyport mailbox show alice@example.org
  sallyport mailbox show alice@example.org --folder Sent --json`
}

// Run shows folders.
func (s mailboxShow) Run(ctx context.Context, c console) error {
	return s.operate(ctx, c, func(o *operate.Client) error {
		t := newTable(c, "FOLDER", "FOR", "MESSAGES", "UNSEEN", "OCTETS", "UIDVALIDITY", "UIDNEXT", "SUBSCRIBED")
		err := o.MailboxShow(ctx, operate.MailboxRef{Account: s.Account, Folder: s.Folder}, func(f operate.MailboxFolder) error {
			if s.JSON {
				return printJSON(c.out, f)
			}
			t.row(f.Name, dash(f.Use), strconv.Itoa(f.Messages), strconv.Itoa(f.Unseen), strconv.FormatInt(f.Octets, 10),
				strconv.FormatUint(uint64(f.UIDValidity), 10), strconv.FormatUint(uint64(f.UIDNext), 10), map[bool]string{true: "yes", false: "no"}[f.Subscribed])
			return nil
		})
		if err != nil || s.JSON {
			return err
		}
		if err := t.flush(); err != nil || s.Folder != "" {
			return err
		}
		return o.MailboxList(ctx, operate.MailboxRef{Account: s.Account}, func(m operate.Mailbox) error {
			if m.Room != nil {
				c.prose("it holds %s\n", roomOf(*m.Room))
			}
			return nil
		})
	})
}

type mailboxVerify struct {
	mailboxFlags
	Account string `arg:"" optional:"" help:"Whose mailbox; all where none is named."`
}

// Help shows examples.
func (mailboxVerify) Help() string {
	return `Nothing is changed. What is damaged of an index costs no message: the index is made anew when
the folder is opened the next time, or by "mailbox rebuild". What other programs did since the
folder was looked at last is no damage. Exits with 1 where anything is damaged.

Examples:
  sallyport mailbox verify
  sallyport mailbox verify alice@example.org --json`
}

// Run verifies.
func (v mailboxVerify) Run(ctx context.Context, c console) error {
	folders, messages, damaged := 0, 0, 0
	err := v.operate(ctx, c, func(o *operate.Client) error {
		return o.MailboxVerify(ctx, operate.MailboxRef{Account: v.Account, Folder: v.Folder}, func(f operate.MailboxVerified) error {
			folders, messages = folders+1, messages+f.Messages
			if !f.Sound {
				damaged++
			}
			if v.JSON {
				return printJSON(c.out, f)
			}
			for _, what := range append(f.Damage, f.Unreadable...) {
				c.printf("%s %s: %s\n", f.Account, f.Name, what)
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case damaged > 0:
		return fmt.Errorf("%d of %d folders damaged", damaged, folders)
	case !v.JSON:
		is := "are"
		if folders == 1 {
			is = "is"
		}
		c.printf("%s with %s %s sound\n", words.Count(folders, "folder"), words.Count(messages, "message"), is)
	}
	return nil
}

type mailboxRebuild struct {
	mailboxFlags
	Account string `arg:"" help:"Whose mailbox."`
}

// Help shows examples.
func (mailboxRebuild) Help() string {
	return `Messages stay as they are, and keep their UIDs where these are known. Who has the mailbox open goes
on reading.

Examples:
  sallyport mailbox rebuild alice@example.org
  sallyport mailbox rebuild alice@example.org --folder INBOX`
}

// Run rebuilds.
func (r mailboxRebuild) Run(ctx context.Context, c console) error {
	return r.operate(ctx, c, func(o *operate.Client) error {
		return o.MailboxRebuild(ctx, operate.MailboxRef{Account: r.Account, Folder: r.Folder}, func(f operate.MailboxRebuilt) error {
			if r.JSON {
				return printJSON(c.out, f)
			}
			found := ""
			if len(f.Damage) > 0 {
				found = "; it was damaged: " + strings.Join(f.Damage, ", ")
			}
			c.printf("%s %s: %s, %d with a new UID%s\n", f.Account, f.Name, words.Count(f.Messages, "message"), f.NewUIDs, found)
			return nil
		})
	})
}
