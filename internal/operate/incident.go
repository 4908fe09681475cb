package operate

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/trace/query"
)

// IncidentRef names an incident.
type IncidentRef struct {
	Number uint64 `json:"number"`
}

// IncidentSelect chooses incidents.
type IncidentSelect struct {
	Account string `json:"account,omitempty"`
	Open    bool   `json:"open,omitempty"` // those alone
	Limit   int    `json:"limit,omitempty"`
}

// IncidentShown is an incident with what the trace and the queue tell of it now.
type IncidentShown struct {
	incident.Incident
	Standing        string          `json:"standing,omitempty"` // of the account; "": it is gone
	PasswordChanged time.Time       `json:"password_changed,omitzero"`
	Story           incident.Story  `json:"story"`
	Held            []Message       `json:"held,omitempty"` // the oldest first
	MoreHeld        int             `json:"more_held,omitempty"`
	Kept            []incident.Kept `json:"kept,omitempty"` // what was purged
	// Forward is that of the account as it is now; nil: it has none. Nothing leaves by it while
	// the account is contained.
	Forward *Forward `json:"forward,omitempty"`
	// Others are accounts that were signed in to from the same addresses since.
	Others []string `json:"others,omitempty"`
}

// IncidentRelease ends an incident.
type IncidentRelease struct {
	Number     uint64   `json:"number"`
	Messages   []string `json:"messages,omitempty"` // that may leave; the others stay held
	All        bool     `json:"all,omitempty"`      // all of them may
	FalseAlarm bool     `json:"false_alarm,omitempty"`
	Reason     string   `json:"reason,omitempty"`
}

// IncidentPurge removes what an incident holds.
type IncidentPurge struct {
	Number uint64 `json:"number"`
	All    bool   `json:"all,omitempty"` // also what the account sent before the incident began
}

// IncidentEnd says what became of an incident.
type IncidentEnd struct {
	Incident incident.Incident `json:"incident"`
	Freed    bool              `json:"freed"` // the account acts again
	Released int               `json:"released,omitempty"`
	Held     int               `json:"held,omitempty"` // messages that stay held
	Purged   int               `json:"purged,omitempty"`
}

// maxShownHeld is how many held messages an incident shows one by one.
const maxShownHeld = 200

func incidentRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "incident.ls", op.IncidentList)
	answer(mux, "incident.show", op.IncidentShow)
	answer(mux, "incident.release", op.IncidentRelease)
	answer(mux, "incident.purge", op.IncidentPurge)
}

// IncidentList calls fn for each chosen incident, the latest first.
func (op *Operator) IncidentList(ctx context.Context, _ Caller, r IncidentSelect, fn func(incident.Incident) error) error {
	key := ""
	if r.Account != "" {
		a, err := parseAccount(r.Account)
		if err != nil {
			return err
		}
		key = a.Key()
	}
	n := 0
	return op.o.Incidents.Log.List(ctx, func(i incident.Incident) (bool, error) {
		about := func(a mail.Address) bool { return a.Key() == key }
		if key != "" && !about(i.Account) && !slices.ContainsFunc(i.Accounts, about) || r.Open && i.State != incident.StateOpen {
			return true, nil
		}
		n++
		return r.Limit <= 0 || n < r.Limit, fn(i)
	})
}

// IncidentShow returns one incident with what is known of it.
func (op *Operator) IncidentShow(ctx context.Context, _ Caller, r IncidentRef) (IncidentShown, error) {
	i, err := op.incident(ctx, r.Number)
	if err != nil {
		return IncidentShown{}, err
	}
	v := IncidentShown{Incident: i}
	if i.Account.IsZero() {
		return v, nil // no account did anything, and none is held
	}
	if a, err := op.o.Accounts.Get(i.Account); err == nil {
		v.Standing, v.PasswordChanged = a.Standing.String(), a.PasswordChanged
	}
	if v.Story, err = op.story(ctx, op.namesOf(op.o.Accounts.Holder(i.Account, i.At)), i.Since); err != nil {
		return v, err
	}
	held := true
	err = op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if len(v.Held) == maxShownHeld {
			v.MoreHeld++
			return true, nil
		}
		v.Held = append(v.Held, op.message(e))
		return true, nil
	})
	if err != nil {
		return v, err
	}
	if e, ok := op.o.Book.Entries().Get(roster.ForwardRef(i.Account)); ok {
		if f, is := e.(roster.Forward); is {
			shown := op.forwardView(f)
			v.Forward = &shown
		}
	}
	if v.Others, err = op.others(ctx, i); err != nil {
		return v, err
	}
	return v, op.o.Incidents.Log.EachKept(ctx, i.Number, func(k incident.Kept) error {
		v.Kept = append(v.Kept, k)
		return nil
	})
}

