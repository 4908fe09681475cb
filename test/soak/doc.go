// Package soak has one server work for half an hour at everything at once, while the world around
// it fails again and again, and demands that it holds no more afterwards than before.
package soak
