// Package watch runs package hijack in a server: it keeps the state of each account, feeds it what
// the account does, and acts on the verdicts.
//
// It promises that
//
//   - what happens in an account is judged one event after the other, under the account's own lock,
//     before the answer to it is given;
//   - what is known of an account is durable with each message that it submits, in the act that
//     makes the message durable, so that a crash forgets no message that was answered with 250;
//     what else was seen (sign-ins, refusals) is written at once, lazily;
//   - an account is contained in one act of package incident, and until that act is committed no
//     message of it is taken;
//   - what many accounts have in common, none of which is at home in it, is paused in their place,
//     in one act with its incident: a message that bears it is put off, and what of such messages
//     still waits goes on waiting;
//   - recipients who may not leave yet wait in the queue, also through restarts, and are never
//     bounced for it;
//   - memory is bounded by accounts that are at work and a number of others.
//
// In the store it has the keys that begin with "hijack/":
//
//	hijack/state/ACCOUNT 0 PLACE   what is known of an account; of several the latest counts
//	hijack/pair/ONE OTHER          since when one knows the other: fingerprints, 8 octets each
//	hijack/site/WHO                when somebody of this site first wrote to them
//	hijack/from/ACCOUNT NETWORK    since when an account signs in from a network
//	hijack/program/ACCOUNT PROGRAM since when an account signs in with a client program
//	hijack/tls/ACCOUNT OFFER       since when an account signs in with what a client offers in TLS
//	hijack/shared/WHAT             what is known of a network, an offer or a text that accounts share
//	hijack/paused/WHAT             the same is paused
//	hijack/changed/ACCOUNT TIME    what was changed of it then, in words
//	hijack/heard/ACCOUNT WHO       a stranger who wrote first with a DMARC pass: when last, when
//	                               first, of which domain
//	hijack/wait/ID                 who of a queued message may not leave yet
//	hijack/renamed/ACCOUNT         whom it corresponds with is on its way to another address
//	hijack/gave/ACCOUNT CREDENTIAL since when evidence was given with a credential, and when last by sign-ins
//	hijack/taught/ACCOUNT          until when its past taught what is normal at this site
//	hijack/normal                  what is normal at this site
//	hijack/past                    how far the trace of the time before was learnt from
package watch
