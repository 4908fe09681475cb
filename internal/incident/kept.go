package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// MaxKeptHeader is how many octets of the header section of a purged message are kept.
const MaxKeptHeader = 16 << 10

// keptBatch is how many messages are written down in one act.
const keptBatch = 100

// Kept is what is kept of a message that was purged.
type Kept struct {
	Queue      mail.ID   `json:"queue"`
	Received   time.Time `json:"received"`
	Sender     string    `json:"sender"`
	Recipients []string  `json:"recipients"`
	Size       int64     `json:"size"`
	SHA256     string    `json:"sha256"` // of the body, in hexadecimal
	Header     string    `json:"header"` // its begin, as it was submitted
}

type storedKept struct {
	Version int `json:"v"`
	Kept
}

// Keep writes down what was held of an incident, durably, before it is removed.
func (l *Log) Keep(ctx context.Context, n uint64, all []Kept) error {
	for len(all) > 0 {
		var tx store.Tx
		for _, k := range all[:min(len(all), keptBatch)] {
			k.Header = k.Header[:min(len(k.Header), MaxKeptHeader)]
			k.Recipients = texts(k.Recipients, maxRecipients)
			value, err := json.Marshal(storedKept{recordVersion, k})
			if err != nil {
				return fmt.Errorf("incident: encoding a message: %w", err)
			}
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: append(keptPrefix(n), k.Queue.Bytes()...), Value: value})
		}
		if _, err := l.st.Apply(ctx, tx, store.Durable); err != nil {
			return fmt.Errorf("incident: keeping what is purged: %w", err)
		}
		all = all[min(len(all), keptBatch):]
	}
	return nil
}

// EachKept calls fn for each message that was purged, in the order of their identifiers.
func (l *Log) EachKept(ctx context.Context, n uint64, fn func(Kept) error) error {
	return l.st.Scan(ctx, store.Prefix(keptPrefix(n)), func(_, value []byte) (bool, error) {
		var k storedKept
		if err := codec.Decode(value, &k); err != nil {
			return false, fmt.Errorf("incident: reading a message: %w", err)
		}
		if err := codec.Version(k.Version, recordVersion); err != nil {
			return false, fmt.Errorf("incident: reading a message: %w", err)
		}
		return true, fn(k.Kept)
	})
}

// CountPurged adds to how many messages of an incident were removed.
func (l *Log) CountPurged(ctx context.Context, n uint64, more int) error {
	for {
		i, value, err := l.record(ctx, n)
		if err != nil {
			return err
		}
		i.Purged += more
		s, err := l.share(i, nil, holds(recordKey(n), value))
		if err != nil {
			return err
		}
		_, err = l.st.Apply(ctx, store.Tx{Preconditions: s.Preconditions, Mutations: s.Mutations}, store.Durable)
		if !isConflict(err) {
			return err
		}
	}
}

// HeaderOf returns the header section that a message begins with, as far as it is kept.
// RFC 5322 §2.1
func HeaderOf(text string) string {
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	return head[:min(len(head), MaxKeptHeader)]
}
