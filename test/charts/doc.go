// Command charts draws how throughput and the time of an answer change with what there is more of:
// clients, octets of a message, messages in the queue, recipients of a message, mailboxes. It prints
// what one unit costs at both ends, which tells whether the cost grows faster than what there is.
//
// It promises that every figure stands for messages that the real server acknowledged, all of them, and
// that processor time is counted until the server has come to rest.
package main