func (op *Operator) incident(ctx context.Context, n uint64) (incident.Incident, error) {
	i, err := op.o.Incidents.Log.Get(ctx, n)
	if errors.Is(err, incident.ErrNoSuch) {
		return i, &Error{CodeNotFound, "there is no incident " + strconv.FormatUint(n, 10) + "; see: sallyport incident ls"}
	}
	return i, err
}

// storyPages is how many pages of facts the story of an account is made of.
const storyPages = 40

// namesOf are the addresses that an account has and had, the present one last.
func (op *Operator) namesOf(account mail.Address) (all []incident.Name) {
	var from time.Time
	for _, n := range op.o.Accounts.Names(account) {
		all, from = append(all, incident.Name{Account: n.Address, From: from, To: n.Until}), n.Until
	}
	return append(all, incident.Name{Account: account, From: from})
}

// story reads what the trace tells of an account since a moment.
func (op *Operator) story(ctx context.Context, names []incident.Name, since time.Time) (incident.Story, error) {
	entries, cut, err := op.factsOf(ctx, names, since)
	facts := make([]fact.Fact, 0, len(entries))
	for _, e := range entries {
		facts = append(facts, e.Fact)
	}
	s := incident.Tell(names, since, facts)
	s.Cut = s.Cut || cut
	return s, err
}

// factsOf reads the facts about an account since a moment, under all its names; cut says that
// there are more.
func (op *Operator) factsOf(ctx context.Context, names []incident.Name, since time.Time) (all []query.Entry, cut bool, err error) {
	for _, n := range names {
		if !n.To.IsZero() && !n.To.After(since) {
			continue
		}
		q := query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: n.Account.String()}}, From: later(since, n.From), To: n.To, Exact: true}
		some, more, err := op.pagesOf(ctx, q, n)
		all, cut = append(all, some...), cut || more
		if err != nil {
			return all, true, err
		}
	}
	return all, cut, nil
}

