package clock

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/store"
)

// span is a time in which nobody set the clock.
type span struct {
	from  time.Time     // when it began, by the time that passes; zero: nobody knows of an earlier one
	ahead time.Duration // what the clock showed less the time that passes
}

// mostSpans is of how many times between two settings of the clock is known; the first ones run
// together beyond it.
const mostSpans = 64

// slack is by how much a moment may lie outside a time between two settings: that the clock was set
// is noticed when somebody asks for the time, once in keepEvery at least.
const slack = 2 * keepEvery

// Age is how much time has passed since the clock showed t, whatever it was set to since then.
// Where it showed that more than once, it is the latest of them; and of what the clock cannot have
// shown, as far as is known, it is none: so that nothing is taken for older than it is.
func (c *Clock) Age(t time.Time) time.Duration {
	r, told := c.now()
	if r.Boot == "" {
		return max(r.Wall.Sub(t), 0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return age(c.spans, t, told)
}

func age(spans []span, t, now time.Time) time.Duration {
	end := now
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		if passed := t.Add(-s.ahead); !passed.Before(s.from.Add(-slack)) && !passed.After(end.Add(slack)) {
			return max(now.Sub(passed), 0)
		}
		end = s.from
	}
	return 0
}

// follow notes by how much the clock is ahead of the time that passes, if that is news. The caller
// has the lock.
func (c *Clock) follow(ahead time.Duration) {
	n := len(c.spans)
	switch {
	case n == 0:
		c.spans = []span{{ahead: ahead}}
	case (ahead - c.spans[n-1].ahead).Abs() < sets:
		return
	default:
		c.spans = append(c.spans, span{c.last, ahead})
	}
	if n >= mostSpans {
		c.spans = c.spans[1:]
		c.spans[0].from = time.Time{}
	}
	c.news = true
}

func spansKey() []byte { return store.SpaceClock.Key([]byte("set")) }

// spansVersion is the first octet of stored spans; no others are read.
const spansVersion = 1

var errSpans = errors.New("clock: not what the clock was set to")

func encodeSpans(all []span) []byte {
	b := binary.AppendUvarint([]byte{spansVersion}, uint64(len(all)))
	for _, s := range all {
		// Of the first nobody asks when it began.
		b = codec.AppendTime(binary.AppendVarint(b, int64(s.ahead)), s.from)
	}
	return b
}

func decodeSpans(v []byte) ([]span, error) {
	r := codec.NewReader(v)
	r.Require(r.Octet() == spansVersion)
	all := make([]span, r.Number(mostSpans))
	for i := range all {
		n := r.Number(math.MaxUint64)
		all[i].ahead = time.Duration(int64(n>>1) ^ -int64(n&1)) // as binary.AppendVarint puts a sign
		all[i].from = r.Time()
		r.Require(all[i].from.IsZero() == (i == 0) && (i == 0 || !all[i].from.Before(all[i-1].from)))
	}
	if !r.Done() || len(all) == 0 {
		return nil, errSpans
	}
	return all, nil
}
