// Package sched decides when a message is tried again and when it has been tried long enough.
//
// It promises pure arithmetic: the time is an argument, and the one that passes rather than the one
// that a clock shows, which somebody may set; the jitter is derived from the queue id and the
// number of the attempt, so that the same question always has the same answer, and messages that
// failed together do not come back together.
package sched

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"time"

	"sallyport/internal/mail"
)

// Policy is the back-off between attempts. A Policy that Validate refuses must
// not be used; Next then still never answers with less than MinDelay, and Expired
// never gives up, so that a fault here can lose nothing and hammer nobody.
type Policy struct {
	// First is the wait after the first attempt.
	First time.Duration
	// Max is the longest wait between two attempts.
	Max time.Duration
	// Factor multiplies the wait after each further attempt; 1 keeps it.
	Factor float64
	// Jitter is the share of a wait, from 0 to 1 (exclusive), that chance may take
	// off it.
	Jitter float64
	// Expire is how long after its acceptance a message is given up.
	Expire time.Duration
	// Warn is how long after its acceptance the sender of a message that still waits
	// is told so, once; 0: never.
	Warn time.Duration
}

// MinDelay is the shortest wait that Next ever answers with.
const MinDelay = time.Second

// ErrPolicy says that a policy's figures make no sense.
var ErrPolicy = errors.New("sched: bad policy")

// Default returns 5 minutes, doubling up to 2 hours, a fifth of jitter, a warning
// after 4 hours, and 5 days:
// the first tries come soon (greylisting ends within minutes), and the give-up
// time is that of RFC 5321 §4.5.4.1.
func Default() Policy {
	return Policy{First: 5 * time.Minute, Max: 2 * time.Hour, Factor: 2, Jitter: 0.2, Expire: 5 * 24 * time.Hour, Warn: 4 * time.Hour}
}

// mostFactor is how many times as long as the pause before it one may be.
const mostFactor = 100

// Validate refuses a policy that would hammer, never end, or overflow.
func (p Policy) Validate() error {
	switch {
	case p.First < MinDelay || p.Max < p.First:
		return errors.Join(ErrPolicy, errors.New("first must be at least a second, and max no less than first"))
	case !(p.Factor >= 1 && p.Factor <= mostFactor):
		return errors.Join(ErrPolicy, errors.New("factor must lie between 1 and 100"))
	case !(p.Jitter >= 0 && p.Jitter < 1):
		return errors.Join(ErrPolicy, errors.New("jitter must lie between 0 and 1"))
	case p.Expire < p.First:
		return errors.Join(ErrPolicy, errors.New("expire must be no less than first"))
	case p.Warn < 0:
		return errors.Join(ErrPolicy, errors.New("warn must not be negative"))
	}
	return nil
}

// Next returns when to try again after attempt number attempt (1 is the first)
// began at now. The wait lies between (1-Jitter) times the full wait and the full
// wait, and never beyond Max.
func (p Policy) Next(id mail.ID, attempt int, now time.Time) time.Time {
	full := p.wait(attempt)
	cut := time.Duration(float64(full) * p.Jitter * chance(id, attempt))
	return now.Add(max(full-cut, MinDelay))
}

// Expired reports whether a message accepted at received is to be given up. A
// policy without Expire gives nothing up.
func (p Policy) Expired(received, now time.Time) bool {
	return p.Expire > 0 && now.Sub(received) >= p.Expire
}

// Late reports whether the sender of a message accepted at received is to be told
// that it still waits. What is given up is not late.
func (p Policy) Late(received, now time.Time) bool {
	return p.Warn > 0 && now.Sub(received) >= p.Warn && !p.Expired(received, now)
}

// wait is the full wait after an attempt: First * Factor^(attempt-1), at most Max.
func (p Policy) wait(attempt int) time.Duration {
	w := float64(p.First) * math.Pow(p.Factor, float64(max(attempt, 1)-1))
	// The comparison is written so that infinity and NaN end at Max as well.
	if !(w < float64(p.Max)) {
		return p.Max
	}
	return time.Duration(w)
}

// chance returns a number in [0,1) that depends on nothing but id and attempt.
func chance(id mail.ID, attempt int) float64 {
	h := fnv.New64a()
	h.Write(id.Bytes())
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(attempt)))
	// FNV's high bits mix badly for short inputs; a multiplication by an odd
	// constant spreads the low ones upwards.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15
	return float64(x>>11) / (1 << 53)
}
