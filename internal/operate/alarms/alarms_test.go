package alarms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/guess"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/operate/alarms"
)

// A disk that becomes full is told of in the log and the trace, and in the log alone when
// there is no room even for a fact.
func TestDiskAlarm(t *testing.T) {
	var log bytes.Buffer
	var told []fact.Fact
	fails := error(nil)
	a := alarms.DiskAlarm{Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)), Write: func(_ context.Context, facts ...fact.Fact) error {
		told = append(told, facts...)
		return fails
	}}
	a.Changed(t.Context(), "/data", diskspace.Change{Low: true, Free: 5, Reserve: 10})
	a.Changed(t.Context(), "/data", diskspace.Change{Free: 50, Reserve: 10})
	if len(told) != 2 || told[0].Rule != "disk-low" || told[1].Rule != "disk-free-again" || told[0].Kind != fact.KindAlarm {
		t.Fatalf("%+v", told)
	}
	if s := log.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "has room again") || strings.Contains(s, "not recorded") {
		t.Error(s)
	}
	fails = errors.New("full")
	a.Changed(t.Context(), "/data", diskspace.Change{Low: true})
	if !strings.Contains(log.String(), "fact not recorded") {
		t.Error(log.String())
	}
}

// begun says once that alice's account is guessed at.
type begun struct{ told int }

// GuessingBegun implements Guesses.
func (g *begun) GuessingBegun() []guess.Report {
	g.told++
	if g.told > 1 {
		return nil
	}
	r := guess.Report{Account: "alice@local.test", Wrong: 10, Refused: 200}
	for n := range 4 {
		r.Sources = append(r.Sources, guess.Source{Network: netip.MustParsePrefix(fmt.Sprintf("192.0.%d.0/24", n)), Tries: 9 - n})
	}
	return []guess.Report{r}
}

// People are told once that somebody guesses, by a clock, in the log and by an alarm that names
// the account and the networks.
func TestGuessesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []fact.Fact
		fails := error(nil)
		g := &begun{}
		a := alarms.GuessAlarm{Guesses: g, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)), Write: func(_ context.Context, facts ...fact.Fact) error {
			told = append(told, facts...)
			return fails
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); a.Watch(ctx) }()
		time.Sleep(35 * time.Second)
		cancel()
		<-ended
		if g.told != 3 || len(told) != 1 || told[0].Kind != fact.KindAlarm || told[0].Rule != "password-guessing" || told[0].Account != "alice@local.test" || told[0].Count != 210 {
			t.Fatalf("asked %d times: %+v", g.told, told)
		}
		if s := log.String(); strings.Count(s, "level=WARN") != 1 || !strings.Contains(s, `account=alice@local.test wrong=10 refused=200 networks="192.0.0.0/24, 192.0.1.0/24, 192.0.2.0/24, and others"`) {
			t.Error(s)
		}
		g.told, fails = 0, errors.New("full")
		ctx, cancel = context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		a.Watch(ctx)
		if !strings.Contains(log.String(), "fact not recorded") {
			t.Error(log.String())
		}
	})
}

// Mail that waits for a token is told of when it begins and when it is over, in the log and as an alarm
// that names the routes; where no fact can be written, in the log alone.
func TestTokenAlarm(t *testing.T) {
	var log bytes.Buffer
	var told []fact.Fact
	fails := error(nil)
	a := alarms.TokenAlarm{Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)), Write: func(_ context.Context, facts ...fact.Fact) error {
		told = append(told, facts...)
		return fails
	}}
	a.Changed(t.Context(), []string{"a.test", "b.test"}, errors.New("the authority says no"))
	a.Changed(t.Context(), []string{"a.test", "b.test"}, nil)
	if len(told) != 2 || told[0].Rule != alarms.RuleNoToken || told[1].Rule != alarms.RuleTokenAgain || told[0].Kind != fact.KindAlarm {
		t.Fatalf("%+v", told)
	}
	if !strings.Contains(told[0].Text, "mail waits: the authority says no") || told[0].Evidence[0].Value != "a.test, b.test" || told[1].Evidence[0].Value != "a.test, b.test" {
		t.Errorf("%+v", told)
	}
	if s := log.String(); strings.Count(s, "level=ERROR") != 1 || strings.Count(s, "level=INFO") != 1 || strings.Contains(s, "not recorded") {
		t.Error(s)
	}
	fails = errors.New("full")
	a.Changed(t.Context(), []string{"a.test"}, nil)
	if !strings.Contains(log.String(), "fact not recorded") {
		t.Error(log.String())
	}
}

// The space of a disk is that of the folder that is named, and nothing where there is none.
func TestSpace(t *testing.T) {
	if free, total := alarms.Space(t.TempDir()); total == 0 || free > total {
		t.Errorf("%d of %d", free, total)
	}
	if free, total := alarms.Space("/nowhere/at/all"); free != 0 || total != 0 {
		t.Errorf("of no folder: %d of %d", free, total)
	}
}
