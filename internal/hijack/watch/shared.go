package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// sharedVersion is the version of what is kept of what accounts have in common.
const sharedVersion = 1

// shared is what is known of what accounts have in common.
type shared struct {
	mu   sync.Mutex
	all  map[incident.Shared]*trait
	uses uint64
}

// trait is one thing that accounts have in common.
type trait struct {
	of     incident.Shared
	state  hijack.Attribute
	at     time.Time // when a message last bore it
	used   uint64    // the same in shared.uses
	odd    []bearer  // the accounts that the evidence is about, the latest first
	stored bool      // it is in the store
	wrote  float64   // the evidence that is
	paused bool
}

// bearer is an account whose message is evidence.
type bearer struct {
	Account mail.Address `json:"a"`
	At      time.Time    `json:"at"`
	Peer    netip.Addr   `json:"peer,omitzero"`
	Door    string       `json:"door,omitempty"`
	Hello   string       `json:"hello,omitempty"`
	To      string       `json:"to,omitempty"` // one of those whom it wrote to
}

type storedTrait struct {
	Version int             `json:"v"`
	Of      incident.Shared `json:"of"`
	At      time.Time       `json:"at"`
	Odd     []bearer        `json:"odd,omitempty"`
	State   []byte          `json:"state"`
}

func traitKey(key hijack.Key, of incident.Shared) []byte {
	return keyOf(prefixShared, key.Text(string(of.Kind), of.Text))
}

func pausedKey(key hijack.Key, of incident.Shared) []byte {
	return keyOf(prefixPaused, key.Text(string(of.Kind), of.Text))
}

