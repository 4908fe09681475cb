package partner

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// KickLimits bounds how a partner is told to end sessions.
type KickLimits struct {
	Time   time.Duration // for one request
	Tries  int           // until it is given up
	Pause  time.Duration // between two tries
	Again  time.Duration // until who was let in just before is looked for once more
	Answer int64         // octets of an answer that are read
}

// DefaultKickLimits returns the bounds where the configuration says nothing.
func DefaultKickLimits() KickLimits {
	return KickLimits{Time: 10 * time.Second, Tries: 5, Pause: 5 * time.Second, Again: 5 * time.Second, Answer: 64 << 10}
}

// KickOptions are what a Kicker works with; all are required but Socket.
type KickOptions struct {
	// Socket is where Dovecot takes its commands by HTTP; "": it is told nothing.
	Socket string
	// Key returns the key of that door, doveadm_api_key.
	Key func() (string, error)
	// Write records that sessions may go on that must not.
	Write  func(ctx context.Context, facts ...fact.Fact) error
	Limits KickLimits
	Now    func() time.Time
	Logger *slog.Logger
}

// Kicker has Dovecot end the sessions of accounts. It is safe for use by many goroutines.
type Kicker struct {
	o       KickOptions
	http    *http.Client
	running sync.WaitGroup
	stop    func()
	stopped context.Context
}

// RuleKick is the rule of sessions that the partner was not brought to end.
const RuleKick = "partner-kick-failed"

// NewKicker returns a Kicker.
func NewKicker(o KickOptions) *Kicker {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", o.Socket)
	}
	stopped, stop := context.WithCancel(context.Background())
	return &Kicker{
		o: o, stop: stop, stopped: stopped,
		http: &http.Client{
			Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
			Timeout:   o.Limits.Time,
		},
	}
}

// End has all sessions of an account ended, whatever they rest on, since the partner does not know
// what that was. It returns at once. A session that began while it was asked is ended by a second
// request a little later.
func (k *Kicker) End(account mail.Address) {
	if k.o.Socket == "" {
		return
	}
	k.running.Go(func() {
		if k.insist(account) && k.pause(k.o.Limits.Again) {
			k.insist(account)
		}
	})
}

// Close waits for the first try of what was to be ended, and gives up the others.
func (k *Kicker) Close() {
	k.stop()
	k.running.Wait()
}

// pause waits; false: the Kicker is closed.
func (k *Kicker) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-k.stopped.Done():
		return false
	}
}

// insist tries until the partner has done it, within the limits; false: it has not.
func (k *Kicker) insist(account mail.Address) bool {
	ctx := context.Background() // one try is made whatever happens
	var err error
	for try := range k.o.Limits.Tries {
		if try > 0 && !k.pause(k.o.Limits.Pause) {
			break
		}
		if err = k.kick(ctx, account); err == nil {
			return true
		}
		k.o.Logger.Warn("the sessions of an account at the partner could not be ended", "account", account.String(), "err", err)
	}
	f := fact.Alarm{
		At: k.o.Now(), Rule: RuleKick, Text: "sessions of an account may go on at the partner that must not",
		Session:  fact.Session{Account: account.String()},
		Evidence: []fact.Pair{{Name: "error", Value: mail.Printable(err.Error(), maxUser)}},
	}.Fact()
	if err := k.o.Write(ctx, f); err != nil {
		k.o.Logger.Error("an alarm could not be recorded", "rule", RuleKick, "err", err)
	}
	return false
}

// kick asks once. Dovecot 2.3, "doveadm HTTP API": a list of commands, each with a tag that comes
// back with its answer.
func (k *Kicker) kick(ctx context.Context, account mail.Address) error {
	key, err := k.o.Key()
	if err != nil {
		return err
	}
	const tag = "sallyport"
	body, err := json.Marshal([]any{[]any{"kick", map[string][]string{"mask": {account.String()}}, tag}})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dovecot/doveadm/v1", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "X-Dovecot-API "+base64.StdEncoding.EncodeToString([]byte(key)))
	resp, err := k.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, k.o.Limits.Answer))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("Dovecot answers %s", resp.Status)
	}
	return kicked(text)
}

// noSession is the exit code by which Dovecot says that nobody is there to be kicked: EX_NOHOST.
const noSession = 68

// kicked reads the answer to one command: ["doveadmResponse", …] is done, and ["error", …] says why not.
func kicked(text []byte) error {
	var all [][]json.RawMessage
	var word string
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 1 || len(all[0]) < 2 || json.Unmarshal(all[0][0], &word) != nil {
		return errors.New("Dovecot's answer is none that is known")
	}
	if word == "doveadmResponse" {
		return nil
	}
	var why struct {
		Type string `json:"type"`
		Code int    `json:"exitCode"`
	}
	if err := json.Unmarshal(all[0][1], &why); err != nil {
		return errors.New("Dovecot's answer is none that is known")
	}
	if word == "error" && why.Type == "exitCode" && why.Code == noSession {
		return nil
	}
	return fmt.Errorf("Dovecot refuses to kick: %s %d", mail.Printable(why.Type, maxService), why.Code)
}
