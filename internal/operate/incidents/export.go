package incidents

import (
	"context"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/incident/bundle"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
	"sallyport/internal/trace/query"
)

// IncidentExport asks for the evidence of an incident as files.
type IncidentExport struct {
	Number uint64    `json:"number"`
	Since  time.Time `json:"since,omitzero"` // the first fact that is wanted; zero: what the incident began with
}

// maxExported is how many header sections one bundle has.
const maxExported = 500

// IncidentExport calls fn for each file of the signed evidence of an incident, the signature
// last. That it was asked for is a fact.
func (op *Actions) IncidentExport(ctx context.Context, by call.Caller, r IncidentExport, fn func(bundle.File) error) error {
	i, err := op.incident(ctx, r.Number)
	if err != nil {
		return err
	}
	if err := aboutAnAccount(i); err != nil {
		return err
	}
	c := bundle.Contents{Incident: i, Since: i.Since, Made: op.o.Now().UTC()}
	if !r.Since.IsZero() {
		c.Since = r.Since
	}
	if op.o.Greeting != nil {
		c.Hostname, c.Notice = op.o.Greeting()
	}
	if err := op.exported(ctx, &c); err != nil {
		return err
	}
	files, err := bundle.Files(c)
	if err != nil {
		return err
	}
	sums := bundle.Manifest(files)
	signature, err := op.o.Trace.Key().SignManifest(sums)
	if err != nil {
		return err
	}
	asked := fact.Asked{At: op.o.Now(), Rule: fact.RuleOperator, What: "the evidence of incident " + strconv.FormatUint(i.Number, 10) + " was exported",
		Message: fact.Message{Account: i.Account.String()}, Evidence: call.DoneBy(by, fact.Pair{Name: "sha256", Value: bundle.Fingerprint(sums)})}
	if err := op.o.Write(ctx, asked.Fact()); err != nil {
		return err
	}
	for _, f := range append(files, bundle.File{Name: bundle.Sums, Data: sums}, bundle.File{Name: bundle.Signature, Data: signature}) {
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// exported reads what stands in a bundle.
func (op *Actions) exported(ctx context.Context, c *bundle.Contents) error {
	entries, cut, err := op.factsOf(ctx, op.o.Names(op.o.Holder(c.Incident.Account, c.Incident.At)), c.Since)
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b query.Entry) int {
		if a.Seq != b.Seq {
			return int(int64(a.Seq) - int64(b.Seq))
		}
		return a.Part - b.Part
	})
	for _, e := range entries {
		c.Facts = append(c.Facts, bundle.Entry{Seq: e.Seq, Part: e.Part, Fact: e.Fact})
	}
	c.Cut = cut
	if err := c.Prove(ctx, op.o.Trace); err != nil {
		return err
	}
	return op.exportedHeaders(ctx, c)
}

// exportedHeaders reads the header sections of what is held, and those that were kept of
// what was purged.
func (op *Actions) exportedHeaders(ctx context.Context, c *bundle.Contents) error {
	take := func(h func() bundle.Header) {
		if len(c.Headers) == maxExported {
			c.MoreHeld++
			return
		}
		c.Headers = append(c.Headers, h())
	}
	held := true
	err := op.o.Queue.List(ctx, spool.Filter{Account: c.Incident.Account, Held: &held}, func(e spool.Entry) (bool, error) {
		if !during(c.Incident, e) {
			return true, nil
		}
		take(func() bundle.Header {
			return bundle.Header{Queue: e.ID, What: "held", Text: op.headerOf(ctx, e)}
		})
		return true, nil
	})
	if err != nil {
		return err
	}
	return op.o.Incidents.Log.EachKept(ctx, c.Incident.Number, func(k incident.Kept) error {
		take(func() bundle.Header { return bundle.Header{Queue: k.Queue, What: "purged", Text: k.Header} })
		return nil
	})
}

// IncidentExport calls Actions.IncidentExport.
func (c Client) IncidentExport(ctx context.Context, r IncidentExport, fn func(bundle.File) error) error {
	return call.Stream(ctx, c.Client, "incident.export", r, fn)
}
