// Package milter speaks the milter protocol, versions 2 to 6, as a mail server does: it shows a
// message to a filter and returns its advice.
//
// The message is shown whole, from the connection to the end of its body, when it has
// come whole. What a filter may bring about is an allow-list: accept, refuse, put off,
// quarantine, and add header fields. That it wants a message discarded is reported as
// such. What it wants changed otherwise (fields that stand there, the body, sender and
// recipients) is offered in the negotiation, since many filters ask for more than they
// use and hang up without it; where it is asked for it is reported and not done.
//
// It promises that a filter costs bounded time, memory and connections whatever it
// does, and that what is not understood is an error.
package milter
