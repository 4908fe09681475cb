package store

import "context"

// Checkpointer is a Store that can leave a copy of itself on its disk while it is in
// use. Drivers that keep nothing on a disk have none.
type Checkpointer interface {
	// Checkpoint leaves in the folder dir, which it makes, a store as it stood at one
	// moment during the call: with everything that was applied before the call, lazily
	// too, and with every blob that its map can name. The copy shares files with the
	// store where the disk lets it, so that it costs little; it must be removed soon,
	// for it keeps the space of what is deleted meanwhile. Commits go on; removals of
	// blobs wait for a moment.
	Checkpoint(ctx context.Context, dir string) error
}
