package incidents

import (
	"context"
	"io"
	"time"

	"sallyport/internal/incident"
	"sallyport/internal/incident/bundle"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/queue"
	"sallyport/internal/spool"
	"sallyport/internal/trace/query"
)

// Queue is what Actions need of package spool.
type Queue interface {
	List(ctx context.Context, f spool.Filter, fn func(spool.Entry) (more bool, err error)) error
	Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error)
	Release(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	Remove(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
}

// Facts is what Actions need of package trace/query.
type Facts interface {
	Query(ctx context.Context, q query.Query) (query.Answer, error)
}

// Keeper contains accounts and sets them free.
type Keeper = incident.Keeper

// Greeting is our own name and the text for strangers in the banner.
type Greeting = func() (mail.Domain, string)

// Log is what Actions need of package trace.
type Log = bundle.Log

// Options are what Actions act on. All are needed but Greeting.
type Options struct {
	Incidents Keeper
	Queue     Queue
	// Shown is a message of it as operators see it.
	Shown func(spool.Entry) queue.Message
	Facts Facts
	Trace Log
	// Holder is the account that had an address at a moment, and Names are those that it has and
	// had, the present one last.
	Holder func(a mail.Address, at time.Time) mail.Address
	Names  func(account mail.Address) []incident.Name
	// Forward is that of an account; nil: it has none.
	Forward  func(account mail.Address) *domains.Forward
	Greeting Greeting // nil: there is neither
	Now      func() time.Time
	Write    call.Record
}

// Actions are what an operator can do with incidents.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "incident.ls", op.IncidentList)
	call.Answer(routes, "incident.show", op.IncidentShow)
	call.Answer(routes, "incident.release", op.IncidentRelease)
	call.Answer(routes, "incident.purge", op.IncidentPurge)
	call.Listing(routes, "incident.export", op.IncidentExport)
}

// IncidentsOpen counts those that are open.
func (op *Actions) IncidentsOpen(ctx context.Context) (int, error) {
	return op.o.Incidents.Log.Count(ctx)
}
