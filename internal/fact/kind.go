package fact

// Kind says what a fact is about. The zero Kind is invalid. A kind that this
// release does not know is kept and shown as it is, so that a log written by a
// newer release stays readable.
type Kind string

// The kinds of facts. [Kinds] explains them for people.
const (
	KindStart      Kind = "start"
	KindStop       Kind = "stop"
	KindReload     Kind = "reload"
	KindRecover    Kind = "recover"
	KindDisconnect Kind = "disconnect"
	KindAuth       Kind = "auth"
	KindRefuse     Kind = "refuse"
	KindAccept     Kind = "accept"
	KindOutcome    Kind = "outcome"
	KindNotify     Kind = "notify"
	KindForward    Kind = "forward"
	KindHold       Kind = "hold"
	KindRelease    Kind = "release"
	KindRetry      Kind = "retry"
	KindRemove     Kind = "remove"
	KindRedirect   Kind = "redirect"
	KindAsk        Kind = "ask"
	KindAccount    Kind = "account"
	KindDirectory  Kind = "directory"
	KindCallout    Kind = "callout"
	KindKey        Kind = "key"
	KindAlarm      Kind = "alarm"
	KindIncident   Kind = "incident"
	KindRefusals   Kind = "refusals"
	KindRetention  Kind = "retention"
	KindBackup     Kind = "backup"
	KindRestore    Kind = "restore"
)

// ConnCapped stands in the place of a connection in alarms about limits of recipients, so
// that all of them are found together: sallyport trace capped.
const ConnCapped = "capped"

// KindInfo explains a kind.
type KindInfo struct {
	Kind Kind
	Word string // how a line for people names it: "accepted"
	Doc  string // what it records, and which fields it carries besides At
}

// Kinds returns every kind in the order of a message's life. The table in the
// documentation is made from it.
func Kinds() []KindInfo {
	return []KindInfo{
		{KindStart, "started", "The server began to serve: Text names the version and listeners."},
		{KindStop, "stopped", "The server ended in order."},
		{KindReload, "reload", "The configuration was read again: Rule says whether it is in force, Evidence names changed keys or faults."},
		{KindRecover, "recovered", "What recovery found at start: Count entries, Evidence with the figures."},
		{KindDisconnect, "disconnected", "A connection ended: Conn, Peer, Text (why), Count (accepted messages); of a message that was cut off by that, Sender, Recipients and MessageID."},
		{KindAuth, "sign-in", "A sign-in succeeded or failed: Conn, Peer, Account, Reply, Evidence (mechanism, cause)."},
		{KindRefuse, "refused", "A command, sender, recipient or message was refused: Rule, Reply, and what was known by then."},
		{KindAccept, "accepted", "A message became durable: Queue, MessageID, Account, Sender, Recipients, Peer, Size, Rule."},
		{KindOutcome, "outcome", "What a remote or a mailbox answered for one recipient: Queue, Recipient, Reply, Remote, TLS."},
		{KindNotify, "notified", "A notification was queued: Queue is its own, About the message that it reports on."},
		{KindForward, "forward", "Mail of an account that forwards was sent on (Queue is its own, About the message as which it came), or stayed in the mailbox (Rule says why): Account, Recipients."},
		{KindHold, "held", "A message or an account's queue was held: Queue or Account, Rule, Evidence."},
		{KindRelease, "released", "What was held may go on: Queue or Account."},
		{KindRetry, "retried", "An operator asked for another attempt now: Queue."},
		{KindRemove, "removed", "An operator removed a message from the queue: Queue."},
		{KindRedirect, "redirected", "An operator gave a message in the queue another recipient: Queue is its own from now on, About the one as which it waited: Account, Sender, Recipients, Rule (of the gate), Evidence (instead of whom, by whom)."},
		{KindAsk, "asked", "An operator read a message in the queue, or a helper asked something: Queue (where it was about one message), Text (what), Evidence (by whom)."},
		{KindAccount, "account", "An account was added, changed, frozen, thawed or removed: Account, Text."},
		{KindDirectory, "directory", "A domain, alias, forward, delegate or outside contact of an owner was added, changed or removed: Account (its own name), Recipients (targets), Sender (whom a delegate may send as), Text."},
		{KindCallout, "callout", "An operator had forgotten what servers behind said of recipients: Recipients (where named), Count, Evidence (the domain, by whom)."},
		{KindKey, "key", "A key that signs mail was made, taken into use, lost from the DNS, retired or forgotten: Account (the domain), Text, Evidence (its name, by whom)."},
		{KindAlarm, "ALARM", "Something that a person must look at: Rule, Text, Evidence."},
		{KindIncident, "INCIDENT", "An account was contained, or its incident ended: Account, Count (the incident's number), Text, Queue and the connection (what it was found with), Evidence."},
		{KindRefusals, "refusals", "A bundle of strangers' facts: Count of them, Bundle, Digest of the bodies."},
		{KindBackup, "backed up", "Somebody began to copy everything, keys too: Text (of what), Evidence (by whom)."},
		{KindRestore, "restored", "This log goes on in data that came out of a backup: Text (of when), Evidence (manifest, by whom)."},
		{KindRetention, "forgotten", "Bodies of old facts were removed: Count of them, Evidence (up to where)."},
	}
}

// word returns how a line for people names the kind.
func (k Kind) word() string {
	for _, i := range Kinds() {
		if i.Kind == k {
			return i.Word
		}
	}
	return string(k)
}
