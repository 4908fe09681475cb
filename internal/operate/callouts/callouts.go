// Package callouts implements the operator actions on cached answers of recipient verification:
// list them, and have them forgotten.
package callouts

import (
	"context"
	"strconv"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
)

// Callouts is what servers behind us said of recipients.
type Callouts = func() *callout.Asker

// Options are what Actions act on. All are needed but Callouts.
type Options struct {
	Callouts Callouts    // nil: there is no such memory
	Running  func() bool // a server runs here, which remembers
	Now      func() time.Time
	Write    call.Record
}

// Actions are what an operator can do with callouts.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Callout is what a server behind us said of a recipient.
type Callout struct {
	Address string    `json:"address"`
	Server  string    `json:"server"`
	State   string    `json:"state"`           // "taken" or "refused"
	Reply   string    `json:"reply,omitempty"` // of the server
	Remote  string    `json:"remote,omitempty"`
	Asked   time.Time `json:"asked"`
	Again   time.Time `json:"again"` // when it is asked again at the next mail
}

// CalloutRef chooses answers: of addresses, of a domain, or all.
type CalloutRef struct {
	Addresses []string `json:"addresses,omitempty"`
	Domain    string   `json:"domain,omitempty"`
	All       bool     `json:"all,omitempty"`
}

// CalloutForgotten says how many answers were forgotten.
type CalloutForgotten struct {
	Forgotten int `json:"forgotten"`
}

// maxCalloutRefs bounds the addresses of one request.
const maxCalloutRefs = 1000

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "callout.ls", op.CalloutList)
	call.Answer(routes, "callout.forget", op.CalloutForget)
}

// match returns what a reference chooses. What it names must read.
func (r CalloutRef) match() (func(server, address string) bool, error) {
	if len(r.Addresses) > maxCalloutRefs {
		return nil, call.Refused("at most " + strconv.Itoa(maxCalloutRefs) + " addresses at once")
	}
	addresses := map[string]bool{}
	for _, text := range r.Addresses {
		a, err := call.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		addresses[a.String()] = true
	}
	domain, err := call.ParseDomain(r.Domain)
	if r.Domain != "" && err != nil {
		return nil, err
	}
	return func(_, address string) bool {
		if r.All || addresses[address] {
			return true
		}
		a, err := call.ParseAddress(address)
		return err == nil && !domain.IsZero() && a.Domain() == domain
	}, nil
}

// callouts returns the memory of the running server.
func (op *Actions) callouts() (*callout.Asker, error) {
	if op.o.Callouts == nil || !op.o.Running() {
		return nil, call.Refused("no server runs here; what servers behind say of recipients is remembered by a running one alone")
	}
	return op.o.Callouts(), nil
}

// CalloutList lists the answers that are remembered; an empty reference is all of them.
func (op *Actions) CalloutList(_ context.Context, _ call.Caller, r CalloutRef, fn func(Callout) error) error {
	known, err := op.callouts()
	if err != nil {
		return err
	}
	r.All = r.All || len(r.Addresses) == 0 && r.Domain == ""
	match, err := r.match()
	if err != nil {
		return err
	}
	known.Remembered(func(r callout.Remembered) bool {
		if match(r.Server, r.Address) {
			err = fn(calloutOf(r))
		}
		return err == nil
	})
	return err
}

func calloutOf(r callout.Remembered) Callout {
	out := Callout{Address: r.Address, Server: r.Server, State: "refused", Remote: r.Answer.Remote, Asked: r.At.Truncate(time.Second), Again: r.Until.Truncate(time.Second)}
	if r.Answer.Known == callout.Yes {
		out.State = "taken"
	}
	if !r.Answer.Reply.IsZero() {
		out.Reply = r.Answer.Reply.String()
	}
	return out
}

// CalloutForget has answers forgotten, so that the server behind is asked again.
func (op *Actions) CalloutForget(ctx context.Context, by call.Caller, r CalloutRef) (CalloutForgotten, error) {
	known, err := op.callouts()
	if err != nil {
		return CalloutForgotten{}, err
	}
	if !r.All && len(r.Addresses) == 0 && r.Domain == "" {
		return CalloutForgotten{}, call.Refused("name addresses, a domain, or all")
	}
	match, err := r.match()
	if err != nil {
		return CalloutForgotten{}, err
	}
	out := CalloutForgotten{Forgotten: known.Forget(match)}
	f := fact.CalloutsForgotten{
		At: op.o.Now(), Rule: fact.RuleOperator, Recipients: r.Addresses, Answers: out.Forgotten, Evidence: call.DoneBy(by),
		Text: "what servers behind said of recipients was forgotten: " + strconv.Itoa(out.Forgotten) + " answers",
	}
	if r.Domain != "" {
		f.Evidence = append(f.Evidence, fact.Pair{Name: "domain", Value: r.Domain})
	}
	return out, op.o.Write(ctx, f.Fact())
}

// CalloutList calls Actions.CalloutList.
func (c Client) CalloutList(ctx context.Context, r CalloutRef, fn func(Callout) error) error {
	return call.Stream(ctx, c.Client, "callout.ls", r, fn)
}

// CalloutForget calls Actions.CalloutForget.
func (c Client) CalloutForget(ctx context.Context, r CalloutRef) (CalloutForgotten, error) {
	return call.Do[CalloutForgotten](ctx, c.Client, "callout.forget", r)
}
