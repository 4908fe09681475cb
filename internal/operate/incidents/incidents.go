package incidents

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/queue"
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
	ReadsOn         bool            `json:"reads_on,omitempty"` // it is read on with what was not revoked
	PasswordChanged time.Time       `json:"password_changed,omitzero"`
	Story           incident.Story  `json:"story"`
	Held            []queue.Message `json:"held,omitempty"` // the oldest first
	MoreHeld        int             `json:"more_held,omitempty"`
	Kept            []incident.Kept `json:"kept,omitempty"` // what was purged
	// Forward is that of the account as it is now; nil: it has none. Nothing leaves by it while
	// the account is contained.
	Forward *domains.Forward `json:"forward,omitempty"`
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

// during reports whether a message can be of an incident: none is that came after it had ended, which may be another
// incident's, or of whoever has the address since.
func during(i incident.Incident, e spool.Entry) bool {
	return i.State == incident.StateOpen || !e.Received.After(i.Closed)
}

// maxShownHeld is how many held messages an incident shows one by one.
const maxShownHeld = 200

// IncidentList calls fn for each chosen incident, the latest first.
func (op *Actions) IncidentList(ctx context.Context, _ call.Caller, r IncidentSelect, fn func(incident.Incident) error) error {
	key := ""
	if r.Account != "" {
		a, err := call.ParseAccount(r.Account)
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
func (op *Actions) IncidentShow(ctx context.Context, _ call.Caller, r IncidentRef) (IncidentShown, error) {
	i, err := op.incident(ctx, r.Number)
	if err != nil {
		return IncidentShown{}, err
	}
	v := IncidentShown{Incident: i}
	if i.Account.IsZero() {
		return v, nil // no account did anything, and none is held
	}
	who := op.o.Holder(i.Account, i.At)
	if a, err := op.o.Incidents.Accounts.Get(who); err == nil && (i.State == incident.StateOpen || !a.Created.After(i.At)) {
		v.Standing, v.ReadsOn, v.PasswordChanged = a.Standing.String(), a.ReadsOn, a.PasswordChanged
		v.Forward = op.o.Forward(who)
	}
	if v.Story, err = op.Story(ctx, op.o.Names(who), i.Since); err != nil {
		return v, err
	}
	held := true
	err = op.o.Queue.List(ctx, spool.Filter{Account: i.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if !during(i, e) {
			return true, nil
		}
		if len(v.Held) == maxShownHeld {
			v.MoreHeld++
			return true, nil
		}
		v.Held = append(v.Held, op.o.Shown(e))
		return true, nil
	})
	if err != nil {
		return v, err
	}
	if v.Others, err = op.others(ctx, i); err != nil {
		return v, err
	}
	return v, op.o.Incidents.Log.EachKept(ctx, i.Number, func(k incident.Kept) error {
		v.Kept = append(v.Kept, k)
		return nil
	})
}

func (op *Actions) incident(ctx context.Context, n uint64) (incident.Incident, error) {
	i, err := op.o.Incidents.Log.Get(ctx, n)
	if errors.Is(err, incident.ErrNoSuch) {
		return i, call.NotFound("there is no incident " + strconv.FormatUint(n, 10) + "; see: sallyport incident ls")
	}
	return i, err
}

// maxOrigins bounds how many addresses are asked for other accounts.
const maxOrigins = 8

// others are the accounts that were signed in to from the addresses of an incident.
func (op *Actions) others(ctx context.Context, i incident.Incident) (all []string, err error) {
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
