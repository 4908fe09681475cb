// Package node is the root of a running server: it alone sees configuration,
// clock, network, disk and the adapters, and wires the rooms by hand.
//
// Open makes everything that works without the network (store, accounts, queue,
// trace, directory), so that the command line can act on a server that is not
// running; Listen binds; Serve runs until its context ends and then stops cleanly:
// no message is cut in the middle, what is under way is finished or stays queued.
package node
