package partner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// dovecot takes commands by HTTP at a socket, and answers each with the next of its answers.
type dovecot struct {
	mu      sync.Mutex
	answers []string
	asked   []string
}

func (d *dovecot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	d.asked = append(d.asked, r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body))
	answer := `[["doveadmResponse",[{"result":"alice@local.test"}],"sallyport"]]`
	if len(d.answers) > 0 {
		answer, d.answers = d.answers[0], d.answers[1:]
	}
	if answer == "401" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, answer)
}

func kicks(t *testing.T, d *dovecot, key func() (string, error)) (*Kicker, *journal) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "http")
	ln, err := net.Listen("unix", path)
	must(t, err)
	s := &http.Server{Handler: d}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Close() })
	j := &journal{}
	l := DefaultKickLimits()
	l.Pause, l.Again = time.Millisecond, time.Millisecond
	return NewKicker(KickOptions{Socket: path, Key: key, Write: j.Write, Limits: l, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}), j
}

func who(t *testing.T) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(alice, mail.UTF8)
	must(t, err)
	return a
}

func key() (string, error) { return "sesame", nil }

// Dovecot is told twice, in its own words, and what it says of nobody being there is no failure.
func TestDovecotIsToldToEndSessions(t *testing.T) {
	const nobody = `[["error",{"type":"exitCode", "exitCode":68},"sallyport"]]`
	for name, answers := range map[string][]string{"done": nil, "nobody": {nobody, nobody}, "at last": {"401", "nonsense", `[["error",{"type":"exitCode", "exitCode":75},"sallyport"]]`}} {
		d := &dovecot{answers: answers}
		k, j := kicks(t, d, key)
		k.End(who(t))
		k.running.Wait()
		want := 2
		if name == "at last" {
			want += len(answers)
		}
		if len(d.asked) != want || len(j.facts) != 0 {
			t.Errorf("%s: asked %d times, want %d; %+v", name, len(d.asked), want, j.facts)
		}
		for _, asked := range d.asked {
			if asked != `/doveadm/v1 X-Dovecot-API c2VzYW1l [["kick",{"mask":["alice@local.test"]},"sallyport"]]` {
				t.Errorf("%s: %s", name, asked)
			}
		}
	}
}

// Whoever cannot be told is told of: in the trace, once, after all tries.
func TestSessionsThatAreNotEnded(t *testing.T) {
	refused := `[["error",{"type":"unAuthorized", "exitCode":0},"sallyport"]]`
	d := &dovecot{}
	for range DefaultKickLimits().Tries {
		d.answers = append(d.answers, refused)
	}
	k, j := kicks(t, d, key)
	k.End(who(t))
	k.running.Wait()
	if len(d.asked) != DefaultKickLimits().Tries || len(j.facts) != 1 || j.facts[0].Rule != RuleKick || j.facts[0].Kind != fact.KindAlarm || j.facts[0].Account != alice {
		t.Errorf("asked %d times: %+v", len(d.asked), j.facts)
	}
	d = &dovecot{}
	k, j = kicks(t, d, func() (string, error) { return "", errors.New("no key") })
	k.End(who(t))
	k.running.Wait()
	if len(d.asked) != 0 || len(j.facts) != 1 {
		t.Errorf("without a key: %v, %+v", d.asked, j.facts)
	}
}

// A server that stops tries once, and waits for nothing else; one that was told no socket does
// nothing.
func TestAStopTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		tries := 0
		k := NewKicker(KickOptions{
			Socket: "/nowhere/http", Key: func() (string, error) { tries++; return "", errors.New("no key") },
			Write: j.Write, Limits: DefaultKickLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		})
		begun := time.Now()
		k.stop()
		k.End(who(t))
		k.Close()
		if tries != 1 || len(j.facts) != 1 || time.Since(begun) != 0 {
			t.Errorf("%d tries, %+v, after %s", tries, j.facts, time.Since(begun))
		}
	})
	k := NewKicker(KickOptions{
		Key: key, Write: func(context.Context, ...fact.Fact) error { return fmt.Errorf("told") },
		Limits: DefaultKickLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	k.End(who(t))
	k.Close()
}
