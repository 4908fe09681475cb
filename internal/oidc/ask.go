package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sallyport/internal/kit/lru"
	"sallyport/internal/mail"
)

// answer is what the provider said of a token.
type answer struct {
	person Person
	err    error // a *Refused; nil: it was good
	until  time.Time
}

func newAnswers(l Limits) *lru.Cache[[32]byte, answer] {
	return lru.New[[32]byte, answer](lru.Bounds{Entries: l.Tokens}, nil)
}

// remembered is what the provider said of a token, as long as that counts.
func (j *Judge) remembered(token string) (answer, bool) {
	a, ok := j.answers.Get(sha256.Sum256([]byte(token)))
	return a, ok && j.m.Now().Before(a.until)
}

// ask asks the provider about a token that says nothing to us. RFC 7662 §2.1
func (j *Judge) ask(ctx context.Context, token string) (Person, error) {
	if j.p.Introspect == "" {
		return Person{}, refused("it is no JWT, and the provider is not asked about others")
	}
	if a, ok := j.remembered(token); ok {
		return a.person, a.err
	}
	select {
	case j.asking <- struct{}{}:
		defer func() { <-j.asking }()
	case <-ctx.Done():
		return Person{}, ctx.Err()
	default:
		return Person{}, &Unavailable{"the provider is asked about as many tokens as may be at once"}
	}
	at, err := j.endpoint(ctx)
	if err != nil {
		return Person{}, err
	}
	payload, err := j.question(ctx, at, token)
	if err != nil {
		if ctx.Err() != nil {
			return Person{}, ctx.Err()
		}
		return Person{}, &Unavailable{"the provider does not say whether a token is good: " + mail.PlainLine(err.Error(), mail.TextShown)}
	}
	person, err := j.told(payload)
	now, until := j.m.Now(), j.m.Limits.TokenNo
	if err == nil {
		until = min(j.m.Limits.TokenOK, person.Ends.Sub(now))
	}
	j.answers.Put(sha256.Sum256([]byte(token)), answer{person, err, now.Add(until)})
	return person, err
}

// endpoint is where tokens are asked about, as the provider says.
func (j *Judge) endpoint(ctx context.Context) (string, error) {
	if _, err := j.keys.of(ctx, anyKey); err != nil {
		return "", err
	}
	j.keys.mu.Lock()
	defer j.keys.mu.Unlock()
	return j.keys.asks, nil
}

func (j *Judge) question(ctx context.Context, at, token string) ([]byte, error) {
	secret, err := os.ReadFile(j.p.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("the secret cannot be read")
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, said(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(j.p.Introspect), url.QueryEscape(strings.TrimRight(string(secret), "\r\n"))) // RFC 6749 §2.3.1
	answer, err := j.keys.http.Do(r)
	if err != nil {
		return nil, said(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, refusal(answer)
	}
	var payload json.RawMessage
	if err := json.NewDecoder(answer.Body).Decode(&payload); err != nil {
		return nil, unread("its answer cannot be read", err)
	}
	return payload, nil
}

// refusal is an answer other than 200, with what the provider says is wrong: most often our own
// client there, which only its administrator can mend. RFC 7662 §2.3, RFC 6749 §5.2.
func refusal(answer *http.Response) error {
	var why struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	text := fmt.Sprintf("it answers %d", answer.StatusCode)
	if json.NewDecoder(answer.Body).Decode(&why) == nil && why.Error != "" {
		text += " " + why.Error
		if why.Description != "" {
			text += " (" + why.Description + ")"
		}
	}
	return errors.New(text)
}

// told reads what the provider says of a token. RFC 7662 §2.2: whose token it is not, it says
// nothing of; what it leaves out is what it is asked as.
func (j *Judge) told(payload []byte) (Person, error) {
	var state struct {
		Active bool `json:"active"`
	}
	if json.Unmarshal(payload, &state) != nil || !state.Active {
		return Person{}, refused("the provider says that it is good for nothing")
	}
	c, err := j.p.read(payload)
	if err != nil {
		return Person{}, err
	}
	if c.Issuer == "" {
		c.Issuer = j.p.Issuer
	}
	return j.p.decide(c, j.m)
}
