// Package cuts takes the power from the queue, and from whole servers, before every single
// operation that changes their disk while a scripted history happens, and holds what starts on the
// rest to what the world was told.
package cuts