// pagesOf reads what a question finds of who was called so.
func (op *Operator) pagesOf(ctx context.Context, q query.Query, n incident.Name) (all []query.Entry, cut bool, err error) {
	for range storyPages {
		found, err := op.o.Facts.Query(ctx, q)
		if err != nil {
			return all, true, err
		}
		for _, e := range found.Entries {
			if n.Has(e.Fact) {
				all = append(all, e)
			}
		}
		if found.Older == 0 {
			return all, found.Partial, nil
		}
		q.Before = found.Older
	}
	return all, true, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// maxOrigins bounds how many addresses are asked for other accounts.
const maxOrigins = 8

// others are the accounts that were signed in to from the addresses of an incident.
func (op *Operator) others(ctx context.Context, i incident.Incident) (all []string, err error) {
	seen, asked := map[string]bool{i.Account.String(): true}, map[string]bool{}
	for _, o := range i.Seen {
		peer := o.Peer.String()
		if !o.Peer.IsValid() || asked[peer] || len(asked) == maxOrigins {
			continue
		}
		asked[peer] = true
		found, err := op.o.Facts.Query(ctx, query.Query{Terms: []query.Term{{Field: query.FieldPeer, Text: peer}}, From: i.Since.Add(-24 * time.Hour), Exact: true})
		if err != nil {
			return all, err
		}
		for _, e := range found.Entries {
			if f := e.Fact; f.Kind == fact.KindAuth && f.Reply.OK() && !seen[f.Account] {
				seen[f.Account] = true
				all = append(all, f.Account)
			}
		}
	}
	return all, nil
}

// mayNotEnd says in words how an incident is ended that may not end yet.
func (op *Operator) mayNotEnd(err error) error {
	if errors.Is(err, incident.ErrCredential) {
		return invalid(errText("the account was contained on evidence, and the password that was used is revoked; give it another one first " +
			"(sallyport account passwd), or say that nothing was wrong (sallyport incident release NUMBER --false-alarm): it then signs in with what else it has"))
	}
	return err
}

// heldFor is why a message stays held that was not released with its incident.
func heldFor(i incident.Incident) string {
	return "incident " + strconv.FormatUint(i.Number, 10) + ": not released with its account"
}

// IncidentRelease lets the account of an incident act again, and the chosen messages
// leave; the others stay held, one by one. Repeating it is harmless, and releases more.
func (op *Operator) IncidentRelease(ctx context.Context, by Caller, r IncidentRelease) (IncidentEnd, error) {
	i, err := op.incident(ctx, r.Number)
	if err != nil {
		return IncidentEnd{}, err
	}
	if i.Account.IsZero() {
		return op.resume(ctx, by, i, r)
	}
	chosen, err := op.ofIncident(ctx, i, r)
	if err != nil {
		return IncidentEnd{}, err
	}
	end := IncidentEnd{Incident: i}
	if i.State == incident.StateOpen {
		account, err := op.o.Accounts.Get(i.Account)
		if err != nil {
			return end, err
		}
		if err := i.MayEnd(account); err != nil && !r.FalseAlarm {
			return end, op.mayNotEnd(err)
		}
		if end.Held, err = op.keepBack(ctx, by, i, chosen); err != nil {
			return end, err
		}
		why := r.Reason
		if r.FalseAlarm {
			why = "a false alarm. " + why
		}
		if end.Incident, _, err = op.o.Incidents.Free(ctx, i.Account, incident.StateReleased, by.name(), why, r.FalseAlarm, doneBy(by, because(why))...); err != nil {
			return end, op.mayNotEnd(err)
		}
		end.Freed = true
	}
	for _, id := range chosen {
		n, err := op.o.Queue.Release(ctx, spool.Filter{IDs: []mail.ID{id}}, fact.EncodeAll(fact.Released{
			At: op.o.Now(), Rule: RuleOperator, Message: fact.Message{Queue: id, Account: i.Account.String()}, Text: "with incident " + strconv.FormatUint(i.Number, 10), Evidence: doneBy(by),
		}.Fact()))
		if err != nil {
			return end, err
		}
		end.Released += n
	}
	if end.Freed {
		end.Released = len(chosen)
	}
	return end, nil
}

// resume ends a pause of what accounts have in common: what bears it is taken again, and
// leaves. Repeating it is harmless.
func (op *Operator) resume(ctx context.Context, by Caller, i incident.Incident, r IncidentRelease) (IncidentEnd, error) {
	if len(r.Messages) > 0 {
		return IncidentEnd{Incident: i}, invalid(errText("incident " + strconv.FormatUint(i.Number, 10) + " holds no messages one by one: what waits of " + i.Of() + " leaves when it ends; see: sallyport queue ls"))
	}
	if i.State != incident.StateOpen {
		return IncidentEnd{Incident: i}, nil
	}
	closed, err := op.o.Incidents.Resume(ctx, i.Shared, by.name(), r.Reason, doneBy(by, because(r.Reason))...)
	if err != nil || closed.Number == 0 {
		return IncidentEnd{Incident: i}, err
	}
	return IncidentEnd{Incident: closed, Freed: true}, nil
}

// aboutAnAccount refuses what can only be done with the incident of an account.
func aboutAnAccount(i incident.Incident) error {
	if !i.Account.IsZero() {
		return nil
	}
	return invalid(errText("incident " + strconv.FormatUint(i.Number, 10) + " is about " + i.Of() + " and no account: look at the accounts that it names " +
		"(sallyport account show), freeze those that are stolen (sallyport account freeze), then end the pause (sallyport incident release)"))
}

// ofIncident are the held messages of an incident's account that are chosen.
func (op *Operator) ofIncident(ctx context.Context, i incident.Incident, r IncidentRelease) ([]mail.ID, error) {
	wanted := map[mail.ID]bool{}
	for _, text := range r.Messages {
		id, err := mail.ParseID(text)
		if err != nil {
			return nil, invalid(err)
		}
		wanted[id] = true
	}
	var chosen []mail.ID
	held := true
	err := op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if r.All || wanted[e.ID] {
			chosen = append(chosen, e.ID)
			delete(wanted, e.ID)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for id := range wanted {
		return nil, &Error{CodeNotFound, "no message " + id.String() + " of " + i.Account.String() + " is held"}
	}
	return chosen, nil
}

// keepBack holds one by one what the account has in the queue and is not chosen.
func (op *Operator) keepBack(ctx context.Context, by Caller, i incident.Incident, chosen []mail.ID) (kept int, err error) {
	goes := map[mail.ID]bool{}
	for _, id := range chosen {
		goes[id] = true
	}
	var stay []mail.ID
	err = op.o.Queue.List(ctx, spool.Filter{Account: i.Account}, func(e spool.Entry) (bool, error) {
		if !goes[e.ID] {
			stay = append(stay, e.ID)
		}
		return true, nil
	})
	if err != nil || len(stay) == 0 {
		return 0, err
	}
	f := op.heldFact(i.Account.String(), "what was not released with the account", doneBy(by))
	for len(stay) > 0 && err == nil {
		batch := stay[:min(len(stay), idsAtOnce)]
		_, err = op.o.Queue.Hold(ctx, spool.Filter{IDs: batch}, heldFor(i), fact.EncodeAll(f))
		kept, stay = kept+len(batch), stay[len(batch):]
	}
	return kept, err
}

// idsAtOnce is how many messages one change names.
const idsAtOnce = 500

// IncidentPurge removes what the account of an incident has in the queue since the
// incident began, after its envelope and header section are written down. An account
// that has another password since acts again then.
func (op *Operator) IncidentPurge(ctx context.Context, by Caller, r IncidentPurge) (IncidentEnd, error) {
	i, err := op.incident(ctx, r.Number)
	if err != nil {
		return IncidentEnd{}, err
	}
	end := IncidentEnd{Incident: i}
	if err := aboutAnAccount(i); err != nil {
		return end, err
	}
	for {
		n, err := op.purgeSome(ctx, by, i, r.All)
		end.Purged += n
		if err != nil {
			return end, err
		}
		if n == 0 {
			break
		}
	}
	if err := op.o.Incidents.Log.CountPurged(ctx, i.Number, end.Purged); err != nil {
		return end, err
	}
	if i.State == incident.StateOpen {
		if account, err := op.o.Accounts.Get(i.Account); err != nil || i.MayEnd(account) != nil {
			end.Incident, err = op.incident(ctx, i.Number)
			return end, err
		}
		if end.Held, err = op.keepBack(ctx, by, i, nil); err != nil {
			return end, err
		}
		if end.Incident, _, err = op.o.Incidents.Free(ctx, i.Account, incident.StatePurged, by.name(), "purged", false, doneBy(by)...); err != nil {
			return end, err
		}
		end.Freed = true
		return end, nil
	}
	end.Incident, err = op.incident(ctx, i.Number)
	return end, err
}

// purgeSome writes down and removes some of what is held, and says how many.
func (op *Operator) purgeSome(ctx context.Context, by Caller, i incident.Incident, all bool) (int, error) {
	var kept []incident.Kept
	held := true
	err := op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if !all && e.Received.Before(i.Since) {
			return true, nil
		}
		kept = append(kept, op.keptOf(ctx, e))
		return len(kept) < purgeBatch, nil
	})
	if err != nil || len(kept) == 0 {
		return 0, err
	}
	if err := op.o.Incidents.Log.Keep(ctx, i.Number, kept); err != nil {
		return 0, err
	}
	n := 0
	for _, k := range kept {
		f := fact.Removed{At: op.o.Now(), Rule: RuleOperator, Message: fact.Message{Queue: k.Queue, Account: i.Account.String(), Sender: k.Sender, Size: k.Size}, Evidence: doneBy(by, because("purged with incident "+strconv.FormatUint(i.Number, 10)))}
		one, err := op.o.Queue.Remove(ctx, spool.Filter{IDs: []mail.ID{k.Queue}}, fact.EncodeAll(f.Fact()))
		if err != nil {
			return n, err
		}
		n += one
	}
	return n, nil
}

// purgeBatch is how many messages are written down before they are removed.
const purgeBatch = 50

// keptOf is what is kept of a message.
func (op *Operator) keptOf(ctx context.Context, e spool.Entry) incident.Kept {
	k := incident.Kept{Queue: e.ID, Received: e.Received, Sender: e.Envelope.From.String(), Size: e.Size, SHA256: hex.EncodeToString(e.SHA256[:])}
	for _, to := range e.Envelope.To {
		k.Recipients = append(k.Recipients, to.Address.String())
	}
	k.Header = op.headerOf(ctx, e)
	return k
}

// headerOf reads the header section of a message in the queue, with our own trace fields,
// as far as incidents keep it; "" where it cannot be read.
func (op *Operator) headerOf(ctx context.Context, e spool.Entry) string {
	body, err := op.o.Queue.OpenBody(ctx, e.ID)
	if err != nil {
		return ""
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(io.LimitReader(body, incident.MaxKeptHeader))
	if err != nil {
		return ""
	}
	return incident.HeaderOf(string(e.Prefix) + string(text))
}
