package flood

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/kit/codec"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Queue is what a Digest needs of the spool.
type Queue interface {
	List(ctx context.Context, f spool.Filter, fn func(spool.Entry) (more bool, err error)) error
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
}

// Options are what a Digest works with; all of it.
type Options struct {
	Gauge  *Gauge
	Queue  Queue
	Store  store.Store
	Send   func(ctx context.Context, l notify.Letter) error
	Limits Limits
	Now    func() time.Time
	Logger *slog.Logger
}

// Digest tells mailboxes of the bounces that were kept from them.
type Digest struct {
	o    Options
	look chan struct{} // holds one; taken by whoever looks, so that nothing is told twice
}

// NewDigest returns a Digest.
func NewDigest(o Options) *Digest { return &Digest{o: o, look: make(chan struct{}, 1)} }

// Run tells until ctx is done. What was held before it began is told of as well.
func (d *Digest) Run(ctx context.Context) {
	for waits := true; ; {
		if waits {
			var err error
			if waits, err = d.Look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
				d.o.Logger.Error("a digest of bounces was not written; it is tried again", "err", err)
			}
		}
		look := time.After(d.o.Limits.Look)
		select {
		case <-ctx.Done():
			return
		case <-look:
		}
		select {
		case <-d.o.Gauge.wake:
			waits = true
		default:
		}
	}
}

// told is how far a mailbox was told.
type told struct {
	Version int     `json:"v"`
	Last    mail.ID `json:"last"` // of the bounces that were counted
	// Until is when the last of them was accepted. Names tell when a message was begun: one that took
	// long to come is accepted after others that were begun later.
	Until time.Time `json:"until,omitzero"`
	At    time.Time `json:"at"`
}

const toldVersion = 1

// counts reports whether a digest counted a bounce.
func (t told) counts(e spool.Entry) bool {
	if order := e.Received.Compare(t.Until); order != 0 && !t.Until.IsZero() {
		return order < 0
	}
	return e.ID.String() <= t.Last.String()
}

// settled is how long ago a bounce was accepted that is counted: one that was accepted before it
// is in the queue by then.
const settled = time.Minute

func toldKey(box mail.Address) []byte { return store.SpaceFloods.Key([]byte(box.Key())) }

func (d *Digest) told(ctx context.Context, box mail.Address) (t told, err error) {
	v, err := d.o.Store.Get(ctx, toldKey(box))
	if errors.Is(err, store.ErrNotFound) {
		return t, nil
	}
	if err == nil {
		err = errors.Join(codec.Decode(v, &t), codec.Version(t.Version, toldVersion))
	}
	return t, err
}

// kept is what is held for one mailbox.
type kept struct {
	box   mail.Address
	told  told
	all   int           // that are held
	fresh []spool.Entry // of them those that no digest counted, the oldest first
	later bool          // there are some that are not settled yet
}

// Look writes the digests that are due; waits: some will be later.
func (d *Digest) Look(ctx context.Context) (waits bool, err error) {
	d.look <- struct{}{}
	defer func() { <-d.look }()
	boxes, err := d.kept(ctx)
	if err != nil {
		return true, err
	}
	for _, key := range slices.Sorted(maps.Keys(boxes)) {
		b := boxes[key]
		waits = waits || b.later
		if len(b.fresh) == 0 {
			continue
		}
		if !d.due(*b) {
			waits = true
			continue
		}
		if err := d.tell(ctx, *b); err != nil {
			return true, err
		}
	}
	return waits, nil
}

// due: a flood is told of when it has ended, or every so often while it lasts.
func (d *Digest) due(b kept) bool {
	now, oldest, newest := d.o.Now(), b.fresh[0].Received, b.fresh[len(b.fresh)-1].Received
	if passed := now.Sub(b.told.At); !b.told.At.IsZero() && passed >= 0 && passed < d.o.Limits.Every {
		return false
	}
	return now.Sub(newest) >= d.o.Limits.Quiet || now.Sub(oldest) >= d.o.Limits.Every
}

// kept reads what is held, by mailbox.
func (d *Digest) kept(ctx context.Context) (map[string]*kept, error) {
	held, boxes := true, map[string]*kept{}
	err := d.o.Queue.List(ctx, spool.Filter{Null: true, Held: &held}, func(e spool.Entry) (bool, error) {
		if !strings.HasPrefix(e.Held, Rule+": ") {
			return true, nil
		}
		for _, to := range e.Envelope.To {
			b := boxes[to.Address.Key()]
			if b == nil {
				b = &kept{box: to.Address}
				var err error
				if b.told, err = d.told(ctx, to.Address); err != nil {
					return false, err
				}
				boxes[to.Address.Key()] = b
			}
			b.all++
			switch {
			case b.told.counts(e):
			case d.o.Now().Sub(e.Received) < settled:
				b.later = true
			default:
				b.fresh = append(b.fresh, e)
			}
		}
		return true, nil
	})
	for _, b := range boxes {
		slices.SortFunc(b.fresh, func(a, b spool.Entry) int {
			return cmp.Or(a.Received.Compare(b.Received), strings.Compare(a.ID.String(), b.ID.String()))
		})
	}
	return boxes, err
}

func (d *Digest) tell(ctx context.Context, b kept) error {
	c := Counts{Box: b.box, All: b.all, Fresh: len(b.fresh), First: b.fresh[0].Received, Last: b.fresh[len(b.fresh)-1].Received}
	for _, e := range b.fresh[:min(len(b.fresh), d.o.Limits.Counted)] {
		found, remote, err := d.read(ctx, e)
		if err != nil {
			return err
		}
		c.Add(remote, found)
	}
	last := b.fresh[len(b.fresh)-1]
	note, err := json.Marshal(told{Version: toldVersion, Last: last.ID, Until: last.Received.UTC(), At: d.o.Now().UTC()})
	if err != nil {
		return err
	}
	err = d.o.Send(ctx, notify.Letter{
		Rule: Rule, To: b.box, Subject: c.Subject(), Text: c.Text(d.o.Limits.Rows),
		Marks: []store.Mutation{{Key: toldKey(b.box), Value: note}},
	})
	if errors.Is(err, notify.ErrNobody) {
		// Whom it was for is gone; `queue ls` has it still.
		d.o.Logger.Warn("bounces are held for a mailbox that is nobody's any more", "mailbox", b.box.String(), "held", b.all)
		_, err = d.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: toldKey(b.box), Value: note}}}, store.Durable)
	}
	return err
}

// read tells what a held bounce is about, and who brought it. One that is gone or does not read any more
// is one about which nothing is known.
func (d *Digest) read(ctx context.Context, e spool.Entry) (bounce.Found, string, error) {
	r, err := d.o.Queue.OpenBody(ctx, e.ID)
	if err != nil {
		return bounce.Found{}, "", ctx.Err()
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(e.Prefix), r), d.o.Limits.Octets))
	if err != nil {
		return bounce.Found{}, "", ctx.Err()
	}
	limits := bounce.DefaultLimits()
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	h, err := limits.Header.Parse(append(head, "\r\n\r\n"...))
	if err != nil {
		return bounce.Found{}, "", nil
	}
	found, err := limits.Read(h, bytes.NewReader(body))
	return found, remoteOf(h.Value("Received")), err
}
