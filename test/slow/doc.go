// Package slow besieges the real server: ten thousand senders let an octet drip now and then, more
// connections come than it has descriptors for, and it is loaded beyond the memory that it may
// have.
package slow
