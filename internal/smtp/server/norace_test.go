//go:build !race

package server

// idleOctets bounds what an idle connection holds, both ends of it.
const idleOctets = 10 << 10
