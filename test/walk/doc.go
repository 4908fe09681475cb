// Package walk follows the documents word by word: a newcomer with README.md, whoever is
// called at night with docs/operations.md, and administrators with some of docs/guides. The
// commands are those that the documents print, run in a copy of this system that goes away, with
// a network of its own; where a document shows what a command prints, its form is compared. A
// document that changes changes the walk.
package walk
