// Package milter speaks the milter protocol, versions 2 to 6, as a mail server does:
// it shows a message to a filter and returns what the filter advises.
//
// The message is shown whole, from the connection to the end of its body, when it has
// come whole. What a filter may bring about is an allow-list: accept, refuse, put off,
// quarantine, and add header fields. That it wants a message discarded is reported as
// such, and what it wants changed in fields that stand there is reported and not done.
// Adding recipients, removing them, another sender and another body are not offered in
// the negotiation; a filter that cannot do without says so there, and one that does it
// all the same has broken the protocol.
//
// It promises that a filter costs bounded time, memory and connections whatever it
// does, and that what is not understood is an error.
package milter
