package srs

import (
	"crypto/hmac"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// MarkField is the header field that carries a Mark.
const MarkField = "Sallyport-Forwarded"

// Mark is what a loop mark says. The zero Mark says nothing.
type Mark uint8

const (
	MarkNone Mark = iota
	MarkSent      // this message was sent on for this account, whose mailbox has no copy
	MarkKept      // the same, and its mailbox has a copy
)

func (m Mark) word() string {
	switch m {
	case MarkSent:
		return "sent"
	case MarkKept:
		return "kept"
	}
	return ""
}

// Mark writes the loop mark of a message that is sent on for account at now. It tells
// nobody without the key which account that is. A message without a Message-ID, an
// unknown m and a zero key give "", which is no mark.
func (k Key) Mark(m Mark, account mail.Address, messageID string, now time.Time) string {
	if k.isZero() || account.IsZero() || messageID == "" || m.word() == "" {
		return ""
	}
	day := stamp(dayOf(now))
	return m.word() + "=" + day + "=" + encode(k.markSum(m, account, messageID, day))
}

func (k Key) markSum(m Mark, account mail.Address, messageID, day string) [sumOctets]byte {
	return k.sum("forward mark", m.word(), account.Key(), messageID, day)
}

// ReadMark returns what a mark says of this account and message: MarkNone unless Mark
// wrote it for both under this key, no more than maxAge before now.
func (k Key) ReadMark(text string, account mail.Address, messageID string, maxAge time.Duration, now time.Time) Mark {
	parts := strings.Split(text, "=")
	if k.isZero() || account.IsZero() || messageID == "" || len(parts) != 3 {
		return MarkNone
	}
	sum, ok := decode(parts[2])
	if !ok || !fresh(parts[1], maxAge, now) {
		return MarkNone
	}
	for _, m := range []Mark{MarkSent, MarkKept} {
		want := k.markSum(m, account, messageID, parts[1])
		if parts[0] == m.word() && hmac.Equal(sum[:], want[:]) {
			return m
		}
	}
	return MarkNone
}
