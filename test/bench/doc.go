// Command bench measures sallyport beside Postfix in the same run, on the same
// machine and disk, and prints the tables that docs/benchmarks.md keeps.
//
// It promises that every figure stands for mail that was counted at its
// destination: queue files and queue entries after "accepted", messages at a sink
// after "relayed", files in a Maildir after "delivered". A figure whose messages
// are not all there, or a Postfix that logged a warning, is an error and no figure.
// The private Postfix instance touches nothing of the system's own and is stopped
// whatever happens.
package main
