// Package policy judges clients on port 25 before a local recipient is accepted: by the
// administrator's access list (screen/access) and by DNS blocklists (screen/dnsbl).
//
// It promises that it never opens anything: it can only refuse, put off or slow down what
// the gate would take, and that for want of our own means it puts off. The roles of a
// domain (postmaster, abuse) are not kept from anybody by lists of others, so that who is
// listed wrongly has somebody to write to. Each verdict names its line or its lists.
package policy
