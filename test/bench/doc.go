// Command bench measures sallyport beside other mail servers in the same run, on the same
// machine and disk, and prints the tables that docs/benchmarks.md keeps: Postfix, Exim and
// OpenSMTPD from Debian, Haraka from npm, and a program that does the least that a receiver
// can do (test/bench/floor).
//
// It promises that every figure stands for mail that was counted at its
// destination: queue files and queue entries after "accepted" and "submitted", messages at a
// sink after "relayed", files in a Maildir after "delivered". A figure whose messages
// are not all there, a Postfix that logged a warning, or a server that is not there to be
// measured is an error and no figure. Who syncs before his 250 is not believed but traced.
// The private instances touch nothing of the system's own and are stopped whatever happens.
package main
