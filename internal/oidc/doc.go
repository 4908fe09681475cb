// Package oidc validates the access tokens with which users sign in: those of one OpenID provider,
// by its keys (RFC 9068, OpenID Connect Discovery 1.0) or by introspection (RFC 7662).
//
// It promises that a token counts only if it is of that provider, for us, given to a client
// that we know, with the scope that we ask for, in its time, and names a person whose address
// the provider vouches for; that what can be seen of a token before its signature is looked at
// is looked at before anything is fetched; that a flood of unknown keys or tokens costs the
// provider a bounded number of questions and does not keep tokens of known keys waiting; that a
// key which the provider withdrew counts for nothing after a bounded time; and that no token
// stands in an error.
package oidc
