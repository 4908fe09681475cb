// Package screen decides how often a stranger may come: how many connections a
// network may open, and how many passwords may be guessed at an account.
//
// It promises that at any moment its memory is bounded, that what it forgets
// first is what would matter least, that one account is never guessed at more
// often than its rate by networks that never signed in to it, and that such an
// attack does not lock out the owner on a network that did. Every refusal names
// its rule and its evidence.
//
// The package is pure: time is an argument, and the tables belong to one caller,
// who locks them. Zero limits refuse everything.
package screen
