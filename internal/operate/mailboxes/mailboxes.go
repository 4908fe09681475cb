package mailboxes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sallyport/internal/budget/quota"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/operate/call"
)

// Owner is the account that a mailbox is of.
type Owner struct {
	Address mail.Address
	Own     quota.Quota // what was set for it alone
}

// Root keeps the mail of accounts, as those see it who read.
type Root = mailbox.Root

// Options are what Actions act on. All are needed but Quota.
type Options struct {
	Mail *mailbox.Root
	// Owner finds an account, and Owners are all of them.
	Owner  func(mail.Address) (Owner, error)
	Owners func(context.Context) ([]Owner, error)
	// Quota is what mailboxes hold and may hold; nil: nothing is bounded.
	Quota  Quota
	Now    func() time.Time
	Write  call.Record
	Logger *slog.Logger
}

// Actions are what an operator can do with mailboxes.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// MailboxRef names the mailbox of an account, and a folder of it; "": all of them.
type MailboxRef struct {
	Account string `json:"account,omitempty"`
	Folder  string `json:"folder,omitempty"`
}

// Mailbox is what is in the mailbox of an account.
type Mailbox struct {
	Account  string `json:"account"`
	Place    string `json:"place"` // on the disk of the server
	Folders  int    `json:"folders"`
	Messages int    `json:"messages"`
	Unseen   int    `json:"unseen"`
	// Room is what it holds and may hold; nil: that is not known.
	Room *Room `json:"room,omitempty"`
}

// MailboxFolder is a folder of a mailbox.
type MailboxFolder struct {
	Account       string `json:"account"`
	Name          string `json:"name"`
	Use           string `json:"use,omitempty"`
	Subscribed    bool   `json:"subscribed"`
	Messages      int    `json:"messages"`
	Unseen        int    `json:"unseen"`
	Octets        int64  `json:"octets"` // with CRLF
	UIDValidity   uint32 `json:"uid_validity"`
	UIDNext       uint32 `json:"uid_next"`
	HighestModSeq uint64 `json:"highest_modseq"`
}

// MailboxVerified is how a folder and its index were found.
type MailboxVerified struct {
	Account    string   `json:"account"`
	Name       string   `json:"name"`
	Messages   int      `json:"messages"`
	Sound      bool     `json:"sound"`
	Damage     []string `json:"damage,omitempty"`     // of the index, which is made anew when it is opened
	Unreadable []string `json:"unreadable,omitempty"` // files of messages
	// What other programs did since the folder was looked at last.
	Found   int `json:"found,omitempty"`
	Missing int `json:"missing,omitempty"`
	Renamed int `json:"renamed,omitempty"`
}

// MailboxRebuilt is what became of a folder whose index was made anew.
type MailboxRebuilt struct {
	Account     string   `json:"account"`
	Name        string   `json:"name"`
	Messages    int      `json:"messages"`
	NewUIDs     int      `json:"new_uids"`
	UIDValidity uint32   `json:"uid_validity"`
	Damage      []string `json:"damage,omitempty"`
}

// MailboxList calls fn for the mailbox of each account that has received anything, or of one.
func (op *Actions) MailboxList(ctx context.Context, _ call.Caller, r MailboxRef, fn func(Mailbox) error) error {
	of, err := op.mailboxesOf(ctx, r.Account)
	if err != nil {
		return err
	}
	for _, a := range of {
		box := Mailbox{Account: a.String()}
		err := op.folders(ctx, a, "", func(u *mailbox.User, f mailbox.Folder) error {
			s, err := u.Status(ctx, f.Name, false)
			if err != nil {
				return err
			}
			box.Place = u.Place()
			box.Folders, box.Messages, box.Unseen = box.Folders+1, box.Messages+s.Messages, box.Unseen+s.Unseen
			return nil
		})
		if errors.Is(err, mailbox.ErrNoAccount) && r.Account == "" {
			continue
		}
		if err == nil {
			owner, _ := op.o.Owner(a)
			box.Room = op.MailboxRoom(ctx, a, owner.Own)
			err = fn(box)
		}
		if err != nil {
			return mailboxRefused(err, a)
		}
	}
	return nil
}

// MailboxShow calls fn for each folder of a mailbox, or for one.
func (op *Actions) MailboxShow(ctx context.Context, _ call.Caller, r MailboxRef, fn func(MailboxFolder) error) error {
	return op.eachFolder(ctx, r, func(a mail.Address, u *mailbox.User, f mailbox.Folder) error {
		s, err := u.Status(ctx, f.Name, true)
		if err != nil {
			return err
		}
		return fn(MailboxFolder{
			Account: a.String(), Name: f.Name, Use: string(f.Use), Subscribed: f.Subscribed, Messages: s.Messages, Unseen: s.Unseen, Octets: s.Size,
			UIDValidity: s.UIDValidity, UIDNext: uint32(s.UIDNext), HighestModSeq: uint64(s.HighestModSeq),
		})
	})
}

// MailboxVerify reads the index and every message of mailboxes, changes nothing, and calls fn for
// each folder.
func (op *Actions) MailboxVerify(ctx context.Context, _ call.Caller, r MailboxRef, fn func(MailboxVerified) error) error {
	return op.eachFolder(ctx, r, func(a mail.Address, u *mailbox.User, f mailbox.Folder) error {
		v, err := u.Verify(ctx, f.Name)
		if err != nil {
			return err
		}
		return fn(MailboxVerified{
			Account: a.String(), Name: f.Name, Messages: v.Messages, Sound: v.Sound(), Damage: v.Damage, Unreadable: v.Unreadable,
			Found: v.Found, Missing: v.Missing, Renamed: v.Renamed,
		})
	})
}

