// Package incident knows of each account that was contained: why, on what evidence, what
// was stopped, and how it ended.
//
// It promises that
//
//   - an incident and the containment that it tells of are one act in the store: the
//     account's standing, the hold of its queue, the incident and the facts about them are
//     all there after a crash, or nothing is;
//   - an account has one open incident at most; what contains it again adds to that one;
//   - an incident is the account's, whichever name was typed for it;
//   - it ends because a person ends it, and never with time; one that evidence began ends
//     only when the account has another password than the one that was used, or when a
//     person says that nothing was wrong;
//   - what many accounts have in common and is paused in their place is an incident of its
//     own kind, which touches no account and ends by a person as well;
//   - what is written down of an incident outlives the messages that it is about.
//
// In the store it has the keys that begin with "incident/":
//
//	incident/last            the number of the latest incident
//	incident/record/NUMBER   one incident (8 octets, big endian)
//	incident/open/ACCOUNT    the number of the account's open incident
//	incident/open/shared KIND TEXT  the same of what is paused
//	incident/kept/NUMBER ID  what is kept of a message that was purged
package incident
