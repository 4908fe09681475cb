// Package returnpath signs the return paths of what leaves and reads those of what comes
// back.
//
// A return path of ours has one of two forms, and each form has its own grammar and key:
// returnpath/prvs signs the sender of an account's own mail, returnpath/srs stands for an
// account that sent somebody else's mail on. This package decides what follows from them:
// whose sender is signed, which bounce must come to a signed address, which bounces are
// ours, and whom a return path leads to. What it decides is a function of Rules, the
// directory and the time; Paths adds the keys and the accounts that a form can stand for.
package returnpath
