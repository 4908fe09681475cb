// Package slow besieges the real server with senders that let an octet drip now and then, and
// with more connections than it has descriptors for.
package slow
