package callout

import (
	"errors"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/client"
)

// Knowledge is what is known of an address. The zero value is nothing.
type Knowledge uint8

const (
	Unknown Knowledge = iota
	Yes               // the server behind takes mail for it
	No                // it refuses it for good
)

// Answer is what is known of an address, from whom, and since when.
type Answer struct {
	Known  Knowledge
	Reply  mail.Reply    // of the server; zero where it gave none
	Remote string        // who gave the reply, or should have
	Age    time.Duration // since it was given
	Why    string        // what is in the way of an answer, or of a newer one
}

// judge reads a reply to RCPT. Only what the server says of the recipient itself is
// a no: a refusal of us, or of the way in which we asked, says nothing about it, and
// is for the operator to mend.
func judge(r mail.Reply, remote string, err error) Answer {
	a := Answer{Reply: r, Remote: remote}
	var refused *client.ReplyError
	switch {
	case errors.As(err, &refused):
		a.Reply, a.Why = refused.Reply, refused.Error()
	case err != nil:
		a.Why = err.Error()
	case r.OK():
		a.Known = Yes
	case aboutRecipient(r):
		a.Known = No
	default:
		a.Why = "the server behind does not say whether it takes the recipient: " + r.String()
	}
	a.Reply.Text, a.Why = brief(a.Reply.Text), brief(a.Why)
	return a
}

// maxText is how many octets of a server's words are remembered, of each address that strangers ask for.
const maxText = 512

// brief is a text of which no more is kept than that, and nothing that holds more.
func brief(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxText], ""))
}

// What the second number of an enhanced code may say that it is about. RFC 3463 §3.6, §3.8.
const (
	aboutProtocol = 5
	aboutPolicy   = 7
)

// aboutRecipient reports whether a permanent reply to RCPT is about the recipient.
// RFC 3463 §3.2, §3.3: X.1.Z is the address, X.2.Z the mailbox; X.7.Z is policy, as
// in "relaying denied". Of replies without such a code, and of those about the protocol
// (X.5.Z), RFC 5321 §4.2.3 has 550 to 553 and 556 about mailboxes and addresses, but some say
// "relay" with 550 too.
func aboutRecipient(r mail.Reply) bool {
	if r.Class() != mail.ClassPermanent || r.Enhanced.Subject == aboutPolicy {
		return false
	}
	if r.Enhanced.Class == 5 && r.Enhanced.Subject != 0 && r.Enhanced.Subject != aboutProtocol {
		return true
	}
	return r.Code >= 550 && r.Code <= 553 || r.Code == 556
}
