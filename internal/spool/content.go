package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"sallyport/internal/damage"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// OpenBody opens the body of an entry, without its Prefix. The length is verified
// at once, the hash before the end: a body that does not match gives ErrDamaged
// in the place of io.EOF, and its entry goes into quarantine.
func (s *Spool) OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error) {
	e, record, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.file == "" {
		body, err := s.smallBody(ctx, e, record)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	f, err := s.openFile(e)
	if errors.Is(err, ErrDamaged) {
		s.quarantine(ctx, id, record, indexKey(e), err)
	}
	if err != nil {
		return nil, err
	}
	// What is found at the end of a long read must be recorded even if the reader
	// was told to stop by then.
	ctx = context.WithoutCancel(ctx)
	return &verifier{BlobReader: f, hash: sha256.New(), want: e.SHA256, damaged: func(err error) {
		s.quarantine(ctx, id, record, indexKey(e), err)
	}}, nil
}

// openFile opens the file of a large body and checks its length.
func (s *Spool) openFile(e *Entry) (store.BlobReader, error) {
	f, err := s.st.Blobs().Open(e.file)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
		return nil, fmt.Errorf("%w: entry %s: its body is missing", ErrDamaged, e.ID)
	}
	if err != nil {
		return nil, err
	}
	if f.Size() != e.Size {
		_ = f.Close()
		return nil, fmt.Errorf("%w: entry %s: its body has %d octets, not %d", ErrDamaged, e.ID, f.Size(), e.Size)
	}
	return f, nil
}

// verifier hashes what is read, and turns a false end into an error.
type verifier struct {
	store.BlobReader
	hash    hash.Hash
	want    [sha256.Size]byte
	damaged func(error)
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.BlobReader.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF && !bytes.Equal(v.hash.Sum(nil), v.want[:]) {
		err = fmt.Errorf("%w: the body does not match its hash", ErrDamaged)
		v.damaged(err)
	}
	return n, err
}

// quarantine takes a damaged entry out of the queue and keeps its record and its
// body. A nil index is searched for. It reports by the log; the caller has the
// error already, and what could not be written now is met again.
func (s *Spool) quarantine(ctx context.Context, id mail.ID, record, index []byte, cause error) {
	if index == nil {
		index = s.findIndex(ctx, id)
	}
	tx := store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(id), Value: record}},
		Mutations: []store.Mutation{
			{Key: entryKey(id), Delete: true},
			{Key: quarantineKey(id), Value: append(codec.AppendText(nil, cut(cause.Error(), maxReason)), record...)},
		},
	}
	var sum summary
	if index != nil {
		sum = s.summaryAt(ctx, index)
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: index, Delete: true})
	}
	if _, err := s.st.Apply(ctx, tx, store.Durable); !committed(err) {
		s.log.Error("damaged entry not quarantined", "queue", id.String(), "cause", cause, "err", err)
		return
	}
	s.damaged.Add(1)
	s.log.Error("damaged entry in quarantine", "queue", id.String(), "cause", cause)
	if s.damage != nil {
		s.damage(damage.Found{
			Kind: damage.Entry, File: "message " + id.String(), What: cause.Error(),
			Lost: "this message: it is in quarantine, with what remains of it, and is tried no more",
		})
	}
	if index != nil {
		s.mu.Lock()
		s.counts.addSummary(sum, placeOf(index), -1)
		s.waits.change(id, sum, summary{})
		s.mu.Unlock()
	}
}

// Damaged calls fn for each entry in quarantine, with why it is there and the
// record as it was found.
func (s *Spool) Damaged(ctx context.Context, fn func(id mail.ID, reason string, record []byte) (bool, error)) error {
	return s.st.Scan(ctx, spaceRange(spaceQuarantine), func(k, v []byte) (bool, error) {
		id, ok := keyID(k)
		if !ok {
			return true, nil
		}
		r := codec.NewReader(v)
		reason, record := r.Text(), r.Rest()
		if r.Failed() {
			reason, record = "the reason is damaged as well", v
		}
		return fn(id, reason, append([]byte(nil), record...))
	})
}

// findIndex looks through the indexes for an entry whose record does not tell
// where it stands. It is slow, and rare.
func (s *Spool) findIndex(ctx context.Context, id mail.ID) []byte {
	var found []byte
	for _, space := range []store.Space{spaceDue, spaceHeld, spaceParked} {
		err := s.st.Scan(ctx, spaceRange(space), func(k, _ []byte) (bool, error) {
			if at, ok := keyID(k); ok && at == id {
				found = append([]byte(nil), k...)
			}
			return found == nil, nil
		})
		if err != nil || found != nil {
			return found
		}
	}
	return nil
}

func (s *Spool) summaryAt(ctx context.Context, index []byte) summary {
	v, err := s.st.Get(ctx, index)
	if err != nil {
		return summary{}
	}
	sum, _ := decodeSummary(v)
	return sum
}

func placeOf(index []byte) place {
	switch {
	case spaceHeld.Has(index):
		return placeHeld
	case spaceParked.Has(index):
		return placeParked
	}
	return placeDue
}

// notFound removes an index key without an entry, when an ID from the schedule
// was not found twice: once may be a delivery that overtook the question.
func (s *Spool) notFound(ctx context.Context, id mail.ID, err error) {
	if !errors.Is(err, ErrNotFound) {
		return
	}
	s.mu.Lock()
	again := s.missing[id]
	if again || len(s.missing) >= s.limits.Load().Remembered {
		clear(s.missing)
	}
	if !again {
		s.missing[id] = true
	}
	s.mu.Unlock()
	if !again {
		return
	}
	if index := s.findIndex(ctx, id); index != nil {
		if _, err := s.unindex(ctx, id, index); err != nil {
			s.log.Warn("index key without an entry not removed", "queue", id.String(), "err", err)
		}
	}
}

// unindex removes an index key to which no entry belongs, and reports whether it was
// there to be removed.
func (s *Spool) unindex(ctx context.Context, id mail.ID, index []byte) (bool, error) {
	value, err := s.st.Get(ctx, index)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = s.st.Apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(id), Absent: true}, {Key: index, Value: value}},
		Mutations:     []store.Mutation{{Key: index, Delete: true}},
	}, store.Durable)
	if !committed(err) {
		return false, ignoreConflict(err) // it has an entry now, or moved
	}
	sum, _ := decodeSummary(value)
	s.log.Error("index key without an entry removed", "queue", id.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.addSummary(sum, placeOf(index), -1)
	s.waits.change(id, sum, summary{})
	return true, err
}
