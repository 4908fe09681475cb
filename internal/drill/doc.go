// Package drill rehearses on one's own configuration how a mail server is attacked: it plays
// strangers, thieves, liars and a crash against a server on loopback, and has package verdict
// judge what they left behind.
package drill
