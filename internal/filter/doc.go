// Package filter is the opinion of others on complete messages, as intake meets it:
// inspectors that ask an Rspamd or milters, and one that recognises bounces of mail
// that we never sent.
//
// They advise, within what intake.Finding can say: refuse, put off, hold, keep apart,
// add header fields from an allow-list. None of them makes a gate.Grant, adds a
// recipient or changes what came. What becomes of mail when a check gives no answer is
// stated by a Down, and every such case is in the trace.
package filter
