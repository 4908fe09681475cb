//go:build race

package server

// idleOctets bounds an idle connection under the race detector, which keeps a shadow of
// every stack.
const idleOctets = 20 << 10
