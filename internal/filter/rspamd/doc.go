// Package rspamd has an Rspamd judge messages, over the HTTP interface of its workers (POST
// /checkv2).
//
// It promises that a question costs bounded time, memory and connections whatever the
// other side does, and that an answer is either understood as a whole or an error:
// what to do without an answer is for the caller to say.
package rspamd
