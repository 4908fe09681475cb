package gate

import "sallyport/internal/mail"

// Facts is all that a decision may depend on. Each field is a small enum whose
// zero value means "not known" and refuses.
type Facts struct {
	Door        Door
	Peer        Peer
	Auth        Auth
	Standing    Standing
	Ownership   Ownership
	Destination Destination
}

// Subject names what a Grant would speak of. It never changes which Action is
// taken for a recipient of ours; an incomplete Subject, or one that contradicts
// the Facts, turns a relay into a refusal.
type Subject struct {
	Transaction mail.ID
	Account     mail.Address
	Sender      mail.ReversePath
	Recipient   mail.Address
}

// Door is the way by which a message came.
type Door uint8

const (
	DoorUnknown      Door = iota
	DoorMX                // port 25: the world; never relays
	DoorSubmission        // ports 587 and 465: signed-in people. RFC 6409, RFC 8314
	DoorSendmail          // the local sendmail command, known by its user id
	DoorForward           // a forward carried out by dispatch, owned by an account
	DoorNotification      // a notification of our own about a message of ours
	DoorReport            // a report of our own, on the answer of the account that the administrator named for it
	DoorNotice            // a notice of our own to the owner of an account, at the contact that the administrator named
)

// String returns the word of the golden table and the trace.
func (d Door) String() string {
	return word(int(d), "unknown", "mx", "submission", "sendmail", "forward", "notification", "report", "notice")
}

// Peer says what is known of the other end's network. No network is trusted by
// default; a proven one still signs in as an account.
type Peer uint8

const (
	PeerUnknown Peer = iota
	PeerStranger
	PeerProvenNetwork
)

// String returns the word of the golden table and the trace.
func (p Peer) String() string { return word(int(p), "unknown", "stranger", "proven-network") }

// Auth is how the account was proven in this session.
type Auth uint8

const (
	AuthUnknown Auth = iota
	AuthNone
	AuthPassword
	AuthToken
	AuthCertificate
	AuthLocalUID
	AuthNetworkAccount
)

// String returns the word of the golden table and the trace.
func (a Auth) String() string {
	return word(int(a), "unknown", "none", "password", "token", "certificate", "local-uid", "network-account")
}

// Standing is the standing of the account at the time of the decision.
type Standing uint8

const (
	StandingUnknown Standing = iota
	StandingNone             // there is no account
	StandingActive
	StandingFrozen
	StandingRevoked // the account may act, but what this session signed in with does not count any more
)

// String returns the word of the golden table and the trace.
func (s Standing) String() string {
	return word(int(s), "unknown", "none", "active", "frozen", "revoked")
}

// Ownership is what the envelope sender is to the account.
type Ownership uint8

const (
	OwnershipUnknown Ownership = iota
	OwnershipNull              // the null path "<>". RFC 5321 §4.5.5
	OwnershipForeign           // an address of no domain of ours
	OwnershipOwned             // the account may use it
	OwnershipOurs              // an address of our domains, but not this account's
)

// String returns the word of the golden table and the trace.
func (o Ownership) String() string {
	return word(int(o), "unknown", "null", "foreign", "owned", "ours")
}

// Destination is the class of a recipient, as the directory tells it.
type Destination uint8

const (
	DestinationUnknown       Destination = iota
	DestinationMailbox                   // one or more mailboxes of ours
	DestinationPostmaster                // postmaster or abuse of ours. RFC 5321 §4.5.1, RFC 2142 §4
	DestinationNoSuchUser                // our domain, no such mailbox
	DestinationLoop                      // an alias that loops or grows too large
	DestinationForeign                   // no domain of ours
	DestinationOwnLiteral                // our own address literal, not postmaster
	DestinationUnavailable               // the directory cannot tell now
	DestinationAccountsOnly              // mailboxes that only accounts of ours may write to
	DestinationMembersOnly               // a group that only members may write to, and the account is one
	DestinationNonMember                 // a group that only members may write to, and who writes is none
	DestinationForwardReturn             // the return path of a forward, proven ours and fresh
	DestinationForwardForged             // what has the form of one, and is forged or stale
	DestinationMarkForged                // what has the form of a signed return path, and is forged or has ended
	DestinationUnmarked                  // an address that takes no bounces without a signature
	DestinationContact                   // no domain of ours; where the administrator said that an account's owner is told
)

// String returns the word of the golden table and the trace.
func (d Destination) String() string {
	return word(int(d), "unknown", "mailbox", "postmaster", "no-such-user", "loop", "foreign", "own-literal", "unavailable",
		"accounts-only", "members-only", "non-member", "forward-return", "forward-forged",
		"mark-forged", "unmarked", "contact")
}

func word(i int, words ...string) string {
	if i >= len(words) {
		return "out-of-range"
	}
	return words[i]
}
