// Package drill builds the server with one promise broken at a time, and demands that a rehearsal
// notices exactly that.
package drill
