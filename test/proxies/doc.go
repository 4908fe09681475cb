// Package proxies puts Debian's HAProxy and nginx before the running server, with what
// docs/guides/balancer.md prints, and leaves out one line after the other.
package proxies
