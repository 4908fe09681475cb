package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"os"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/timespan"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/moving/stored"
	"sallyport/internal/operate"
)

type mailboxRestore struct {
	configFlag
	jsonFlag
	choiceFlags
	From      string         `required:"" placeholder:"FILE|DIR" help:"The backup, or a folder that is a copy of a mailbox."`
	Was       string         `placeholder:"ADDRESS" help:"Whose mailbox of the backup; default: the account's."`
	Into      string         `placeholder:"FOLDER" help:"Where it comes; default: Restored and the day of the backup."`
	MessageID string         `name:"message-id" placeholder:"ID" help:"The message with this Message-ID alone."`
	UID       []uint32       `name:"uid" placeholder:"N" help:"The messages with these UIDs in the one folder that --folder names."`
	Since     timespan.Since `placeholder:"WHEN" help:"What came on this day or later, 2026-11-01, or since so long ago: 36h, 14d."`
	Before    string         `placeholder:"DATE" help:"What came before this day."`
	Search    string         `placeholder:"TEXT" help:"What has this text in From, To, Cc or Subject."`
	All       bool           `help:"Also what is still in its folder."`
	Tmp       string         `placeholder:"DIR" help:"Where the mailbox is taken out of the backup meanwhile; it needs as much room as the mailbox. Default: the system's."`
	Account   string         `arg:"" help:"Into whose mailbox."`
}

// Help says what comes back.
func (mailboxRestore) Help() string {
	return `Takes the messages of a mailbox, or some of them, out of a backup and adds them below a folder of
their own, with flags, keywords and dates; nothing that is there is touched. What is still in the
folder that it was in does not come, unless --all is given, and nothing comes twice into one folder.
The file is what 'sallyport backup' wrote. What is damaged in it is named, and the rest comes; the
exit code is 1 then.

Examples:
  sallyport mailbox restore alice@example.org --from /backup/sallyport-….tar.zst
  sallyport mailbox restore alice@example.org --from /backup/sallyport-….tar.zst --folder Invoices --since 2026-01-01
  sallyport mailbox restore alice@example.org --from /backup/sallyport-….tar.zst --message-id '<1234@example.net>'
  sallyport mailbox restore alice@example.org --from /backup/sallyport-….tar.zst --search 'tax office' --dry-run
  sallyport mailbox restore boss@example.org --from /backup/sallyport-….tar.zst --was gone@example.org`
}

