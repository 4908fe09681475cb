package incidents

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strconv"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/queue"
	"sallyport/internal/spool"
)

// MayNotEnd says in words how an incident is ended that may not end yet.
func MayNotEnd(i incident.Incident, err error) error {
	if errors.Is(err, incident.ErrCredential) {
		password, does := i.NewPassword()
		return call.Refused("the account was contained on evidence, and the password that was used is revoked; first: " + password + " (" + does +
			"); or, if nothing was wrong, sallyport incident release " + strconv.FormatUint(i.Number, 10) + " --false-alarm: it then signs in with what else it has")
	}
	return err
}

// heldFor is why a message stays held that was not released with its incident.
func heldFor(i incident.Incident) string {
	return "incident " + strconv.FormatUint(i.Number, 10) + ": not released with its account"
}

// IncidentRelease lets the account of an incident act again, and the chosen messages
// leave; the others stay held, one by one. Repeating it is harmless, and releases more.
func (op *Actions) IncidentRelease(ctx context.Context, by call.Caller, r IncidentRelease) (IncidentEnd, error) {
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
		account, err := op.o.Incidents.Accounts.Get(i.Account)
		if err != nil {
			return end, err
		}
		if err := i.MayEnd(account); err != nil && !r.FalseAlarm {
			return end, MayNotEnd(i, err)
		}
		if end.Held, err = op.keepBack(ctx, by, i, chosen); err != nil {
			return end, err
		}
		why := r.Reason
		if r.FalseAlarm {
			why = "a false alarm. " + why
		}
		if end.Incident, _, err = op.o.Incidents.Free(ctx, i.Account, incident.StateReleased, by.Name(), why, r.FalseAlarm, call.DoneBy(by, call.Because(why))...); err != nil {
			return end, MayNotEnd(i, err)
		}
		end.Freed = true
	}
	for _, id := range chosen {
		n, err := op.o.Queue.Release(ctx, spool.Filter{IDs: []mail.ID{id}}, fact.EncodeAll(fact.Released{
			At: op.o.Now(), Rule: fact.RuleOperator, Message: fact.Message{Queue: id, Account: i.Account.String()}, Text: "with incident " + strconv.FormatUint(i.Number, 10), Evidence: call.DoneBy(by),
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
func (op *Actions) resume(ctx context.Context, by call.Caller, i incident.Incident, r IncidentRelease) (IncidentEnd, error) {
	if len(r.Messages) > 0 {
		return IncidentEnd{Incident: i}, call.Refused("incident " + strconv.FormatUint(i.Number, 10) + " holds no messages one by one: what waits of " + i.Of() + " leaves when it ends; see: sallyport queue ls")
	}
	if i.State != incident.StateOpen {
		return IncidentEnd{Incident: i}, nil
	}
	closed, err := op.o.Incidents.Resume(ctx, i.Shared, by.Name(), r.Reason, call.DoneBy(by, call.Because(r.Reason))...)
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
	return call.Refused("incident " + strconv.FormatUint(i.Number, 10) + " is about " + i.Of() + " and no account: look at the accounts that it names " +
		"(sallyport account show), freeze those that are stolen (sallyport account freeze), then end the pause (sallyport incident release)")
}

// ofIncident are the held messages of an incident's account that are chosen.
func (op *Actions) ofIncident(ctx context.Context, i incident.Incident, r IncidentRelease) ([]mail.ID, error) {
	wanted := map[mail.ID]bool{}
	for _, text := range r.Messages {
		id, err := mail.ParseID(text)
		if err != nil {
			return nil, call.Invalid(err)
		}
		wanted[id] = true
	}
	var chosen []mail.ID
	held := true
	err := op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if during(i, e) && (r.All || wanted[e.ID]) {
			chosen = append(chosen, e.ID)
			delete(wanted, e.ID)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for id := range wanted {
		return nil, call.NotFound("no message " + id.String() + " of " + i.Account.String() + " is held that came before incident " + strconv.FormatUint(i.Number, 10) + " ended")
	}
	return chosen, nil
}

// keepBack holds one by one what the account has in the queue and is not chosen.
func (op *Actions) keepBack(ctx context.Context, by call.Caller, i incident.Incident, chosen []mail.ID) (kept int, err error) {
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
	f := queue.HeldFact(op.o.Now(), i.Account.String(), "what was not released with the account", call.DoneBy(by))
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
func (op *Actions) IncidentPurge(ctx context.Context, by call.Caller, r IncidentPurge) (IncidentEnd, error) {
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
		if account, err := op.o.Incidents.Accounts.Get(i.Account); err != nil || i.MayEnd(account) != nil {
			end.Incident, err = op.incident(ctx, i.Number)
			return end, err
		}
		if end.Held, err = op.keepBack(ctx, by, i, nil); err != nil {
			return end, err
		}
		if end.Incident, _, err = op.o.Incidents.Free(ctx, i.Account, incident.StatePurged, by.Name(), "purged", false, call.DoneBy(by)...); err != nil {
			return end, err
		}
		end.Freed = true
		return end, nil
	}
	end.Incident, err = op.incident(ctx, i.Number)
	return end, err
}

// purgeSome writes down and removes some of what is held, and says how many.
func (op *Actions) purgeSome(ctx context.Context, by call.Caller, i incident.Incident, all bool) (int, error) {
	var kept []incident.Kept
	held := true
	err := op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if !all && e.Received.Before(i.Since) || !during(i, e) {
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
		f := fact.Removed{At: op.o.Now(), Rule: fact.RuleOperator, Message: fact.Message{Queue: k.Queue, Account: i.Account.String(), Sender: k.Sender, Size: k.Size}, Evidence: call.DoneBy(by, call.Because("purged with incident "+strconv.FormatUint(i.Number, 10)))}
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
func (op *Actions) keptOf(ctx context.Context, e spool.Entry) incident.Kept {
	k := incident.Kept{Queue: e.ID, Received: e.Received, Sender: e.Envelope.From.String(), Size: e.Size, SHA256: hex.EncodeToString(e.SHA256[:])}
	for _, to := range e.Envelope.To {
		k.Recipients = append(k.Recipients, to.Address.String())
	}
	k.Header = op.headerOf(ctx, e)
	return k
}

// headerOf reads the header section of a message in the queue, with our own trace fields,
// as far as incidents keep it; "" where it cannot be read.
func (op *Actions) headerOf(ctx context.Context, e spool.Entry) string {
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
