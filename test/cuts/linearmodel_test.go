package cuts

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// verb is what a client asks of the queue.
type verb string

const (
	verbPut     verb = "put"
	verbClaim   verb = "claim"
	verbSettle  verb = "settle"
	verbHold    verb = "hold"
	verbRelease verb = "release"
	verbContain verb = "contain" // the account of the message
	verbFree    verb = "free"
	verbLook    verb = "look"
	verbCrash   verb = "crash" // of everything
)

// question is what a client asks, answer what it is told.
type question struct {
	verb    verb
	message int
	account int
	fence   uint64 // of the claim that is settled
	done    bool   // settled as delivered, and not as put off
	alone   bool   // no claim, put or settlement of the same message overlaps it
}

type answer struct {
	said  said
	fence uint64 // of the claim that was given
}

type said string

const (
	saidOK      said = "ok"
	saidNothing said = "nothing" // there was nothing to change
	saidHeld    said = "held"
	saidClaimed said = "claimed"
	saidStale   said = "stale"
	saidGone    said = "not there"
	saidTaken   said = "taken"   // there is one of this id
	saidUnknown said = "unknown" // the power went before the answer
)

// state is one message and its account, as one after the other would see them.
type state struct {
	there, held, contained bool
	claim                  uint64 // its fence; 0: nobody has it
	// ended are the fences of the last claims that were settled: who asks again is told the same again.
	ended [8]uint64
	// before are states to which a crash may lead back, since what came after them may not be synced.
	before  [6]shot
	earlier int
	// loose: a containment or its end was cut off, so that either may be after the crash.
	loose bool
}

// shot is what of a state a crash can leave.
type shot struct{ there, held, contained bool }

// unsynced notes that a crash may lead back to s.
func (s state) unsynced(to state) state {
	if to.earlier < len(to.before) {
		to.before[to.earlier] = shot{s.there, s.held, s.contained}
		to.earlier++
	}
	return to
}

// synced notes that a crash leads back to nothing earlier.
func (s state) synced() state {
	s.before, s.earlier = [6]shot{}, 0
	return s
}

// anyFence stands for that of a claim which the power took before anybody was told.
const anyFence = ^uint64(0)

// next returns all states to which a question that was so answered can lead; none: it can't be so answered.
func (s state) next(q question, a answer) []state {
	if a.said == saidUnknown {
		// It happened or it did not; of a claim, nothing is left after the crash.
		all := []state{s}
		for _, to := range s.next(q, answer{said: saidOK, fence: anyFence}) {
			to.before, to.earlier = s.before, s.earlier
			to.loose = s.loose || q.verb == verbContain || q.verb == verbFree
			all = append(all, s.unsynced(to))
		}
		return all
	}
	yes := func(ok bool, to state) []state {
		if ok {
			return []state{to}
		}
		return nil
	}
	to := s
	switch q.verb {
	case verbPut:
		to = to.synced()
		to.there, to.held, to.claim = true, false, a.fence
		taken := s.there || s.claim != 0 || !q.alone
		// What was on its way when its account was contained is accepted, and nobody gets a claim.
		enters := !s.there && (!s.contained || a.fence == 0 || a.fence == anyFence)
		return yes(a.said == saidOK && enters || a.said == saidHeld && s.contained || a.said == saidTaken && taken, pick(a.said == saidOK, to, s))
	case verbClaim:
		return s.claimed(q, a)
	case verbSettle:
		return s.settled(q, a)
	case verbHold:
		to = to.synced()
		to.held = true
		return yes(a.said == saidOK && s.there && !s.held || a.said == saidNothing && (!s.there || s.held), pick(a.said == saidOK, to, s))
	case verbRelease:
		to = to.synced()
		to.held = false
		return yes(a.said == saidOK && s.there && s.held || a.said == saidNothing && (!s.there || !s.held), pick(a.said == saidOK, to, s))
	case verbContain:
		to = to.synced()
		to.contained, to.loose = true, false
		return yes(a.said == saidOK, to)
	case verbFree:
		to = to.synced()
		to.contained, to.loose = false, false
		return yes(a.said == saidOK, to)
	case verbLook:
		return yes(a.said == saidOK && s.there && !s.held || a.said == saidHeld && s.there && s.held || a.said == saidGone && !s.there, s)
	}
	return s.crashed()
}

// crashed are the states to which a crash can lead.
func (s state) crashed() []state {
	to := s.synced()
	to.claim, to.ended, to.loose = 0, [8]uint64{}, false
	all := []state{to}
	for _, was := range s.before[:s.earlier] {
		to.there, to.held, to.contained = was.there, was.held, was.contained
		all = append(all, to)
	}
	if s.loose {
		for _, to := range all {
			to.contained = !to.contained
			all = append(all, to)
		}
	}
	return all
}

// claimed is next for a claim. Who asks while another's claim is being refused, or is just ending,
// may be told that there is one.
func (s state) claimed(q question, a answer) []state {
	to := s
	to.claim = a.fence
	free := s.there && !s.held && !s.contained && s.claim == 0
	switch {
	case a.said == saidOK && free:
		return []state{to}
	case a.said == saidHeld && s.there && (s.held || s.contained),
		a.said == saidGone && !s.there,
		a.said == saidClaimed && (s.claim != 0 || !q.alone):
		return []state{s}
	}
	return nil
}

// settled is next for a settlement.
func (s state) settled(q question, a answer) []state {
	again := q.fence != 0 && slices.Contains(s.ended[:], q.fence)
	live := s.there && s.claim == q.fence && q.fence != 0
	to := s
	switch {
	case a.said == saidStale && !live && !again, a.said == saidOK && again:
		return []state{s}
	case a.said == saidOK && live:
		to.claim = 0
		copy(to.ended[1:], s.ended[:])
		to.ended[0] = q.fence
		if q.done {
			to.there = false
			to = s.unsynced(to)
		}
		return []state{to}
	}
	return nil
}

func pick(first bool, a, b state) state {
	if first {
		return a
	}
	return b
}

// model is a queue in which one thing happens after the other. A history of several messages is
// judged by each message, with what happened to its account and to all.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{}} },
		Step: func(s, q, a any) []any {
			var all []any
			for _, to := range s.(state).next(q.(question), a.(answer)) {
				all = append(all, to)
			}
			return all
		},
		Partition: byMessage,
	}
	return m.ToModel()
}

func byMessage(all []porcupine.Operation) [][]porcupine.Operation {
	accounts := map[int]int{}
	for _, o := range all {
		if q := o.Input.(question); q.verb == verbPut {
			accounts[q.message] = q.account
		}
	}
	var parts [][]porcupine.Operation
	for message, account := range accounts {
		var part []porcupine.Operation
		for _, o := range all {
			q := o.Input.(question)
			whole := q.verb == verbContain || q.verb == verbFree
			if q.verb == verbCrash || whole && q.account == account || !whole && q.message == message {
				part = append(part, o)
			}
		}
		parts = append(parts, part)
	}
	return parts
}