// MailboxRebuild makes the index of folders anew from their files, and calls fn for each. Who has
// them open goes on.
func (op *Actions) MailboxRebuild(ctx context.Context, by call.Caller, r MailboxRef, fn func(MailboxRebuilt) error) error {
	if r.Account == "" {
		return call.Refused("name the account whose mailbox is to be rebuilt")
	}
	var done []string
	err := op.rebuild(ctx, r, &done, fn)
	if len(done) == 0 {
		return err
	}
	// Who reads the mailbox sees new numbers, so that the owner may ask why.
	a, fault := call.ParseAccount(r.Account)
	if fault == nil {
		folders := mail.PlainLine(strings.Join(done, ", "), mail.TextShown)
		fault = op.o.Write(context.WithoutCancel(ctx), call.AccountChanged(op.o.Now(), by, a, "the index of its mailbox made anew", call.Note("folders", folders)))
	}
	return errors.Join(err, fault)
}

// rebuild makes the indexes anew, and names the folders where that is done.
func (op *Actions) rebuild(ctx context.Context, r MailboxRef, done *[]string, fn func(MailboxRebuilt) error) error {
	return op.eachFolder(ctx, r, func(a mail.Address, u *mailbox.User, f mailbox.Folder) error {
		b, err := u.Rebuild(ctx, f.Name)
		if err != nil {
			return err
		}
		*done = append(*done, f.Name)
		return fn(MailboxRebuilt{Account: a.String(), Name: f.Name, Messages: b.Messages, NewUIDs: b.NewUIDs, UIDValidity: b.UIDValidity, Damage: b.Damage})
	})
}

// mailboxesOf returns an account, or all of them.
func (op *Actions) mailboxesOf(ctx context.Context, account string) ([]mail.Address, error) {
	if account != "" {
		a, err := call.ParseAccount(account)
		return []mail.Address{a}, err
	}
	all, err := op.o.Owners(ctx)
	addresses := make([]mail.Address, len(all))
	for i, a := range all {
		addresses[i] = a.Address
	}
	return addresses, err
}

// eachFolder calls do for the folders that are meant. Of all accounts those without a mailbox are
// passed over.
func (op *Actions) eachFolder(ctx context.Context, r MailboxRef, do func(mail.Address, *mailbox.User, mailbox.Folder) error) error {
	of, err := op.mailboxesOf(ctx, r.Account)
	if err != nil {
		return err
	}
	for _, a := range of {
		err := op.folders(ctx, a, r.Folder, func(u *mailbox.User, f mailbox.Folder) error { return do(a, u, f) })
		if err != nil && (r.Account != "" || !errors.Is(err, mailbox.ErrNoAccount)) {
			return mailboxRefused(err, a)
		}
	}
	return nil
}

// folders calls do for the folders of a mailbox, or for the one of that name.
func (op *Actions) folders(ctx context.Context, a mail.Address, name string, do func(*mailbox.User, mailbox.Folder) error) error {
	u, err := op.o.Mail.Existing(ctx, a)
	if err != nil {
		return err
	}
	defer u.Close()
	folders, err := u.Folders(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, f := range folders {
		if f.Missing || name != "" && f.Name != name {
			continue
		}
		found = true
		if err := do(u, f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if !found {
		return fmt.Errorf("%s: %w", name, mailbox.ErrNoSuchMailbox)
	}
	return nil
}

// mailboxRefused says what is in the way.
func mailboxRefused(err error, a mail.Address) error {
	switch {
	case errors.Is(err, mailbox.ErrNoAccount):
		return call.NotFound(fmt.Sprintf("%s has no mailbox: nothing was delivered to it, and nobody read it", a))
	case errors.Is(err, mailbox.ErrNoSuchMailbox):
		return call.NotFound(fmt.Sprintf("%s; see: sallyport mailbox show %s", call.Words(err), mail.ShellWord(a.String())))
	}
	return err
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "mailbox.ls", op.MailboxList)
	call.Listing(routes, "mailbox.show", op.MailboxShow)
	call.Listing(routes, "mailbox.verify", op.MailboxVerify)
	call.Listing(routes, "mailbox.rebuild", op.MailboxRebuild)
	call.Listing(routes, "mailbox.import", op.MailboxImport)
	call.Listing(routes, "mailbox.uids", op.MailboxUIDs)
	call.Taking(routes, "mailbox.add", op.adding)
	call.Archiving(routes, "mailbox.export", op.MailboxExport)
}

// MailboxList calls Actions.MailboxList.
func (c Client) MailboxList(ctx context.Context, r MailboxRef, fn func(Mailbox) error) error {
	return call.Stream(ctx, c.Client, "mailbox.ls", r, fn)
}

// MailboxShow calls Actions.MailboxShow.
func (c Client) MailboxShow(ctx context.Context, r MailboxRef, fn func(MailboxFolder) error) error {
	return call.Stream(ctx, c.Client, "mailbox.show", r, fn)
}

// MailboxVerify calls Actions.MailboxVerify.
func (c Client) MailboxVerify(ctx context.Context, r MailboxRef, fn func(MailboxVerified) error) error {
	return call.Stream(ctx, c.Client, "mailbox.verify", r, fn)
}

// MailboxRebuild calls Actions.MailboxRebuild.
func (c Client) MailboxRebuild(ctx context.Context, r MailboxRef, fn func(MailboxRebuilt) error) error {
	return call.Stream(ctx, c.Client, "mailbox.rebuild", r, fn)
}
