// Package replay runs a log of mail through the detector and the correspondents of
// package hijack, as the server does, and lets thieves in: it tells how many recipients
// get a thief's mail before the account is contained, and how often honest people are.
//
// It promises the same figures for the same log and seed.
package replay
