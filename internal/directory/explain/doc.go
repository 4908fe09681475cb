// Package explain walks one imagined transaction through every rule that would judge it,
// and tells each step to a person: why would this be refused, and what would change it?
//
// It promises to ask the same directory and the same gate as the server does, and to
// decide nothing by itself. It walks what depends on the configuration, the accounts and
// the entries alone: what depends on the moment (limits, containment, lists of others) or
// on the message (SPF, DKIM, DMARC, filters) is named as not walked.
package explain
