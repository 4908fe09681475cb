package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

var (
	// ErrNoSuchMailbox: there is no folder of that name.
	ErrNoSuchMailbox = errors.New("there is no such folder")
	// ErrExists: a folder of that name is there already.
	ErrExists = errors.New("a folder of that name is there already")
	// ErrHasChildren: the folder cannot be removed while others are below it.
	ErrHasChildren = errors.New("there are folders below it")
	// ErrUse: another folder is for that. RFC 6154 §3.
	ErrUse = errors.New("another folder is for that already")
	// ErrInbox: the INBOX is neither made nor removed.
	ErrInbox = errors.New("the INBOX always is")
	// ErrGone: the message is not there any more.
	ErrGone = errors.New("the message is not there any more")
	// ErrUnreadable: the message is there, and its file cannot be read: the disk fails within it, or it is
	// another user's.
	ErrUnreadable = errors.New("the message cannot be read")
	// ErrNoRoom: the disk is full, or what is left of it is to stay free.
	ErrNoRoom = errors.New("there is no room left for mail")
	// ErrOverQuota: the account has no room left for it. A *QuotaError says how much there is.
	ErrOverQuota = errors.New("the mailbox is full")
	// ErrUnavailable: it is not known now whether there is room.
	ErrUnavailable = errors.New("it is not known how full the mailbox is")
	// ErrReadOnly: the folder was opened for reading only.
	ErrReadOnly = errors.New("the folder is open for reading only")
	// ErrEnded: the mailbox was renamed, moved or removed since it was opened.
	ErrEnded = errors.New("the mailbox is not where it was when it was opened")
	// ErrTooMany: a bound of Limits would be passed.
	ErrTooMany = errors.New("there are too many")
	// ErrTooBig: a message is longer than Limits.Message.
	ErrTooBig = errors.New("the message is too big")
	// ErrKeyword: a keyword is too long, or has letters that none can have.
	ErrKeyword = errors.New("there can be no such keyword")
	// ErrNoAccount: the address is in no domain and has no mailbox.
	ErrNoAccount = errors.New("the address has no mailbox")
)

// NameError says why a folder cannot have a name.
type NameError struct{ Name, Why string }

// Error says so.
func (e *NameError) Error() string {
	return fmt.Sprintf("no folder can be called %q: %s", e.Name, e.Why)
}

// QuotaError says to the owner of a mailbox why it has no room. It is an ErrOverQuota.
type QuotaError struct{ Text string }

// Error says so.
func (e *QuotaError) Error() string { return e.Text }

// Is makes it an ErrOverQuota.
func (e *QuotaError) Is(target error) bool { return target == ErrOverQuota }

// told maps a fault of the disk to what a reader can be told.
func told(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// unreadable says of a fault of one file that the message cannot be read. What is short in the whole process is no
// fault of a file, nor is it one that somebody gave up.
func unreadable(err error) error {
	for _, other := range []error{context.Canceled, context.DeadlineExceeded, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if err == nil || errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
