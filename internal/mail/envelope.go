package mail

import (
	"fmt"
	"slices"
	"strings"
)

// BodyType is the BODY parameter of MAIL. The zero value is 7BIT, which promises
// nothing. RFC 6152, RFC 3030.
type BodyType uint8

const (
	Body7Bit BodyType = iota
	Body8BitMIME
	BodyBinaryMIME
)

// String returns the keyword of the BODY parameter.
func (b BodyType) String() string {
	switch b {
	case Body8BitMIME:
		return "8BITMIME"
	case BodyBinaryMIME:
		return "BINARYMIME"
	}
	return "7BIT"
}

// Notify is the NOTIFY parameter of RCPT as a set. The zero value means that it
// was not given: failures are reported, and delays may be. RFC 3461 §4.1.
type Notify uint8

const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Ret is the RET parameter of MAIL. RFC 3461 §4.3.
type Ret uint8

const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// TLSDemand is what a message asks of the connections that it travels over. The zero
// value asks for nothing. RFC 8689.
type TLSDemand uint8

const (
	TLSAsUsual TLSDemand = iota
	// RequireTLS is the REQUIRETLS parameter of MAIL: only over TLS to a host that is
	// proven and asks the same of the next one. RFC 8689 §2.
	RequireTLS
	// TLSOptional is the field "TLS-Required: No": rather in clear text than not at
	// all, whatever the recipient's domain demands. RFC 8689 §3.
	TLSOptional
)

// ORcpt is the ORCPT parameter of RCPT, decoded from xtext. RFC 3461 §4.2.
type ORcpt struct {
	Type    string `json:"type"` // "rfc822", "utf-8", lower case
	Address string `json:"address"`
}

// UTF8Xtext returns the address in seven bits, as the type utf-8 has it: what is no
// printable ASCII, and what has a meaning in this form or in xtext, as \x{F6}. RFC 6533
// §3, utf-8-addr-xtext.
func (o ORcpt) UTF8Xtext() string {
	var b strings.Builder
	for _, r := range o.Address {
		if r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// Recipient is one recipient of an envelope.
type Recipient struct {
	Address Address `json:"address"`
	Notify  Notify  `json:"notify,omitempty"`
	ORcpt   ORcpt   `json:"orcpt,omitzero"`
}

// Envelope is what MAIL and RCPT said. A finished transaction's Envelope is never
// changed.
type Envelope struct {
	From     ReversePath `json:"from"`
	To       []Recipient `json:"to"`
	Body     BodyType    `json:"body,omitempty"`
	SMTPUTF8 bool        `json:"smtputf8,omitempty"` // MAIL asked for it; of what is accepted: its header needs it
	Ret      Ret         `json:"ret,omitempty"`
	EnvID    string      `json:"envid,omitempty"` // decoded from xtext
	Size     int64       `json:"size,omitempty"`  // SIZE as declared, in octets; 0: not given
	TLS      TLSDemand   `json:"tls,omitempty"`
}

// UTF8Addresses reports whether an address in it is beyond ASCII. RFC 6531 §3.3.
func (e Envelope) UTF8Addresses() bool {
	return e.UTF8Sender() || slices.ContainsFunc(e.To, func(r Recipient) bool { return !r.Address.IsASCII() })
}

// UTF8Sender reports whether its sender is beyond ASCII.
func (e Envelope) UTF8Sender() bool {
	from, ok := e.From.Address()
	return ok && !from.IsASCII()
}

// Outcome is what became of one recipient in one delivery attempt. A Target
// returns exactly one for each recipient that it was given, in their order.
type Outcome struct {
	Recipient Address `json:"recipient"`
	// Mailbox tells apart the deliveries of one recipient who is several mailboxes of
	// ours. The zero one is whichever comes first.
	Mailbox Address `json:"mailbox,omitzero"`
	Reply   Reply   `json:"reply"`            // of the remote, or made by us for a local fault
	Remote  string  `json:"remote,omitempty"` // whom it is about: "mx.example [192.0.2.1]:25", "maildir"
	Said    bool    `json:"said,omitempty"`   // Remote said it in these words; without it, it is what we found
	TLS     string  `json:"tls,omitempty"`    // protocol and cipher, "" for clear text
	Policy  string  `json:"policy,omitempty"` // which TLS policy held, and what verified the certificate; "" for none
	// Notifies says that who replied was asked for the sender's notifications and
	// will give them. RFC 3461 §5.2.2.
	Notifies bool `json:"notifies,omitempty"`
}

// Delivered, Deferred and Failed part the outcomes: exactly one of them holds.
// A reply that is no reply at all counts as deferred, so that nothing is lost.
func (o Outcome) Delivered() bool { return o.Reply.OK() }

// Failed reports a permanent refusal.
func (o Outcome) Failed() bool { return o.Reply.Class() == ClassPermanent }

// Deferred reports that the recipient must be tried again.
func (o Outcome) Deferred() bool { return !o.Delivered() && !o.Failed() }