// openShared reads what accounts have in common, and what of it is paused.
func (w *Watch) openShared(ctx context.Context) error {
	w.shared.all = map[incident.Shared]*trait{}
	err := w.o.Store.Scan(ctx, store.Prefix([]byte(prefixShared)), func(_, v []byte) (bool, error) {
		var s storedTrait
		err := errors.Join(codec.Decode(v, &s), codec.Version(s.Version, sharedVersion))
		t := &trait{of: s.Of, at: s.At, odd: s.Odd, stored: true, wrote: math.Inf(1)}
		if err == nil {
			t.state, err = hijack.RestoreAttribute(s.State)
		}
		if err != nil {
			w.o.Logger.Error("what accounts have in common does not read; it is learnt anew", "err", err)
			return true, nil
		}
		w.shared.all[t.of] = t
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("watch: reading what accounts have in common: %w", err)
	}
	return w.o.Store.Scan(ctx, store.Prefix([]byte(prefixPaused)), func(_, v []byte) (bool, error) {
		var of incident.Shared
		if err := codec.Decode(v, &of); err != nil {
			return false, fmt.Errorf("watch: what is paused does not read: %w", err)
		}
		w.shared.trait(of).paused = true
		return true, nil
	})
}

// trait returns what is known of one; the lock is held.
func (s *shared) trait(of incident.Shared) *trait {
	t := s.all[of]
	if t == nil {
		t = &trait{of: of}
		s.all[of] = t
	}
	s.uses++
	t.used = s.uses
	return t
}

// evict forgets what was borne longest ago, until there is room for as many again, and
// returns what is to be removed from the store. What is paused stays. The lock is held.
func (s *shared) evict(most int, key hijack.Key) (out []store.Mutation) {
	if len(s.all) <= most {
		return nil
	}
	oldest := s.uses - uint64(most/2)
	for of, t := range s.all {
		if t.paused || t.used > oldest {
			continue
		}
		if t.stored {
			out = append(out, store.Mutation{Key: traitKey(key, of), Delete: true})
		}
		delete(s.all, of)
	}
	return out
}

// borne is what a message bears that others may bear too, and whether its account is at
// home in it.
type borne struct {
	of   incident.Shared
	home bool
}

// bears says what a message bears. An account that was nowhere a day ago or longer, and what
// comes from this host itself, bears nothing: nobody could say that it is not at home.
func (w *Watch) bears(ctx context.Context, a *account, m Submission, now time.Time) (out []borne) {
	network, err := netip.ParsePrefix(m.Network)
	if err != nil || network.Addr().IsLoopback() || network.Addr().IsLinkLocalUnicast() {
		return nil
	}
	settled := func(key []byte) bool {
		v, err := w.o.Store.Get(ctx, key)
		return err == nil && now.Sub(decodeTime(v, now)) >= hijack.Settled
	}
	home := settled(keyOf(prefixFrom, a.who, w.o.Key.Text("network", m.Network)))
	if !home && !w.somewhere(ctx, a.who, now) {
		return nil
	}
	out = append(out, borne{incident.Shared{Kind: incident.KindNetwork, Text: m.Network}, home})
	if m.Offer != "" {
		// Whoever travels with the usual computer is at home in it.
		own := home || settled(keyOf(prefixOffer, a.who, w.o.Key.Text("tls", m.Offer)))
		out = append(out, borne{incident.Shared{Kind: incident.KindTLS, Text: m.Offer}, own})
	}
	if m.Gist != "" {
		// What is written is new each time; it is odd only where it does not come from home.
		out = append(out, borne{incident.Shared{Kind: incident.KindText, Text: m.Gist}, home})
	}
	return out
}

// somewhere reports whether an account signed in from anywhere a day ago or longer.
func (w *Watch) somewhere(ctx context.Context, who hijack.Fingerprint, now time.Time) (found bool) {
	_ = w.o.Store.Scan(ctx, store.Prefix(keyOf(prefixFrom, who)), func(_, v []byte) (bool, error) {
		found = now.Sub(decodeTime(v, now)) >= hijack.Settled
		return !found, nil
	})
	return found
}

// away are those of what a message bears in which its account is not at home.
func away(all []borne) (out []incident.Shared) {
	for _, b := range all {
		if !b.home {
			out = append(out, b.of)
		}
	}
	return out
}

// paused returns the first of several that is paused; the zero Shared: none is.
func (w *Watch) paused(all []incident.Shared) incident.Shared {
	if w.Mode() != hijack.Enforce || len(all) == 0 {
		return incident.Shared{}
	}
	s := &w.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range all {
		if t := s.all[of]; t != nil && t.paused {
			return of
		}
	}
	return incident.Shared{}
}

// share takes a message into account for what it bears. It returns what is to be written of
// that, and what must be paused before the message is answered.
func (w *Watch) share(m Submission, who hijack.Fingerprint, all []borne, r hijack.Recipients,
	now time.Time) (also []store.Mutation, stop []incident.Incident) {
	if len(all) == 0 {
		return nil, nil
	}
	priors, s := w.priors(now), &w.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range all {
		t := s.trait(b.of)
		var p hijack.Pause
		t.state, p = hijack.Share(t.state, hijack.Use{At: w.o.Passed(), Account: who, AtHome: b.home, Recipients: r}, priors, hijack.DefaultSharedParams())
		t.at = now
		if p.Odd {
			t.note(m, now, w.o.Key)
		}
		if p.Odd || t.stored && t.wrote > 1 {
			// Of what nobody did anything odd with, nothing need outlive a restart. Two acts may
			// reach the disk in another order: a crash then takes one message from the evidence.
			t.stored, t.wrote = true, p.Odds
			also = append(also, t.mutation(w.o.Key))
		}
		if p.Now && !t.paused {
			t.paused = w.Mode() == hijack.Enforce
			stop = append(stop, t.incident(p))
		}
	}
	return append(also, s.evict(w.o.Limits.Shared, w.o.Key)...), stop
}

// note keeps who did what is odd, as long as it is evidence.
func (t *trait) note(m Submission, now time.Time, key hijack.Key) {
	b := bearer{
		Account: m.Account, At: now, Peer: m.Session.Peer, Door: m.Session.Door,
		Hello: fact.Clean(m.Session.Hello, mail.PieceShown), To: m.Ways[0].Recipient.String(),
	}
	t.odd = slices.DeleteFunc(append([]bearer{b}, t.odd...), func(b bearer) bool {
		return !t.state.Concerns(key.Account(b.Account.Key()))
	})
}

func (t *trait) mutation(key hijack.Key) store.Mutation {
	value, err := json.Marshal(storedTrait{sharedVersion, t.of, t.at, t.odd, t.state.Append(nil)})
	if err != nil { // there is nothing in it that could not be written
		return store.Mutation{Key: traitKey(key, t.of), Delete: true}
	}
	return store.Mutation{Key: traitKey(key, t.of), Value: value}
}

// incident is what a person is told when it is paused.
func (t *trait) incident(p hijack.Pause) incident.Incident {
	i := incident.Incident{
		Shared: t.of, Rule: RuleShared, By: detector, Odds: p.Odds,
		Reason: fmt.Sprintf("%d accounts or more, none of which had used %s for a day, wrote to strangers with it one after the other: odds %s",
			p.Accounts, t.of, hijack.OddsWords(p.Odds)),
	}
	for _, b := range t.odd {
		i.Accounts = append(i.Accounts, b.Account)
		i.Evidence = append(i.Evidence, fmt.Sprintf("%s %s wrote to %s", b.At.UTC().Format(time.RFC3339), b.Account, b.To))
		i.Seen = append(i.Seen, incident.Origin{Peer: b.Peer, Door: b.Door, Program: b.Hello, At: b.At})
		i.Since = earlier(i.Since, b.At)
	}
	return i
}

// pause stops what accounts have in common, each in one act with its incident; where the
// watch only observes, it says so.
func (w *Watch) pause(ctx context.Context, all []incident.Incident, by Act) error {
	for _, i := range all {
		if w.Mode() != hijack.Enforce {
			w.observedShared(ctx, i, by)
			continue
		}
		value, err := json.Marshal(i.Shared)
		if err == nil {
			hold := func(context.Context) (store.Share, error) {
				return store.Share{Mutations: []store.Mutation{{Key: pausedKey(w.o.Key, i.Shared), Value: value}}}, nil
			}
			i, err = w.o.Pause(ctx, i, []fact.Pair{{Name: "by", Value: detector}, {Name: "odds", Value: hijack.OddsWords(i.Odds)}}, hold)
		}
		if err != nil {
			w.o.Logger.Error("what must be paused could not be; the message is not taken", "err", err)
			w.setPaused(i.Shared, false)
			return err
		}
		w.o.Logger.Error("what many accounts have in common was paused: somebody else seems to use them",
			"paused", i.Shared.String(), "incident", i.Number, "evidence", i.Reason)
	}
	return nil
}

func (w *Watch) setPaused(of incident.Shared, paused bool) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	w.shared.trait(of).paused = paused
}

