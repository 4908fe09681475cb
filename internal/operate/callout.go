package operate

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

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

func calloutRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "callout.ls", op.CalloutList)
	answer(mux, "callout.forget", op.CalloutForget)
}

// match returns what a reference chooses. What it names must read.
func (r CalloutRef) match() (func(server, address string) bool, error) {
	if len(r.Addresses) > maxCalloutRefs {
		return nil, &Error{CodeInvalid, "at most " + strconv.Itoa(maxCalloutRefs) + " addresses at once"}
	}
	addresses := map[string]bool{}
	for _, text := range r.Addresses {
		a, err := mail.ParseAddress(text, mail.UTF8)
		if err != nil {
			return nil, invalid(err)
		}
		addresses[a.String()] = true
	}
	var domain mail.Domain
	if r.Domain != "" {
		var err error
		if domain, err = mail.ParseDomain(r.Domain); err != nil {
			return nil, invalid(err)
		}
	}
	return func(_, address string) bool {
		if r.All || addresses[address] {
			return true
		}
		a, err := mail.ParseAddress(address, mail.UTF8)
		return err == nil && !domain.IsZero() && a.Domain() == domain
	}, nil
}

// callouts returns the memory of the running server.
func (op *Operator) callouts() (*callout.Asker, error) {
	if op.o.Callouts == nil || op.o.Server == nil || op.o.Server() == nil {
		return nil, &Error{CodeInvalid, "no server runs here; what servers behind say of recipients is remembered by a running one alone"}
	}
	return op.o.Callouts(), nil
}

// CalloutList lists the answers that are remembered; an empty reference is all of them.
func (op *Operator) CalloutList(_ context.Context, _ Caller, r CalloutRef, fn func(Callout) error) error {
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
func (op *Operator) CalloutForget(ctx context.Context, by Caller, r CalloutRef) (CalloutForgotten, error) {
	known, err := op.callouts()
	if err != nil {
		return CalloutForgotten{}, err
	}
	if !r.All && len(r.Addresses) == 0 && r.Domain == "" {
		return CalloutForgotten{}, &Error{CodeInvalid, "name addresses, a domain, or all"}
	}
	match, err := r.match()
	if err != nil {
		return CalloutForgotten{}, err
	}
	out := CalloutForgotten{Forgotten: known.Forget(match)}
	f := fact.CalloutsForgotten{
		At: op.o.Now(), Rule: RuleOperator, Recipients: r.Addresses, Answers: out.Forgotten, Evidence: doneBy(by),
		Text: "what servers behind said of recipients was forgotten: " + strconv.Itoa(out.Forgotten) + " answers",
	}
	if r.Domain != "" {
		f.Evidence = append(f.Evidence, fact.Pair{Name: "domain", Value: r.Domain})
	}
	return out, op.o.Write(ctx, f.Fact())
}

// CalloutList calls Operator.CalloutList.
func (c *Client) CalloutList(ctx context.Context, r CalloutRef, fn func(Callout) error) error {
	return stream(ctx, c, "callout.ls", r, fn)
}

// CalloutForget calls Operator.CalloutForget.
func (c *Client) CalloutForget(ctx context.Context, r CalloutRef) (CalloutForgotten, error) {
	return call[CalloutForgotten](ctx, c, "callout.forget", r)
}
