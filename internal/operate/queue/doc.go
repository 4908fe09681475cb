// Package queue implements the operator actions on the queue: list it, summarise it, read a
// message, hold, release, retry, redirect and remove.
//
// Its methods are called as its actions are (queue.hold is QueueHold), since one Operator and one
// Client have those of all topics.
package queue
