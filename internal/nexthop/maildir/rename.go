package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"sallyport/internal/mail"
)

// IndexFolder is the folder within each folder of a mailbox that holds what is known of its
// messages for those who read them. There is no mail in it.
const IndexFolder = "sallyport"

// TakenError says that the folder which a mailbox is to get holds mail already, of somebody who
// had the address before.
type TakenError struct{ Folder string }

// Error says which.
func (e *TakenError) Error() string {
	return e.Folder + " holds files already, of somebody who had that address before; move them away first"
}

// Rename gives the mailbox of an account another name, around the act that renames the account.
// No delivery is under way meanwhile. It refuses where files lie under the other name, with a
// *TakenError, and where the act fails. Errors after it are a *MoveError.
func (t *Target) Rename(from, to mail.Address, act func() error) error {
	t.naming.Lock()
	defer t.naming.Unlock()
	dir, ok := t.Mailbox(to)
	if !ok {
		return errors.New("maildir: the other address is in no domain")
	}
	if held, err := t.holdsFiles(dir); err != nil || held {
		return errors.Join(err, taken(dir, held))
	}
	if err := act(); err != nil {
		return err
	}
	return t.move(from, to)
}

// Unwrap returns fs.ErrExist.
func (e *TakenError) Unwrap() error { return fs.ErrExist }

func taken(dir string, held bool) error {
	if !held {
		return nil
	}
	return &TakenError{dir}
}

// Follow ends a Rename of which the act was done and the rest was not.
func (t *Target) Follow(from, to mail.Address) error {
	t.naming.Lock()
	defer t.naming.Unlock()
	return t.move(from, to)
}

// MoveError says that the files of a mailbox are not under its name yet.
type MoveError struct {
	From, To string // folders
	Err      error
}

// Error says where they lie.
func (e *MoveError) Error() string {
	return fmt.Sprintf("the mailbox lies in %s still, and not in %s: %v", e.From, e.To, e.Err)
}

// Unwrap returns the fault.
func (e *MoveError) Unwrap() error { return e.Err }

// move takes the files of a mailbox to another name. What it left when it was interrupted, it
// takes the next time.
func (t *Target) move(from, to mail.Address) error {
	old, ok := t.Mailbox(from)
	dir, also := t.Mailbox(to)
	if !ok || !also || old == dir {
		return nil
	}
	t.moving(old)
	t.moving(dir)
	t.mu.Lock()
	clear(t.known) // folders of either name may be gone
	t.mu.Unlock()
	if err := t.moveInto(old, dir); err != nil {
		return &MoveError{old, dir, err}
	}
	return nil
}

// moveInto takes a folder to another place, as a whole where nothing is there, and else what is
// in it. A file of the same name and another length stays where it is, and is an error; but what
// lies in an index folder comes along.
func (t *Target) moveInto(old, dir string) error {
	was, err := t.fs.Stat(old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	is, err := t.fs.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t.moveWhole(old, dir)
	case err != nil:
		return err
	case !was.IsDir() && !is.IsDir() && was.Size() == is.Size():
		return t.fs.Remove(old) // the same file: the power went between the two folders
	case !was.IsDir() && !is.IsDir() && filepath.Base(filepath.Dir(dir)) == IndexFolder:
		return t.fs.Rename(old, dir) // the index of a mailbox without mail gives way
	case !was.IsDir() || !is.IsDir():
		return fmt.Errorf("%s is there already", dir)
	}
	names, err := t.fs.List(old)
	for _, n := range names {
		err = errors.Join(err, t.moveInto(filepath.Join(old, n), filepath.Join(dir, n)))
	}
	if err != nil {
		return err
	}
	if err := t.fs.Remove(old); err != nil {
		return err
	}
	return t.syncAll(dir, filepath.Dir(old))
}

func (t *Target) moveWhole(old, dir string) error {
	above := filepath.Dir(dir)
	if err := t.fs.MkdirAll(above, mode); err != nil {
		return err
	}
	if err := t.fs.Rename(old, dir); err != nil {
		return err
	}
	return t.syncAll(above, filepath.Dir(above), filepath.Dir(old))
}

// holdsFiles reports whether there is a file in a folder, or below it.
func (t *Target) holdsFiles(dir string) (bool, error) {
	info, err := t.fs.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.IsDir() {
		return err == nil && info.Name() != "maildirfolder", err
	}
	if filepath.Base(dir) == IndexFolder {
		return false, nil // it describes mail, and is none
	}
	names, err := t.fs.List(dir)
	for _, n := range names {
		if held, err := t.holdsFiles(filepath.Join(dir, n)); held || err != nil {
			return held, err
		}
	}
	return false, err
}
