// Package alarms tells the operator what must be known and nobody asked for: in the log, and as a
// fact of the trace. It tells of disks that become full, of next hops that no token signs us in
// at, and of passwords that are being guessed.
package alarms
