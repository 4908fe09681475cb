// Package screen decides how many connections a stranger may open, and knows the buckets and
// networks by which strangers are counted.
//
// It promises that at any moment its memory is bounded, and that what makes room first is
// what matters least.
//
// The package is pure: time is an argument, and a Crowd belongs to one caller, who locks it.
// Zero limits refuse everything.
package screen
