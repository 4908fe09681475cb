// Package dkim holds DKIM signing and verification against independent
// implementations: Debian's dkimpy and OpenDKIM.
package dkim
