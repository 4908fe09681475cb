// Package incidents implements the operator actions on incidents: list them, show one with what
// the trace and the queue tell of it, end it, purge what it holds, and export the evidence. It
// tells the story of an account, too.
package incidents
