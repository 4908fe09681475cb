// Package tlspolicy decides how a connection to a mail host must be secured: by DANE,
// by MTA-STS, by what the message itself asks, or as well as it can be.
//
// Decide is a function of what was found out (mtasts, dane) and of the message. It
// promises that DANE goes before MTA-STS (RFC 8461 §2); that what a domain demands is
// never answered with less, but for a message whose sender said that it is not
// important (RFC 8689 §3); and that each verdict names its rule, and each refusal the
// policy and the host.
package tlspolicy
