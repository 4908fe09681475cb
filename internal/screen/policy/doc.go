// Package policy judges who writes to us on port 25, before a recipient of ours is taken:
// by the administrator's list (screen/access) and by lists that others keep (screen/dnsbl).
//
// It promises that it never opens anything: it can only refuse, put off or slow down what
// the gate would take, and that for want of our own means it puts off. The roles of a
// domain (postmaster, abuse) are not kept from anybody by lists of others, so that who is
// listed wrongly has somebody to write to. Each verdict names its line or its lists.
package policy
