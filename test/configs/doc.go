// Package configs makes configurations, closed ones and ones with a hole that was planted, and
// holds what check says of each against what an attacker gets through the sockets of a server
// that runs it. What is attacked and what counts as open it knows by itself, and not from check.
package configs
