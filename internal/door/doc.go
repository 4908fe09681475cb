// Package door is what connections pass before anybody speaks with them, whatever is spoken
// behind: it counts them in, makes room, reads what a balancer says of their origin, and lets
// TLS begin in turn.
//
// It promises that the connections of all doors that share an Admission stay within one set of
// bounds, that a network has its share of them alone, that strangers who stall a handshake keep
// nobody of ours waiting, and that what cannot be admitted is turned away and nothing is opened
// for it. It knows no protocol and no policy.
package door
