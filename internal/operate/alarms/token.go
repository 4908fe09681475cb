package alarms

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"sallyport/internal/fact"
)

// The rules of the alarms about tokens that sign us in at a next hop.
const (
	RuleNoToken    = "next-hop-token"
	RuleTokenAgain = "next-hop-token-again"
)

// TokenTrouble is an authorization server that gives no token, or none that the next hop
// takes.
type TokenTrouble struct {
	Routes []string  `json:"routes"` // whose mail waits
	Since  time.Time `json:"since"`
	Fault  string    `json:"fault"`
}

// TokenAlarm tells the operator of them. All fields are required.
type TokenAlarm struct {
	Write  func(ctx context.Context, facts ...fact.Fact) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Changed tells that trouble began, or with nil that it is over, in the log and as a fact.
func (a TokenAlarm) Changed(ctx context.Context, routes []string, fault error) {
	which := strings.Join(routes, ", ")
	f := fact.Alarm{At: a.Now(), Rule: RuleTokenAgain, Text: "a token signs us in again, and mail goes on", Evidence: []fact.Pair{{Name: "route", Value: which}}}
	if fault != nil {
		f.Rule, f.Text = RuleNoToken, "mail waits: "+fault.Error()
		a.Logger.Error("no token signs us in at a next hop: mail waits", "route", which, "err", fault)
	} else {
		a.Logger.Info("a token signs us in again", "route", which)
	}
	if err := a.Write(context.WithoutCancel(ctx), f.Fact()); err != nil {
		a.Logger.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}
