// Package alarms tells an operator of what he has to know and nobody asked for: in the log, and as
// a fact of the trace. It tells of disks that become full, of next hops that no token signs us in
// at, and of passwords that are being guessed.
package alarms
