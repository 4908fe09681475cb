package watch

import (
	"context"
	"maps"
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// giver is a credential of an account with which evidence against it was given. Whoever has it may
// be who is found, whichever one the last piece of the evidence was given with.
type giver struct {
	sent time.Time // when it was first used for what is held against who sends; zero: it was not
	came time.Time // when somebody last signed in with it from somewhere new; zero: nobody did
	last time.Time // when it gave evidence last, of either kind
}

// Octets of a giver as it is stored: three moments, and the credential's id behind them.
const (
	momentOctets = 8
	giverOctets  = 3 * momentOctets
)

func (g giver) encode(id string) []byte {
	return slices.Concat(encodeMoment(g.sent), encodeMoment(g.came), encodeMoment(g.last), []byte(id))
}

// decodeGiver reads what encode wrote. What does not read was not used.
func decodeGiver(v []byte) (id string, g giver, ok bool) {
	if len(v) <= giverOctets {
		return "", g, false
	}
	return string(v[giverOctets:]), giver{decodeMoment(v[:momentOctets]), decodeMoment(v[momentOctets : 2*momentOctets]), decodeMoment(v[2*momentOctets : giverOctets])}, true
}

// encodeMoment is encodeTime of a moment that there need not be.
func encodeMoment(t time.Time) []byte {
	if t.IsZero() {
		return make([]byte, momentOctets)
	}
	return encodeTime(t)
}

func decodeMoment(v []byte) time.Time {
	if slices.Equal(v, make([]byte, momentOctets)) {
		return time.Time{}
	}
	return decodeTime(v, time.Time{})
}

// gift is what of an event is evidence. The zero gift is nothing.
type gift uint8

const (
	giftNone gift = iota
	giftSent      // whom it writes to, who is refused, in whose name
	giftCame      // whence it comes
)

// giftOf says what of an event speaks against an account, or may.
func giftOf(e hijack.Event) gift {
	switch e := e.(type) {
	case hijack.Submitted:
		if r := e.Recipients; r.NewToAccount+r.NewToSite+r.Invalid > 0 {
			return giftSent
		}
	case hijack.Answered:
		if e.Refused > 0 {
			return giftSent
		}
	case hijack.BindingFailed:
		return giftSent
	case hijack.SignedIn:
		if e.NewNetwork || e.NewPlace {
			return giftCame
		}
	}
	return giftNone
}

// nameOf is what an incident calls a credential: its id, or, of a partner's word, any certificate; "":
// it is none that can be revoked.
func nameOf(c accounts.Credential) string {
	if c.ID == "" && c.Kind == accounts.KindCertificate { // one of several
		return accounts.AnyCertificate
	}
	return c.ID
}

// took takes a verdict into what is known of the account, with what the event was done, and returns what
// is to be written of that. What gave evidence that came to nothing is forgotten. The lock is held.
func (w *Watch) took(a *account, e hijack.Event, s hijack.State, v hijack.Verdict, by Act, now time.Time) (out []store.Mutation) {
	if v.Contain && w.Mode() == hijack.Observe {
		// Nobody can end what did not begin: as after an incident, the evidence begins anew. Otherwise it would contain the
		// account, by anything that it does, on the day on which more than looking is asked for.
		a.state, a.odds, a.since, a.seen = s.Stolen(w.Settings().Params), 0, time.Time{}, nil
		return w.ungive(a)
	}
	a.noted(e, s, v, by.Began, now)
	if unusual(e) {
		a.sees(by, now)
	}
	var over []string
	for id, g := range a.gave {
		if v.Odds < evidenceBegins && now.Sub(g.last) > giftPause {
			over = append(over, id)
			delete(a.gave, id)
		}
	}
	kind := giftOf(e)
	for _, c := range by.Used {
		id := nameOf(c)
		if id == "" || kind == giftNone {
			continue
		}
		g := a.gave[id]
		g.last = now
		if kind == giftCame {
			g.came = now
		} else if g.sent.IsZero() {
			g.sent = now
		}
		if a.gave == nil {
			a.gave = map[string]giver{}
		}
		a.gave[id] = g
		out = append(out, store.Mutation{Key: w.giverKey(a.who, id), Value: g.encode(id)})
	}
	for _, id := range over {
		if _, anew := a.gave[id]; !anew {
			out = append(out, store.Mutation{Key: w.giverKey(a.who, id), Delete: true})
		}
	}
	return out
}

func (w *Watch) giverKey(who hijack.Fingerprint, id string) []byte {
	return keyOf(prefixGave, who, w.o.Key.Text("credential", id))
}

// loadGivers reads with what evidence was given, and since when there is some; the lock is held.
func (a *account) loadGivers(ctx context.Context, st store.Store) error {
	return st.Scan(ctx, store.Prefix(keyOf(prefixGave, a.who)), func(_, v []byte) (bool, error) {
		id, g, ok := decodeGiver(v)
		if !ok {
			return true, nil
		}
		if a.gave == nil {
			a.gave = map[string]giver{}
		}
		a.gave[id] = g
		for _, at := range []time.Time{g.sent, g.came} {
			if !at.IsZero() {
				a.since = earlier(a.since, at)
			}
		}
		if g.last.After(a.last) {
			a.last = g.last
		}
		a.odds = evidenceBegins // it stood as long as the note does
		return true, nil
	})
}

// givers adds to what was used last with what else the evidence was given that decided: of what is held
// against who sends all since it began, and of sign-ins those of late.
func (w *Watch) givers(a *account, v hijack.Verdict, used []string, now time.Time) []string {
	sent, came := false, false
	for _, f := range v.Evidence {
		places := f.Signal == hijack.NetworkPace || f.Signal == hijack.PlacePace
		sent, came = sent || !places, came || places
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(a.gave)) {
		g := a.gave[id]
		if slices.Contains(used, id) || !(sent && !g.sent.IsZero() || came && !g.came.IsZero() && now.Sub(g.came) <= evidencePause) {
			continue
		}
		used = append(used, id)
	}
	return used
}

// ungive is what is to be removed when the evidence is over; the lock is held.
func (w *Watch) ungive(a *account) (out []store.Mutation) {
	for id := range a.gave {
		out = append(out, store.Mutation{Key: w.giverKey(a.who, id), Delete: true})
	}
	a.gave = nil
	return out
}

// Handed is how a message was submitted. The zero Handed is not known any more.
type Handed struct {
	Used    []accounts.Credential
	Session fact.Session
	At      time.Time
}

// submittedWith is how a message was submitted, and with which credentials as far as the account has
// them: whoever has them is whom it tells of.
func (w *Watch) submittedWith(ctx context.Context, of mail.Address, id mail.ID) (h Handed) {
	if w.o.Submitted == nil || id.IsZero() {
		return h
	}
	h, err := w.o.Submitted(ctx, of, id)
	if err != nil {
		w.o.Logger.Warn("it is not known with what a message was submitted", "queue", id.String(), "err", err)
	}
	return h
}

// Thawing plans what it means here that a person frees an account whom a person had stopped, and vouches for nothing.
// As long as all is good still with which there was evidence given, it speaks against the account as before, since whoever
// gave it may be there as before; else it is cleared, as by Clearing. What came since the account was stopped it does not
// know in either case.
func (w *Watch) Thawing(of mail.Address, since time.Time) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		good, err := w.good(of)
		if err != nil {
			return store.Share{}, err
		}
		a, err := w.enter(ctx, of)
		if err != nil {
			return store.Share{}, err
		}
		stands := a.gaveAllWith(good)
		if stands {
			a.heard, a.spoke, a.again = nil, lately{}, nil // who wrote is counted anew, and whom it writes to judged
		}
		who := a.who
		a.mu.Unlock()
		w.unpin(a)
		if !stands {
			return w.Clearing(of, since, false)(ctx)
		}
		return store.Share{Mutations: w.bookAt(ctx, w.o.Now()).forget(who, since)}, nil
	}
}

// good are the names of what opens an account now.
func (w *Watch) good(of mail.Address) (map[string]bool, error) {
	if w.o.Credentials == nil {
		return nil, nil
	}
	has, err := w.o.Credentials(of)
	if err != nil {
		return nil, err
	}
	good := map[string]bool{accounts.TokenID: true} // it is kept nowhere, and nobody revokes one by itself
	for _, c := range has {
		good[nameOf(c)] = true
		good[accounts.AnyCertificate] = good[accounts.AnyCertificate] || c.Kind == accounts.KindCertificate
	}
	return good, nil
}

// gaveAllWith reports whether evidence against the account was given, and all of it with what is among these; the lock
// is held.
func (a *account) gaveAllWith(good map[string]bool) bool {
	for id := range a.gave {
		if !good[id] {
			return false
		}
	}
	return len(a.gave) > 0
}
