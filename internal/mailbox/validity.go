package mailbox

import (
	"context"
	"path/filepath"
)

// validityFile is in the index folder of a mailbox: no UIDValidity above it was given to a folder of the account.
const validityFile = "validity"

// validityReserve is how many UIDValidities are promised ahead, so that not each is written.
const validityReserve = 16

// validities are those of the folders of an account.
type validities struct {
	given    uint32 // the last; 0: nobody looked yet
	promised uint32 // up to here none is given again, whatever happens
}

// validity returns a UIDValidity that no folder of the account had before, nor one that is gone: seconds, and more than
// any. By it folders and messages are told apart (OBJECTID), and whoever knows one that was removed, and made
// again, must not take its UIDs for those of the other. RFC 9051 §2.3.1.1, RFC 8474 §4. u.mu is held.
func (u *User) validity() (uint32, error) {
	v := &u.valid
	j := newJournal(u.root.fs, filepath.Join(u.dir, indexFolder), u.root.bounds().Reserve)
	if v.given == 0 {
		last, err := u.lastValidity(j)
		if err != nil {
			return 0, err
		}
		v.given, v.promised = last, last
	}
	next := max(uint32(u.root.now().Unix()), v.given+1)
	if next > v.promised {
		if err := j.make(); err != nil {
			return 0, err
		}
		p := promise{validity: next + validityReserve}
		if err := replaceFile(j.fs, filepath.Join(j.dir, validityFile), p.append(nil)); err != nil {
			return 0, err
		}
		v.promised = p.validity
	}
	v.given = next
	return next, nil
}

// lastValidity returns the largest that may have been given. Where that was not noted, it is that of the folders
// that there are.
func (u *User) lastValidity(j *journal) (last uint32, err error) {
	text, err := j.read(validityFile)
	if err != nil {
		return 0, err
	}
	if p, ok := readPromise(text); ok {
		return p.validity, nil
	}
	dirs, err := u.names(context.Background())
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		text, err := readFile(j.fs, filepath.Join(u.dir, dir, indexFolder, promiseFile))
		if err != nil {
			return 0, err
		}
		p, _ := readPromise(text)
		last = max(last, p.validity)
	}
	return last, nil
}
