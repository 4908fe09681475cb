// Package ledger keeps the counts that package budget judges: how many recipients each account,
// and each forward, has written to. It promises that
//
//   - what is asked for at the same time, by whatever number of sessions, counts
//     together: none of them gets what another was given;
//   - what was counted with a message is durable with that message (Charge.Mutation), so
//     that neither a crash nor a restart gives anything anew;
//   - after a crash no less is counted than was let through; what was under way then
//     counts as let through;
//   - what was asked for and given up again was never counted.
//
// In the store it has the keys that begin with "budget/": one for each line, and for
// each further act that is on its way to the disk at the same time. Of several, the one
// with the highest number was written with the most knowledge, and counts.
package ledger
