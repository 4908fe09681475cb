// Package door admits connections before any protocol is spoken, alike for all listeners: it
// counts them, makes room, reads the PROXY header of a balancer, and schedules TLS handshakes.
//
// It promises that the connections of all doors that share an Admission stay within one set of
// bounds, that a network has its share of them alone, that strangers who stall a handshake keep
// nobody of ours waiting, and that what cannot be admitted is turned away and nothing is opened
// for it. It knows no protocol and no policy.
package door
