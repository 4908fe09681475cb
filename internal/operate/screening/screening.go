// Package screening implements the operator actions on the screen of port 25: who is kept out by
// which line, list or bound, and what would happen to a client.
package screening

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/operate/call"
	"sallyport/internal/screen/policy"
)

// Screen is who is kept out on port 25.
type Screen = func() *policy.Screen

// Limited is a party that met a bound of what comes in.
type Limited = inflow.Limited

// Options are what Actions act on.
type Options struct {
	Screen  Screen      // nil: nobody is kept out
	Inflow  Inflow      // what networks brought and mailboxes took; nil: nothing is bounded
	Running func() bool // a server runs here, which counts
}

// Actions are what an operator can do with who comes to port 25.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Limited are those who met a bound within the last hour, the latest first.
func (op *Actions) Limited() []Limited {
	if op.o.Inflow == nil {
		return nil
	}
	return op.o.Inflow.Limited(mostLimited)
}

// Inflow is what an operator needs of who counts what networks bring and mailboxes take.
type Inflow interface {
	Hits() []inflow.Hit
	Limited(most int) []inflow.Limited
}

// mostLimited is how many parties that met a bound a status names.
const mostLimited = 10

// ScreenHit is a line of the administrator's list, a list that others keep, or a bound of what
// comes in, and how often it has hit.
type ScreenHit struct {
	Kind  string    `json:"kind"`           // "line", "dnsbl" or "inflow"
	Line  int       `json:"line,omitempty"` // of kind "line"
	Text  string    `json:"text"`
	Hits  int64     `json:"hits"`
	Last  time.Time `json:"last,omitzero"`
	Since time.Time `json:"since"` // from when on they are counted
}

// ScreenVisitor is somebody who might come. Only Client must be there.
type ScreenVisitor struct {
	Client string `json:"client"`
	Hello  string `json:"hello,omitempty"`
	From   string `json:"from,omitempty"` // "": any; "<>": the null sender
	To     string `json:"to,omitempty"`   // "": some recipient of ours
}

// ScreenAnswer is what would happen to a ScreenVisitor.
type ScreenAnswer struct {
	Client  string   `json:"client"`
	Verdict string   `json:"verdict"` // "take", "defer" or "refuse"
	Rule    string   `json:"rule"`
	Reply   string   `json:"reply,omitempty"`
	Line    int      `json:"line,omitempty"`
	Text    string   `json:"text,omitempty"` // of that line
	Reason  string   `json:"reason,omitempty"`
	AS      uint32   `json:"as,omitempty"`      // autonomous system of the address; 0: not known
	Country string   `json:"country,omitempty"` // of the address
	Names   []string `json:"names,omitempty"`   // that the address proves
	Wait    string   `json:"wait,omitempty"`    // for each recipient
	Score   int      `json:"score"`
	Asked   []string `json:"asked,omitempty"` // what each list of others said, in words
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "screen.ls", op.ScreenList)
	call.Answer(routes, "screen.test", op.ScreenTest)
}

// ScreenList lists every line, list and bound in force with its hits, which a running server alone
// counts.
func (op *Actions) ScreenList(_ context.Context, _ call.Caller, _ struct{}, fn func(ScreenHit) error) error {
	if op.o.Screen == nil || !op.o.Running() {
		return call.Refused("no server runs here, and hits are counted by a running one alone")
	}
	for _, h := range op.o.Screen().Hits() {
		kind := "line"
		if h.Line == 0 {
			kind = "dnsbl"
		}
		if err := fn(ScreenHit{kind, h.Line, h.Text, h.Hits, h.Last, h.Since}); err != nil {
			return err
		}
	}
	if op.o.Inflow == nil {
		return nil
	}
	for _, h := range op.o.Inflow.Hits() {
		if err := fn(ScreenHit{"inflow", 0, h.Text, h.Hits, h.Last, h.Since}); err != nil {
			return err
		}
	}
	return nil
}

// ScreenTest says what would happen to a visitor, and asks the lists of others. It counts
// nothing.
func (op *Actions) ScreenTest(ctx context.Context, _ call.Caller, r ScreenVisitor) (ScreenAnswer, error) {
	v, err := r.visitor()
	if err != nil {
		return ScreenAnswer{}, call.Invalid(err)
	}
	if op.o.Screen == nil {
		return ScreenAnswer{}, call.Refused("nobody is screened here")
	}
	return screenAnswer(v, op.o.Screen().Look(ctx, v)), nil
}

func (r ScreenVisitor) visitor() (v policy.Visitor, err error) {
	v.Hello = r.Hello
	if v.Client, err = netip.ParseAddr(r.Client); err != nil {
		return v, fmt.Errorf("%q: an address of IPv4 or IPv6 stands here, as that from which somebody connects", r.Client)
	}
	if r.From != "" {
		if v.From, err = call.ParsePath(r.From); err != nil {
			return v, err
		}
	}
	if r.To != "" {
		v.To, err = call.ParseAddress(r.To)
	}
	return v, err
}

func screenAnswer(v policy.Visitor, j policy.Judgement) ScreenAnswer {
	a := ScreenAnswer{Client: v.Client.String(), Verdict: j.Verdict.String(), Rule: j.Rule, Line: j.Line.Line, Reason: j.Line.Reason, Names: j.Names, AS: j.Place.AS, Country: j.Place.Country, Score: j.Score}
	if a.Line > 0 {
		a.Text = j.Line.String()
	}
	if j.Verdict != policy.Take {
		a.Reply = j.Reply.String()
	}
	if j.Wait > 0 {
		a.Wait = j.Wait.String()
	}
	for _, asked := range j.Answers {
		a.Asked = append(a.Asked, asked.String())
	}
	return a
}

// ScreenList calls Actions.ScreenList.
func (c Client) ScreenList(ctx context.Context, fn func(ScreenHit) error) error {
	return call.Stream(ctx, c.Client, "screen.ls", struct{}{}, fn)
}

// ScreenTest calls Actions.ScreenTest.
func (c Client) ScreenTest(ctx context.Context, r ScreenVisitor) (ScreenAnswer, error) {
	return call.Do[ScreenAnswer](ctx, c.Client, "screen.test", r)
}
