// Package history reads who wrote to whom before a site moved here: from a list, from sent
// messages, and from the logs of Postfix and Exim.
//
// It promises that what it reads is bounded, that a line it does not understand is left
// out, and that a log teaches only what an account sent that had signed in, unless its
// reader asks for more: anybody may write a sender of ours into a message, and into a log
// by it.
package history
