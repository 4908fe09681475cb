// Package sender is sender authentication as intake meets it: inspectors that sign
// what our people submit, and verify what strangers bring. The decisions are those of
// the pure rooms beside it; here is the order of things, and the DNS.
package sender