// Run restores.
func (m mailboxRestore) Run(ctx context.Context, c console) error {
	match, err := m.matcher()
	if err != nil {
		return err
	}
	return m.operate(ctx, c, func(o *operate.Client) error {
		here := map[string]map[uint32]bool{}
		err := o.MailboxUIDs(ctx, operate.MailboxRef{Account: m.Account}, func(u operate.MailboxUIDs) error {
			if m.All || m.Was != "" && m.Was != m.Account {
				return nil
			}
			here[folderKey(u.Folder, u.UIDValidity)] = map[uint32]bool{}
			for _, uid := range u.UIDs {
				here[folderKey(u.Folder, u.UIDValidity)][uid] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		tmp, err := os.MkdirTemp(m.Tmp, "sallyport-restore-*")
		if err != nil {
			return err
		}
		return errors.Join(m.restore(ctx, c, o, tmp, match, here), os.RemoveAll(tmp))
	})
}

func folderKey(name string, validity uint32) string { return fmt.Sprintf("%d %s", validity, name) }

func (m mailboxRestore) restore(ctx context.Context, c console, o *operate.Client, tmp string,
	match func(stored.Candidate) (bool, error), here map[string]map[uint32]bool) error {
	still := 0
	s := stored.Options{From: m.From, Tmp: tmp, Into: m.Into, Now: time.Now(), Logger: quiet(c), Folder: m.wants, Match: func(k stored.Candidate) (bool, error) {
		ok, err := match(k)
		if ok && here[folderKey(k.Folder, k.Validity)][uint32(k.UID)] {
			still++
			return false, err
		}
		return ok, err
	}}
	whose := m.Account
	if m.Was != "" {
		whose = m.Was
	}
	var err error
	if s.Account, err = mail.ParseAddress(whose, mail.UTF8); err != nil {
		return usageError{err.Error()}
	}
	bar := newProgress(c, "reading", fact.Octets)
	s.Tell = bar.at
	place, err := stored.Open(ctx, s)
	bar.end()
	if err != nil {
		return err
	}
	defer func() { _ = place.Close() }() // it is removed
	err = move(ctx, c, place, restoreTarget{operatorTarget{o, m.Account, m.DryRun}},
		moving.Choice{Folders: m.Folder, Exclude: m.Exclude, Into: place.Into(), Keep: true}, m.DryRun,
		m.JSON)
	if still > 0 && !m.JSON {
		c.printf("%d still in the folder that they were in; --all restores them too\n", still)
	}
	if damage := place.Damage(); damage != nil {
		return errors.Join(err, fmt.Errorf("%s: %w; what could be read of it came", m.From, damage))
	}
	return err
}

// wants reports whether a folder is one that was chosen.
func (m mailboxRestore) wants(name string) bool {
	steps, err := moving.Plan([]moving.Folder{{Name: name, Levels: strings.Split(name, mailbox.Separator)}},
		moving.Choice{Folders: m.Folder, Exclude: m.Exclude})
	return err == nil && steps[0].Left == ""
}

// matcher is what the flags say of messages.
func (m mailboxRestore) matcher() (func(stored.Candidate) (bool, error), error) {
	if len(m.UID) > 0 && len(m.Folder) != 1 {
		return nil, usageError{"--uid goes with one --folder, since each folder has UIDs of its own"}
	}
	since, before := m.Since.From(time.Now()), time.Time{}
	if m.Before != "" {
		var err error
		if before, err = time.ParseInLocation(time.DateOnly, m.Before, time.Local); err != nil {
			return nil, usageError{fmt.Sprintf("--before: %q is no day, such as 2026-11-01", m.Before)}
		}
	}
	uids := map[mailbox.UID]bool{}
	for _, uid := range m.UID {
		uids[mailbox.UID(uid)] = true
	}
	return func(k stored.Candidate) (bool, error) {
		switch {
		case len(uids) > 0 && !uids[k.UID],
			!since.IsZero() && k.Date.Before(since),
			!before.IsZero() && !k.Date.Before(before):
			return false, nil
		case m.MessageID == "" && m.Search == "":
			return true, nil
		}
		octets, err := k.Read()
		if err != nil {
			return true, err // nobody knows: it is named
		}
		return m.found(octets), nil
	}, nil
}

// found reports whether a message is what is looked for.
func (m mailboxRestore) found(octets []byte) bool {
	msg, err := netmail.ReadMessage(bytes.NewReader(octets))
	if err != nil { // a header that does not read is looked through as it stands
		return bytes.Contains(octets, []byte(m.MessageID)) && bytes.Contains(bytes.ToLower(octets), []byte(strings.ToLower(m.Search)))
	}
	if id := strings.Trim(msg.Header.Get("Message-ID"), "<> \t"); m.MessageID != "" && id != strings.Trim(m.MessageID, "<> ") {
		return false
	}
	words := mime.WordDecoder{}
	for _, field := range []string{"From", "To", "Cc", "Subject"} {
		text := msg.Header.Get(field)
		if decoded, err := words.DecodeHeader(text); err == nil {
			text = decoded
		}
		if strings.Contains(strings.ToLower(text), strings.ToLower(m.Search)) {
			return true
		}
	}
	return false
}

// restoreTarget is a mailbox that takes a message again when it was removed since.
type restoreTarget struct{ operatorTarget }

// Came implements moving.Target: it is recorded that mail comes back, and nothing is known of what
// came before.
func (t restoreTarget) Came(ctx context.Context, identity string, _ func(mailbox.Came)) error {
	return t.operatorTarget.Came(ctx, identity, func(mailbox.Came) {})
}

// Add implements moving.Target.
func (t restoreTarget) Add(ctx context.Context, b moving.Batch) ([]mailbox.Arrived, error) {
	b.Identity = ""
	return t.operatorTarget.Add(ctx, b)
}
