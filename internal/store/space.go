package store

import "bytes"

// Space is a part of the keys that belongs to one room: every key that begins with it. A
// room makes its keys from a Space of its own, and only from that.
type Space string

// The spaces of keys. What is stored in data of earlier releases begins with them, so that
// none may change but by a step of package operate/format. A new room takes a new one,
// with a slash at its end; the spaces of the queue are those of two octets.
const (
	SpaceAccounts   Space = "identity/"
	SpaceRoster     Space = "roster/"
	SpaceLists      Space = "lists/"
	SpaceBudget     Space = "budget/"
	SpaceInflow     Space = "inflow/"
	SpaceClock      Space = "passed/"
	SpaceQuota      Space = "quota/"
	SpaceGreylist   Space = "greylist/"
	SpaceIncidents  Space = "incident/"
	SpaceTrust      Space = "trust/"
	SpaceHijack     Space = "hijack/"
	SpaceBinding    Space = "binding/"
	SpaceNotices    Space = "told/"
	SpaceExpiry     Space = "expiry/"
	SpaceWebhook    Space = "webhook/"
	SpaceFloods     Space = "flood/"
	SpaceACME       Space = "acme/"
	SpaceSigning    Space = "k/d/"
	SpaceCA         Space = "ca/"
	SpacePolicies   Space = "y/m/"
	SpaceDMARC      Space = "y/d/"
	SpaceDMARCSent  Space = "y/e/"
	SpaceTLSResults Space = "y/r/"
	SpaceTLSSent    Space = "y/s/"

	SpaceTrace          Space = "t/s"
	SpaceCheckpoint     Space = "t/c"
	SpaceTree           Space = "t/h"
	SpaceBundles        Space = "t/q"
	SpaceStrangers      Space = "t/b"
	SpaceFactIndex      Space = "t/i"
	SpaceStrangersIndex Space = "t/j"
	SpaceFactIDs        Space = "t/k"
	SpaceStrangersIDs   Space = "t/l"
	SpaceFactTerms      Space = "t/m"
	SpaceStrangersTerms Space = "t/n"

	SpaceEntries    Space = "se"
	SpaceBodies     Space = "sb"
	SpaceFiles      Space = "sf"
	SpaceDue        Space = "sd"
	SpaceHeld       Space = "sh"
	SpaceParked     Space = "sp"
	SpaceHolds      Space = "sa"
	SpaceQuarantine Space = "sx"
	SpaceOpenings   Space = "sn"
)

// Owned is a space with the room that it was handed out to.
type Owned struct {
	Space Space
	Room  string // folder below internal
	Holds string // what is in it
}

// Spaces returns every space that was handed out. None is the beginning of another, so
// that no key belongs to two rooms.
func Spaces() []Owned {
	return []Owned{
		{SpaceAccounts, "accounts", "accounts, whence they sign in, and what stands for missing ones"},
		{SpaceRoster, "directory/roster", "domains, aliases, forwards, delegates and outside contacts that commands added"},
		{SpaceLists, "ldap/roll", "the last good list of each directory: recipients, and how many people"},
		{SpaceBudget, "budget/ledger", "counts of recipients"},
		{SpaceGreylist, "screen/greylist", "senders that were put off, and networks that were let through"},
		{SpaceInflow, "budget/inflow", "what networks brought and mailboxes took, where that fills again in more than a minute"},
		{SpaceClock, "budget/clock", "how much time passed, what the machine's clocks showed then, and when the clock was set"},
		{SpaceQuota, "budget/quota", "what mailboxes held when they were last looked at, and whose owner was told"},
		{SpaceNotices, "incident/notice", "which incidents somebody was told of, and which contacts that they were replaced"},
		{SpaceWebhook, "incident/webhook", "of which incidents another program was told"},
		{SpaceFloods, "filter/flood", "up to which held bounce each mailbox was told of a flood"},
		{SpaceExpiry, "expiry", "who was told of which certificate's end, and when last"},
		{SpaceHijack, "hijack/watch", "what is known of each account's habits, who corresponds with whom, and who waits"},
		{SpaceBinding, "bind/review", "names that accounts used and do not own, where binding only reports"},
		{SpaceIncidents, "incident", "accounts that were contained, and what is kept of what was purged"},
		{SpaceTrust, "trust/guard", "public clients that were seen, which trusted networks rest on"},
		{SpaceACME, "acme", "certificates and the account at the authority"},
		{SpaceSigning, "keyring", "keys that sign mail, by domain"},
		{SpaceCA, "ca", "authorities for devices, and what they signed"},
		{SpacePolicies, "tlspolicy/mtasts", "policies of other domains"},
		{SpaceDMARC, "reports/dmarc", "what is counted for DMARC reports, by day and domain"},
		{SpaceDMARCSent, "reports/dmarc", "how many DMARC reports left, by day"},
		{SpaceTLSResults, "reports/tls", "what is counted for TLS reports, by day and domain"},
		{SpaceTLSSent, "reports/tls", "how many TLS reports left, by day"},
		{SpaceTrace, "trace", "how far the sequencer came"},
		{SpaceCheckpoint, "trace", "the newest checkpoint"},
		{SpaceTree, "trace", "hashes of the tree"},
		{SpaceBundles, "trace", "where in the log a bundle of strangers' facts stands"},
		{SpaceStrangers, "trace/index", "bodies of strangers' facts"},
		{SpaceFactIndex, "trace/index", "index of facts, as format 1 filed them"},
		{SpaceStrangersIndex, "trace/index", "index of strangers' facts, as format 1 filed them"},
		{SpaceFactIDs, "trace/index", "index of facts by message and connection"},
		{SpaceStrangersIDs, "trace/index", "index of strangers' facts by connection"},
		{SpaceFactTerms, "trace/index", "index of facts by every other term, in stretches of the log"},
		{SpaceStrangersTerms, "trace/index", "the same of strangers' facts"},
		{SpaceEntries, "spool", "messages, without their content"},
		{SpaceBodies, "spool", "content that is kept beside its message"},
		{SpaceFiles, "spool", "which message a file belongs to"},
		{SpaceDue, "spool", "messages by their next try"},
		{SpaceHeld, "spool", "messages that are held"},
		{SpaceParked, "spool", "messages that are held with their account"},
		{SpaceHolds, "spool", "accounts whose queue is held"},
		{SpaceQuarantine, "spool", "what does not read any more"},
		{SpaceOpenings, "spool", "how often the queue was opened"},
	}
}

// Key returns a key of the space: its beginning and the parts.
func (s Space) Key(parts ...[]byte) []byte {
	n := len(s)
	for _, p := range parts {
		n += len(p)
	}
	k := append(make([]byte, 0, n), s...)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// All is the range of every key of the space.
func (s Space) All() Range { return Prefix([]byte(s)) }

// Has reports whether a key belongs to the space.
func (s Space) Has(key []byte) bool { return bytes.HasPrefix(key, []byte(s)) }
