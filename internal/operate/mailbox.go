package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
)

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
func (op *Operator) MailboxList(ctx context.Context, _ Caller, r MailboxRef, fn func(Mailbox) error) error {
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
			account, _ := op.o.Accounts.Get(a)
			box.Room = op.room(ctx, a, ownQuota(account))
			err = fn(box)
		}
		if err != nil {
			return mailboxRefused(err, a)
		}
	}
	return nil
}

// MailboxShow calls fn for each folder of a mailbox, or for one.
func (op *Operator) MailboxShow(ctx context.Context, _ Caller, r MailboxRef, fn func(MailboxFolder) error) error {
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
func (op *Operator) MailboxVerify(ctx context.Context, _ Caller, r MailboxRef, fn func(MailboxVerified) error) error {
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
func (op *Operator) MailboxRebuild(ctx context.Context, _ Caller, r MailboxRef, fn func(MailboxRebuilt) error) error {
	if r.Account == "" {
		return invalid(errText("name the account whose mailbox is to be rebuilt"))
	}
	return op.eachFolder(ctx, r, func(a mail.Address, u *mailbox.User, f mailbox.Folder) error {
		b, err := u.Rebuild(ctx, f.Name)
		if err != nil {
			return err
		}
		return fn(MailboxRebuilt{Account: a.String(), Name: f.Name, Messages: b.Messages, NewUIDs: b.NewUIDs, UIDValidity: b.UIDValidity, Damage: b.Damage})
	})
}

// mailboxesOf returns an account, or all of them.
func (op *Operator) mailboxesOf(ctx context.Context, account string) ([]mail.Address, error) {
	if account != "" {
		a, err := parseAccount(account)
		return []mail.Address{a}, err
	}
	all, err := op.o.Accounts.List(ctx)
	addresses := make([]mail.Address, len(all))
	for i, a := range all {
		addresses[i] = a.Address
	}
	return addresses, err
}

// eachFolder calls do for the folders that are meant. Of all accounts those without a mailbox are
// passed over.
func (op *Operator) eachFolder(ctx context.Context, r MailboxRef, do func(mail.Address, *mailbox.User, mailbox.Folder) error) error {
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
func (op *Operator) folders(ctx context.Context, a mail.Address, name string, do func(*mailbox.User, mailbox.Folder) error) error {
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
		return &Error{CodeNotFound, fmt.Sprintf("%s has no mailbox: nothing was delivered to it, and nobody read it", a)}
	case errors.Is(err, mailbox.ErrNoSuchMailbox):
		return &Error{CodeNotFound, fmt.Sprintf("%s; see: sallyport mailbox show %s", words(err), a)}
	}
	return err
}

func mailboxRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "mailbox.ls", op.MailboxList)
	listing(mux, "mailbox.show", op.MailboxShow)
	listing(mux, "mailbox.verify", op.MailboxVerify)
	listing(mux, "mailbox.rebuild", op.MailboxRebuild)
	listing(mux, "mailbox.import", op.MailboxImport)
	listing(mux, "mailbox.uids", op.MailboxUIDs)
	adding(mux, op)
	streaming(mux, "mailbox.export", op.MailboxExport)
}

// MailboxList calls Operator.MailboxList.
func (c *Client) MailboxList(ctx context.Context, r MailboxRef, fn func(Mailbox) error) error {
	return stream(ctx, c, "mailbox.ls", r, fn)
}

// MailboxShow calls Operator.MailboxShow.
func (c *Client) MailboxShow(ctx context.Context, r MailboxRef, fn func(MailboxFolder) error) error {
	return stream(ctx, c, "mailbox.show", r, fn)
}

// MailboxVerify calls Operator.MailboxVerify.
func (c *Client) MailboxVerify(ctx context.Context, r MailboxRef, fn func(MailboxVerified) error) error {
	return stream(ctx, c, "mailbox.verify", r, fn)
}

// MailboxRebuild calls Operator.MailboxRebuild.
func (c *Client) MailboxRebuild(ctx context.Context, r MailboxRef, fn func(MailboxRebuilt) error) error {
	return stream(ctx, c, "mailbox.rebuild", r, fn)
}
