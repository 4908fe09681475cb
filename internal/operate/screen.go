package operate

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/mail"
	"sallyport/internal/screen/policy"
)

// Inflow is what an Operator needs of who counts what networks bring and mailboxes take.
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

func screenRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "screen.ls", op.ScreenList)
	answer(mux, "screen.test", op.ScreenTest)
}

// ScreenList lists every line, list and bound in force with its hits, which a running server alone
// counts.
func (op *Operator) ScreenList(_ context.Context, _ Caller, _ struct{}, fn func(ScreenHit) error) error {
	if op.o.Screen == nil || op.o.Server == nil || op.o.Server() == nil {
		return &Error{CodeInvalid, "no server runs here, and hits are counted by a running one alone"}
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
func (op *Operator) ScreenTest(ctx context.Context, _ Caller, r ScreenVisitor) (ScreenAnswer, error) {
	v, err := r.visitor()
	if err != nil {
		return ScreenAnswer{}, invalid(err)
	}
	if op.o.Screen == nil {
		return ScreenAnswer{}, &Error{CodeInvalid, "nobody is screened here"}
	}
	return screenAnswer(v, op.o.Screen().Look(ctx, v)), nil
}

func (r ScreenVisitor) visitor() (v policy.Visitor, err error) {
	v.Hello = r.Hello
	if v.Client, err = netip.ParseAddr(r.Client); err != nil {
		return v, fmt.Errorf("%q: an address of IPv4 or IPv6 stands here, as that from which somebody connects", r.Client)
	}
	if r.From != "" {
		from := r.From
		if from[0] != '<' {
			from = "<" + from + ">"
		}
		if v.From, err = mail.ParseReversePath(from, mail.UTF8); err != nil {
			return v, err
		}
	}
	if r.To != "" {
		v.To, err = mail.ParseAddress(r.To, mail.UTF8)
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

// ScreenList calls Operator.ScreenList.
func (c *Client) ScreenList(ctx context.Context, fn func(ScreenHit) error) error {
	return stream(ctx, c, "screen.ls", struct{}{}, fn)
}

// ScreenTest calls Operator.ScreenTest.
func (c *Client) ScreenTest(ctx context.Context, r ScreenVisitor) (ScreenAnswer, error) {
	return call[ScreenAnswer](ctx, c, "screen.test", r)
}
