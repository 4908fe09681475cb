// Package dane judges a mail host's certificate by the TLSA records of its name, as
// DNSSEC secures them. RFC 7672, with RFC 6698 and RFC 7671.
//
// Lookup finds the records that hold for a host; Usable and Set.Verify are functions
// of values. It promises that only what a validating resolver that we trust calls
// secure is ever used; that a lookup which fails is never taken for the absence of
// records, since that is what an attacker would make it look like; and that a host
// with records of which none can be used still gets no mail in clear text.
package dane
