// Package survey answers what a configuration amounts to without a server that runs on it:
// whether its directory is closed, how far the signing of return paths has come, and what becomes
// of a message.
package survey
