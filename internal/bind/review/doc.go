// Package review keeps which names accounts used that are not theirs while sender binding
// only reports, until an administrator has reviewed them.
//
// It promises that a finding about a message that was taken is durable with the message;
// that what it keeps is bounded for each account and over all, and says when more was seen
// than is kept; that of names which are not ours only the domain is kept; and that nothing of
// an account that is removed passes on to one of the same name. It decides nothing and grants
// nothing.
package review
