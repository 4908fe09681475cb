// Package gate decides whether a recipient is accepted, and is the only maker of
// the Grant without which nothing enters the outbound queue.
//
// What it promises:
//
//   - Decide and DecideMail are total, pure functions of small enums. They do no
//     input or output, read no clock and keep no state, so that the whole product
//     of their arguments can be enumerated and replayed.
//   - Whatever they are not told, or told in a value out of range, refuses. The
//     zero Facts, the zero Verdict and the zero Grant refuse.
//   - A recipient that is not ours is accepted only together with a Grant, and a
//     Grant is only made for an account in good standing that uses a sender of its
//     own (or the null sender): signed in through a door for submission, or owning
//     the forward that is being carried out.
//   - Every Verdict names the rule that made it; Rules lists them all in words.
//
// A Grant outlives the process as a sealed text: Seal adds a MAC, and Restore
// returns a Grant only from what Seal wrote under the same Key.
package gate
