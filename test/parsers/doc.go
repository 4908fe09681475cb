// Package parsers feeds hostile octets to every reader of what strangers, accounts and
// remote servers write, and shows that the work is linear and small: a hundred times
// the octets cost at most two hundred times the processor time, and 1 MiB at most 0.2
// seconds.
//
// Shapes are what makes parsers slow: comments in comments, quotes that do not end,
// encoded words, words that are almost domains, lists without end. Every shape meets
// every reader, so that a new reader is tried with all of them and a new shape with
// every reader.
package parsers
