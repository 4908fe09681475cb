// Package drill rehearses on one's own configuration what a mail server is attacked with: it plays
// strangers, thieves, liars and an untimely end against a server on loopback, and has
// package verdict judge what they left behind.
package drill
