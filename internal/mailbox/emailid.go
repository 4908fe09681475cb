package mailbox

import (
	"fmt"
	"strconv"
	"strings"
)

// EmailID names what a message is, its octets and its date, in whichever folder: where it came first. Copies of it
// have the same, and no other message of the account has it. RFC 8474 §5.1
type EmailID struct {
	Validity uint32
	UID      UID
}

// String returns an objectid. RFC 8474 §7
func (id EmailID) String() string { return fmt.Sprintf("M%d-%d", id.Validity, id.UID) }

// ParseEmailID reads what String wrote, and nothing else.
func ParseEmailID(text string) (id EmailID, ok bool) {
	validity, uid, _ := strings.Cut(strings.TrimPrefix(text, "M"), "-")
	v, _ := strconv.ParseUint(validity, 10, 32)
	u, _ := strconv.ParseUint(uid, 10, 32)
	id = EmailID{uint32(v), UID(u)}
	return id, id.String() == text
}

// emailID of a message of a folder with a UIDValidity.
func (e *entry) emailID(validity uint32) EmailID {
	if e.origin != (EmailID{}) {
		return e.origin
	}
	return EmailID{validity, e.uid}
}

// EmailID returns that of a message. ErrGone: it is not there any more.
func (m *Mailbox) EmailID(uid UID) (EmailID, error) {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.book.entry(uid)
	if e == nil {
		return EmailID{}, ErrGone
	}
	return e.emailID(f.book.validity), nil
}
