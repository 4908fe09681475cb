package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/guess"
	"sallyport/internal/mail"
)

// Guesses is what an Operator needs to know of who is being guessed at.
type Guesses interface {
	GuessedAt(mail.Address) (guess.Report, bool)
	AllGuessedAt(most int) (first []guess.Report, of int)
	GuessingBegun() []guess.Report
}

const (
	// RuleGuessing is that of the alarm when somebody begins to guess.
	RuleGuessing = "password-guessing"
	// guessesEvery is how often it is asked whether anybody began: people are told by a clock,
	// so that the session that guesses waits for nothing that it could notice.
	guessesEvery = 10 * time.Second
	// maxGuessed is how many accounts the status names, of those that are being guessed at.
	maxGuessed = 100
	// toldNetworks is how many networks a line about guesses names.
	toldNetworks = 3
)

// guessed returns what was tried at an account; nil: nobody guesses there.
func (op *Operator) guessed(a mail.Address) *guess.Report {
	if op.o.Guesses == nil {
		return nil
	}
	if r, ok := op.o.Guesses.GuessedAt(a); ok {
		return &r
	}
	return nil
}

func (op *Operator) guessedAt() (first []guess.Report, of int) {
	if op.o.Guesses == nil {
		return nil, 0
	}
	return op.o.Guesses.AllGuessedAt(maxGuessed)
}

// WatchGuesses tells once of each account that somebody begins to guess at, in the log and as
// an alarm, until ctx ends.
func (op *Operator) WatchGuesses(ctx context.Context) {
	if op.o.Guesses == nil {
		return
	}
	t := time.NewTicker(guessesEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			op.tellGuesses(ctx)
		}
	}
}

func (op *Operator) tellGuesses(ctx context.Context) {
	for _, r := range op.o.Guesses.GuessingBegun() {
		from := networks(r)
		op.o.Logger.Warn("somebody guesses a password; the limits hold", "account", r.Account, "wrong", r.Wrong, "refused", r.Refused, "networks", from)
		f := fact.Alarm{
			At: op.o.Now(), Rule: RuleGuessing, Text: "somebody guesses the password; the limits hold", Message: fact.Message{Account: r.Account}, Times: r.Wrong + r.Refused,
			Evidence: []fact.Pair{{Name: "wrong passwords", Value: fmt.Sprint(r.Wrong)}, {Name: "tries refused", Value: fmt.Sprint(r.Refused)}, {Name: "from", Value: from}},
		}
		if err := op.o.Write(ctx, f.Fact()); err != nil && ctx.Err() == nil {
			op.o.Logger.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
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
