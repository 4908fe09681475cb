package main

import (
	"context"
	"strings"

	"sallyport/test/load"
)

// sweep is a row of measurements between which one thing changes.
type sweep struct {
	name, title, axis, unit string
	values                  []int
	at                      func(ctx context.Context, w *world, value int) (sample, error)
}

// run measures at each value, after the first once in vain: what is new to a server costs once.
func (s sweep) run(ctx context.Context, w *world, values []int) (all []sample, err error) {
	for i, v := range values {
		if i == 0 {
			if _, err := s.at(ctx, w, v); err != nil {
				return nil, err
			}
		}
		m, err := s.at(ctx, w, v)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func sweeps() []sweep {
	return []sweep{
		{"clients", "More clients at once", "clients", "message", []int{1, 3, 10, 30, 100, 300, 1000}, atClients},
		{"size", "Larger messages", "octets of a message", "octet", []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000, 25_000_000}, atSize},
		{"queue", "A longer queue", "messages in the queue", "message", []int{0, 1_000, 10_000, 100_000, 1_000_000}, atLength},
		{"recipients", "More recipients of a message", "recipients of a message", "recipient", []int{1, 10, 100, 1000}, atRecipients},
		{"mailboxes", "More mailboxes", "mailboxes", "message", []int{1, 10, 100, 1000, 10_000, 100_000}, atMailboxes},
	}
}

func atClients(ctx context.Context, w *world, n int) (sample, error) {
	return w.measure(ctx, n, 1, load.Options{Messages: max(w.messages, 5*n), Connections: n, Size: 10_000})
}

// octetsAtOnce bounds what one measurement sends of large messages.
const octetsAtOnce = 400_000_000

func atSize(ctx context.Context, w *world, n int) (sample, error) {
	text := message(n)
	return w.measure(ctx, n, float64(len(text)), load.Options{
		Messages: max(min(w.messages, octetsAtOnce/n), 16), Connections: 16, Text: text,
	})
}

// message is one of about n octets.
func message(n int) string {
	const (
		head = "From: <somebody@far.test>\r\nTo: <bob@local.test>\r\nSubject: of a size\r\n\r\n"
		line = "The quick brown fox jumps over the lazy dog, 0123456789 times over.\r\n"
	)
	return head + strings.Repeat(line, max(1, (n-len(head))/len(line)))
}

func atLength(ctx context.Context, w *world, n int) (sample, error) {
	if err := w.fill(ctx, n); err != nil {
		return sample{}, err
	}
	return w.measure(ctx, n, 1, load.Options{Messages: w.messages, Connections: 20, Size: 700})
}

func atRecipients(ctx context.Context, w *world, n int) (sample, error) {
	const boxes = 1000
	if w.boxes < boxes {
		if err := w.populate(ctx, boxes); err != nil {
			return sample{}, err
		}
	}
	return w.measure(ctx, n, float64(n), load.Options{
		Messages: max(5*w.messages/n, 40), Connections: 20, Size: 2_000, Each: n, To: w.spread(boxes),
	})
}

func atMailboxes(ctx context.Context, w *world, n int) (sample, error) {
	if w.boxes < n {
		if err := w.populate(ctx, n); err != nil {
			return sample{}, err
		}
	}
	return w.measure(ctx, n, 1, load.Options{Messages: w.messages, Connections: 20, Size: 2_000, To: w.spread(w.messages)})
}
