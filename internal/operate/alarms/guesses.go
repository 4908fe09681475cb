package alarms

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/guess"
)

const (
	// RuleGuessing is that of the alarm when somebody begins to guess.
	RuleGuessing = "password-guessing"
	// guessesEvery is how often it is asked whether anybody began: people are told by a clock,
	// so that the session that guesses waits for nothing that it could notice.
	guessesEvery = 10 * time.Second
	// toldNetworks is how many networks a line about guesses names.
	toldNetworks = 3
)

// Guesses is what a GuessAlarm needs to know of who is being guessed at.
type Guesses interface {
	GuessingBegun() []guess.Report
}

// GuessAlarm tells the operator of accounts that somebody begins to guess at. All fields are required.
type GuessAlarm struct {
	Guesses Guesses
	Write   func(ctx context.Context, facts ...fact.Fact) error
	Now     func() time.Time
	Logger  *slog.Logger
}

// Watch tells once of each such account, in the log and as an alarm, until ctx ends.
func (a GuessAlarm) Watch(ctx context.Context) {
	t := time.NewTicker(guessesEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.tell(ctx)
		}
	}
}

func (a GuessAlarm) tell(ctx context.Context) {
	for _, r := range a.Guesses.GuessingBegun() {
		from := networks(r)
		a.Logger.Warn("somebody guesses a password; the limits hold", "account", r.Account, "wrong", r.Wrong, "refused", r.Refused, "networks", from)
		f := fact.Alarm{
			At: a.Now(), Rule: RuleGuessing, Text: "somebody guesses the password; the limits hold", Message: fact.Message{Account: r.Account}, Times: r.Wrong + r.Refused,
			Evidence: []fact.Pair{{Name: "wrong passwords", Value: fmt.Sprint(r.Wrong)}, {Name: "tries refused", Value: fmt.Sprint(r.Refused)}, {Name: "from", Value: from}},
		}
		if err := a.Write(ctx, f.Fact()); err != nil && ctx.Err() == nil {
			a.Logger.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
		}
	}
}

// networks names those that tried most.
func networks(r guess.Report) string {
	var names []string
	for _, s := range r.Sources[:min(toldNetworks, len(r.Sources))] {
		names = append(names, s.Network.String())
	}
	if len(r.Sources) > toldNetworks || r.Others > 0 {
		names = append(names, "and others")
	}
	return strings.Join(names, ", ")
}
