package accounts

import (
	"context"
	"time"
)

// What a network knows to the account is judged ahead of strangers, so that a flood of guesses
// keeps no owner waiting. But what is wrong is answered when a stranger's would have been, and in
// the same words: in its turn among strangers, as long after it as a hash takes, or with them that
// there are too many. Else whoever shares a network with somebody could tell, by the time that their
// guesses take while others guess too, who signs in from there. So a trial that would have to wait
// has two places: one ahead, in which it is judged, and one among strangers, in which it is
// answered unless it was right.

// weighed is what a hash, and the directory where there is one, say of a password.
type weighed struct {
	Said
	hashed bool
	better *secret // at the present cost; nil: the account's has it
	untold error   // what was answered in place of "wrong"; nil: nothing
}

// weigh has a password judged in its turn. An error means that nobody judged it.
func (i *Identity) weigh(ctx context.Context, t trial) (weighed, error) {
	p := i.hasher.enter(laneStranger, nil)
	// An account that may not sign in has no owner who waits, and whoever stole it knows its
	// networks: it waits where names do that nobody has.
	if (t.guess.Known || t.guess.Device != "") && t.refusal == nil && !p.came() {
		return i.express(ctx, t, p)
	}
	if err := i.hasher.await(ctx, p); err != nil {
		return weighed{}, err
	}
	return i.look(ctx, t, p, p)
}

// express judges a password ahead of strangers, and answers one that opens nothing among them, at p.
func (i *Identity) express(ctx context.Context, t trial, p *place) (weighed, error) {
	q, err := i.hasher.overtake(ctx, p)
	switch {
	case err != nil:
		return weighed{}, err
	case q == nil:
		return i.look(ctx, t, p, p)
	}
	w, err := i.look(ctx, t, q, p)
	if err == nil && (w.Right || w.Proved) {
		i.hasher.leave(p, nil)
		return w, nil
	}
	w.untold = i.feign(ctx, t, q, p)
	if err != nil && w.untold != nil {
		err = w.untold
	}
	return w, err
}

// feign takes as long as a stranger's password would from here on, at p, and fails as it would. What
// was wrong was computed at q.
func (i *Identity) feign(ctx context.Context, t trial, q, p *place) error {
	if err := i.hasher.await(ctx, p); err != nil {
		return err
	}
	if !p.slot { // the turn came while q's hash was computed, which began so much earlier
		late := time.NewTimer(p.at.Sub(q.at))
		defer late.Stop()
		select {
		case <-late.C:
			return nil
		case <-ctx.Done():
			return cancelled(ctx)
		}
	}
	t.account, t.secret = nil, i.decoyOf(t.key)
	_, err := i.look(ctx, t, p, p)
	return err
}

// tell answers a password that is known to be wrong, and of which nobody was told, as a stranger's new one
// is.
func (i *Identity) tell(ctx context.Context, t trial) error {
	if err := i.feign(ctx, t, nil, i.hasher.enter(laneStranger, nil)); err != nil {
		return err
	}
	i.screened.Lock()
	defer i.screened.Unlock()
	i.wrong.put(t.memo, t.key, i.o.Now())
	return wrongPassword(t.refusal, "the same wrong password again")
}

// look judges a password in the slot of holder, which it gives back; stranger is the trial's place among
// strangers. An error means that a directory did not tell.
func (i *Identity) look(ctx context.Context, t trial, holder, stranger *place) (w weighed, err error) {
	w.hashed = true
	began := time.Now()
	w.Right = i.matches(t.secret.Argon, t.prepared)
	var took time.Duration
	if !w.Right || t.refusal != nil {
		took = time.Since(began)
	} else if t.secret.cost() != t.account.cost(i.limits()) {
		w.better = i.rederive(t)
	}
	counted := i.hasher.done(holder, stranger, took)
	if !w.Right || !t.account.kept() {
		if w.Said, err = i.ask(ctx, t); err != nil {
			return w, err
		}
	}
	if counted && w.Right && t.refusal == nil {
		i.hasher.spend(-took) // it was right, elsewhere
	}
	return w, nil
}
