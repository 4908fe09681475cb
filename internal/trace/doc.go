// Package trace keeps what happened to every message, connection and account, when, by
// which rule and on what evidence, in an order that nobody can rewrite unnoticed.
//
// What happens is a [fact.Fact]. A fact about a change is handed to the store
// together with that change, so that neither exists without the other; a fact
// that accompanies no change is written with [Log.Write]. Refusals of strangers,
// whom nobody invited and who are many, go through [Log.Stranger]: they are
// counted in bounded memory and written in bundles that have a retention of
// their own, so that no flood of refusals can push evidence about accepted mail
// out of the log.
//
// The package promises:
//
//   - The order of facts cannot be rewritten unnoticed. One sequencer, [Log.Run],
//     feeds every committed fact into a Merkle tree (RFC 6962 §2.1) and signs
//     checkpoints of it that are exported to a folder outside the store;
//     [Log.Verify] finds a fact that was altered, removed or moved, and a store
//     that was set back to an older state.
//   - Old facts are forgotten by age and number, but their hashes stay, so that
//     what is kept remains provable; the forgetting itself is a fact.
//
// Rules are named by the package that decides; this package names only its own
// ([RuleOverflow], [RuleRetention], [RuleRollback]).
//
// # Keys
//
// keys.go and package index have the layout of what the package keeps in the store. Package query reads.
package trace
