// Package look finds this host's own addresses, its gateways, and the networks between it and
// containers, as the kernel tells over netlink(7). It decides nothing.
package look
