// Package filter has complete messages judged by others, as inspectors of package intake: by an
// Rspamd, by milters, and by a check that recognises bounces of mail that was never sent from
// here.
//
// They advise, within what intake.Finding can say: refuse, put off, hold, keep apart,
// add header fields from an allow-list. None of them makes a gate.Grant, adds a
// recipient or changes what came. What becomes of mail when a check gives no answer is
// stated by a Down, and every such case is in the trace.
package filter
