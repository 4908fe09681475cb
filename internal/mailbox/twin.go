package mailbox

import (
	"errors"
	"path/filepath"
	"strings"
)

// placeFile is in the index of a folder and says where it lay when it was opened last: its name on the disk, which
// is empty for the INBOX, and a line feed.
const placeFile = "place"

// single gives a folder that was copied together with its index a UIDValidity of its own. Its twin goes on as it is:
// what is called there is what clients know. Otherwise two mailboxes would have the same MAILBOXID and, of what comes
// later, different messages the same EMAILID. RFC 8474 §4 and §5.1. The folder is the caller's alone; u.mu is held.
func (u *User) single(name string, f *folder) error {
	text, err := f.journal.read(placeFile)
	was, whole := strings.CutSuffix(string(text), "\n")
	if err == nil && whole && was == name {
		return nil
	}
	if err == nil && whole && u.has(was, f.book.validity) {
		if err := f.renumber(); err != nil {
			return err
		}
		u.root.log.Info("a folder was copied together with its index, and has a UIDVALIDITY of its own now", "file", f.dir)
	}
	u.place(name)
	return nil
}

// has reports whether there is a folder of that name on the disk, and whose index has the UIDValidity. Of one that
// cannot be read nothing is known.
func (u *User) has(name string, validity uint32) bool {
	if name != "" && (!isFolder(name) || filepath.Base(name) != name) {
		return false
	}
	text, err := readFile(u.root.fs, filepath.Join(u.dir, name, indexFolder, promiseFile))
	p, whole := readPromise(text)
	return err == nil && whole && p.validity == validity
}

// renumber begins the index anew under another UIDValidity: what is known of the messages stays.
func (f *folder) renumber() (err error) {
	b := f.book
	if b.validity, err = f.user.validity(); err != nil {
		return err
	}
	b.gone, b.goneSince = nil, b.modseq // who asks what vanished means the UIDs of the other
	return f.journal.renew(b)
}

// place notes where a folder lies, if it has an index. That need not be durable, nor succeed: where it is lost, the
// folder is taken for what it says it is, once.
func (u *User) place(name string) {
	file, err := u.root.fs.Create(filepath.Join(u.dir, name, indexFolder, placeFile))
	if err == nil {
		_, err = file.Write([]byte(name + "\n"))
		err = errors.Join(err, file.Close())
	}
	if err != nil && !missing(err) {
		u.root.log.Warn("it could not be noted where a mailbox lies", "file", filepath.Join(u.dir, name), "err", err)
	}
}
