// Package cuts takes the power from the queue, and from whole servers, before every single
// operation that changes their disk while a scripted history happens, and holds what starts on the
// rest to what the world was told; and it judges whether what many did with the queue at once, and
// through power cuts, is what one after the other could have done.
package cuts
