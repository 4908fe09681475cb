package queue

import (
	"context"

	"sallyport/internal/operate/call"
)

// Client calls the actions.
type Client struct{ *call.Client }

// QueueList calls Actions.QueueList.
func (c Client) QueueList(ctx context.Context, s Select, fn func(Message) error) error {
	return call.Stream(ctx, c.Client, "queue.ls", s, fn)
}

// QueueShow calls Actions.QueueShow.
func (c Client) QueueShow(ctx context.Context, r QueueRef) (Message, error) {
	return call.Do[Message](ctx, c.Client, "queue.show", r)
}

// QueueHold calls Actions.QueueHold.
func (c Client) QueueHold(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.hold", r)
}

// QueueRelease calls Actions.QueueRelease.
func (c Client) QueueRelease(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.release", r)
}

// QueueRetry calls Actions.QueueRetry.
func (c Client) QueueRetry(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.retry", r)
}

// QueueRemove calls Actions.QueueRemove.
func (c Client) QueueRemove(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.rm", r)
}
