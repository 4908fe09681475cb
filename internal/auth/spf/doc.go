// Package spf checks whether a host may send for a domain, by the domain's SPF
// record. RFC 7208.
//
// It promises that a check asks a bounded number of questions, that every syntax
// fault of a record is found wherever it stands, that a failure of the DNS is never
// taken for an answer, and that the same answers always give the same result.
//
// It does not ask by itself: the caller brings a Resolver, and bounds the time by
// the context.
package spf
