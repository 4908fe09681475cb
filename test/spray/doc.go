// Package spray guesses passwords as somebody does who has many networks, many names and little
// time, while the owners sign in: over real sockets, from loopback addresses of many networks, a
// server counts how often it judged, and nobody is locked out.
//
// The small form is among all tests. `make spray` is the large one: 10,000 guesses over 500
// addresses and 200 accounts against a server that is a process of its own, on a core of its own,
// and what they do to the time that honest mail takes. docs/benchmarks.md keeps its figures.
package spray
