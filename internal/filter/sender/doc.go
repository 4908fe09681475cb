// Package sender is sender authentication, as inspectors of package intake: they sign what local
// users submit, and verify what strangers send. The decisions are those of the pure rooms beside
// it; here is the order of things, and the DNS.
package sender
