package access

// The rules by which something comes to nothing at these doors although nobody else judged it, each with what it means; docs/rules.md has all of them.
const (
	// RuleProtocol: the engine of IMAP or POP3 refused a sign-in by itself, or messages for which there is no room.
	RuleProtocol = "protocol"
	// RuleMailboxUnavailable: the mailbox of who signed in could not be opened.
	RuleMailboxUnavailable = "mailbox-unavailable"
)
