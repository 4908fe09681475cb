// Package fact defines the facts that are recorded about messages, connections and accounts, and
// their encoding.
//
// A [Fact] is one thing that happened. Whoever decides makes the fact where the thing
// happens; package trace keeps facts in their order, and finds them again. This package
// knows neither store nor log: it makes facts, encodes and decodes them, and renders
// them for people.
//
// The package promises:
//
//   - Nothing a peer said reaches a reader raw: every text in an encoded fact is printable
//     and of bounded length, and a fact is at most [MaxFactOctets] long.
//   - What [Fact.Encode] writes, [Decode] reads, in this release and in later ones; kinds
//     and keys that a release does not know do no harm.
//
// [Kinds] lists the kinds with their meaning. Rules are named by the package that decides:
// gate, bind, accounts and so on.
package fact
