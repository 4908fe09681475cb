// Package dmarc finds a domain's DMARC policy by the tree walk and judges a message
// by it. RFC 9989.
//
// It promises that a walk asks at most eight questions, whatever the domain; that a
// DNS that does not answer is never taken for a domain without a policy; and that
// the same answers always give the same verdict. It does no input or output: the
// caller asks the questions of a Walk and adds what the DNS said.
package dmarc
