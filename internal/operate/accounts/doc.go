// Package accounts implements the operator actions on accounts: create, show, freeze, thaw, rename
// and remove them, set what they may send and hold, and teach whom they wrote to before.
//
// It promises that each change and the fact about who made it are committed together, and that
// whoever gets the address of an account that went inherits nothing of it.
package accounts
