// Package mx delivers to the world: to the mail exchangers that the DNS names for
// a domain, or to the address of a literal.
//
// It promises one outcome per recipient whatever the DNS and the servers do; that
// only what the DNS states fails a message (no such domain, no mail exchanger that
// can be reached by anybody, a null MX, a loop back to us) and that everything
// else defers it with a reason; that nothing is ever dialled but an address that
// was checked a moment before (a public unicast address that is not ours, or one
// in a network that the administrator listed), so that no record and no change of
// a record leads us to ourselves or into a private network; and that a destination
// costs bounded questions, tries, connections, memory and time.
//
// An exchanger that puts a message off, once and again, keeps it from none of the others: from
// the second attempt on each attempt asks one other of them as well, in turn, and so does the first where
// a conversation ends before the message began. Only what another one takes counts.
//
// TLS is what the domain and the message demand of it, by DANE, MTA-STS and
// REQUIRETLS: what cannot be met defers with the policy's and the host's name, and
// never goes in clear text. Where nothing is demanded it is opportunistic: used where
// it is offered, and any certificate will do, because what it replaces is clear text
// (RFC 7435).
package mx
