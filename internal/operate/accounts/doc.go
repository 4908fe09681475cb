// Package accounts is what an operator can do with accounts: make, show, freeze, free, rename and
// remove them, say what they may send and hold, and teach whom they wrote to before.
//
// It promises that each change and the fact about who made it are committed together, and that
// whoever gets the address of an account that went inherits nothing of it.
package accounts
