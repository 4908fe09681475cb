// Package survey answers what a configuration amounts to, without a running server: whether its
// directory is closed, how far the signing of return paths has come, and what becomes of a
// message.
package survey
