// Package networks puts a masquerading gateway before the server, in network namespaces of the
// kernel, and shows what becomes of trust in a network then: at this server, and at a Postfix
// whose mynetworks are the usual ones. It needs root, ip(8), nft(8) and
// Postfix: make networks. The guide to networks is followed without Postfix, by make test too.
package networks
