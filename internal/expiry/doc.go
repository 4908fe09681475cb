// Package expiry warns people before a certificate expires: the owner of an account of a device's
// certificate, and the administrator of the authority that signs them.
//
// It promises that each is told at most once at each step before the end, also after a crash;
// and that a step that passed while the server stood is told of as soon as it runs again,
// the last one even when the certificate has ended meanwhile.
package expiry