// observedShared says what would have been paused, and begins to gather evidence anew.
func (w *Watch) observedShared(ctx context.Context, i incident.Incident, by Act) {
	w.shared.mu.Lock()
	t := w.shared.trait(i.Shared)
	t.state, t.odd = t.state.Cleared(), nil
	w.shared.mu.Unlock()
	w.o.Logger.Warn("it would be paused, if hijack.mode were enforce", "paused", i.Shared.String(), "evidence", i.Reason)
	err := w.o.Write(ctx, fact.Alarm{
		At: w.o.Now(), Rule: RuleObserved, Session: by.Session, Text: i.Shared.String() + " would be paused, if hijack.mode were enforce",
		Evidence: []fact.Pair{{Name: "evidence", Value: i.Reason}},
	}.Fact())
	if err != nil {
		w.o.Logger.Error("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}

// Resuming plans what the end of a pause means here: a person said that nothing is wrong
// with it any more, and evidence is gathered anew.
func (w *Watch) Resuming(of incident.Shared) store.Planner {
	return func(context.Context) (store.Share, error) {
		return store.Share{
			Mutations: []store.Mutation{{Key: pausedKey(w.o.Key, of), Delete: true}, {Key: traitKey(w.o.Key, of), Delete: true}},
			Done: func(err error) error {
				if err != nil && !errors.Is(err, store.ErrInDoubt) {
					return nil
				}
				w.shared.mu.Lock()
				defer w.shared.mu.Unlock()
				t := w.shared.trait(of)
				t.state, t.odd, t.paused, t.stored = t.state.Cleared(), nil, false, false
				return nil
			},
		}, nil
	}
}

// fadeShared forgets what nobody has borne for long.
func (w *Watch) fadeShared() (gone []store.Mutation) {
	s := &w.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, t := range s.all {
		if t.paused || w.o.Age(t.at) <= w.o.Limits.SharedFor {
			continue
		}
		if t.stored {
			gone = append(gone, store.Mutation{Key: traitKey(w.o.Key, of), Delete: true})
		}
		delete(s.all, of)
	}
	return gone
}
