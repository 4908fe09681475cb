// Package look sees which addresses are this host's own, which its gateways, and which networks
// lie between it and containers, as the kernel tells over netlink(7). It decides nothing.
package look
