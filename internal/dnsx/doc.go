// Package dnsx asks the DNS, and keeps its answers apart from its failures.
//
// It promises that an answer was given to our question by the server that was
// asked; that a failure of the DNS (silence, SERVFAIL, REFUSED, a referral, an
// answer that breaks the rules) is never taken for the absence of a name or of a
// record; that Secure is set only on the word of a validating resolver reached
// over loopback; and that a question costs bounded time, memory and datagrams,
// however hostile the answers are.
//
// It is a stub: it asks recursive servers and follows no delegation. Client asks
// real servers; Fake answers from tables with the same errors.
package dnsx
