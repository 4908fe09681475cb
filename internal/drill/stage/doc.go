// Package stage runs the real server for a rehearsal: with somebody's configuration, on free
// ports of loopback, in a folder of its own with keys and accounts of its own, and with sinks
// where its mail would leave. It takes over from the configuration what is listed here and
// nothing else, so that whatever reaches outside is left out until somebody lists it.
package stage
