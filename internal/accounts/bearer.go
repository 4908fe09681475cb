package accounts

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/internal/guess"
	"sallyport/internal/oidc"
)

func (i *Identity) provider() *oidc.Judge {
	if i.o.Provider == nil {
		return nil
	}
	return i.o.Provider()
}

// TokenID names an access token as a credential, in the trace: nothing of it is kept.
const TokenID = "token"

// SignInByToken checks an access token for an account. It is what OAUTHBEARER and XOAUTH2 do.
// The error is a SignInError or one of the store. A token that was refused once is no new
// guess, and is not looked at again for a while: its time may come, the provider may publish its key, or
// the administrator mend what it is judged by, with which it is looked at at once.
func (i *Identity) SignInByToken(ctx context.Context, user, token string, p Peer) (Proof, error) {
	if p.TLS == nil {
		return Proof{}, fail(ErrClear, RuleClear, "the connection is not encrypted")
	}
	a, err := parseUser(user)
	if err != nil {
		return Proof{}, err
	}
	judge := i.provider()
	if judge == nil {
		return Proof{}, fail(ErrMechanism, RuleMechanism, "no provider is configured")
	}
	key := a.Key()
	r := i.record(key)
	t := trial{key: key, account: r, guess: i.guessOf(key, r, p), memo: memoKeyOf(i.cacheKey, key, 0, token, []byte(TokenID), judge.Mark())}
	ticket, err := i.recallToken(&t)
	if errors.Is(err, ErrTooMany) {
		return i.beyondRates(ctx, judge, token, t, p, err)
	}
	if err != nil {
		return Proof{}, err
	}
	person, err := judge.Token(ctx, token)
	var no *oidc.Refused
	var away *oidc.Unavailable
	switch {
	case err == nil && person.Address.Key() != key:
		return Proof{}, i.misjudged(t, fail(ErrToken, RuleNotOfIt, "it is the token of another address"))
	case err == nil:
		i.forgive(ticket)
	case errors.As(err, &no) && !no.Ended.IsZero() && no.Ended.Key() == key:
		return Proof{}, i.outdated(t, ticket)
	case errors.As(err, &no):
		return Proof{}, i.misjudged(t, fail(ErrToken, RuleToken, no.Text))
	case errors.As(err, &away):
		i.forgive(ticket)
		return Proof{}, fail(ErrElsewhere, RuleProvider, away.Text)
	default:
		i.forgive(ticket)
		return Proof{}, cancelled(ctx)
	}
	return i.admitToken(ctx, r, person, p)
}

// beyondRates judges a token that the rates held back, if the provider need not be asked about it:
// nobody guesses one, and who sits beside somebody who guesses gets in by it as by a certificate.
// What is good for nothing is answered by the rates, as if nobody had looked.
func (i *Identity) beyondRates(ctx context.Context, judge *oidc.Judge, token string, t trial, p Peer, limit error) (Proof, error) {
	if !judge.Asks(token) {
		person, err := judge.Token(ctx, token)
		var no *oidc.Refused
		switch {
		case err == nil && person.Address.Key() == t.key:
			return i.admitToken(ctx, t.account, person, p)
		case errors.As(err, &no) && !no.Ended.IsZero() && no.Ended.Key() == t.key:
			return Proof{}, i.outdated(t, guess.Ticket{})
		case ctx.Err() != nil:
			return Proof{}, cancelled(ctx)
		}
	}
	i.screened.Lock()
	defer i.screened.Unlock()
	i.refused(t.account, t.guess, i.o.Now())
	return Proof{}, limit
}

// admitToken lets somebody in whose token is good and of this account, if that is there and takes it.
func (i *Identity) admitToken(ctx context.Context, r *record, person oidc.Person, p Peer) (Proof, error) {
	c := Credential{ID: TokenID, Kind: KindToken, Name: person.Client, Created: person.Issued, Expires: person.Ends, Scope: scopeOf(person)}
	if c.Created.IsZero() { // it does not say
		c.Created = i.o.Now()
	}
	if err := r.refuses(c, p, i.o.Now()); err != nil {
		return Proof{}, err
	}
	return i.admit(ctx, r, c, p)
}

// scopeOf is what somebody's token is for.
func scopeOf(p oidc.Person) (s Scope) {
	if p.Sends {
		s |= ScopeSend
	}
	if p.Reads {
		s |= ScopeReceive
	}
	return s
}

// recallToken asks the rates, as for a password.
func (i *Identity) recallToken(t *trial) (guess.Ticket, error) {
	i.screened.Lock()
	defer i.screened.Unlock()
	now := i.o.Now()
	t.guess.Repeat = i.wrong.has(t.memo, now)
	v := i.guesses.Begin(t.guess, now)
	switch {
	case !v.OK:
		return guess.Ticket{}, limited(v)
	case !v.Judge() && i.denied.has(t.memo, now):
		return guess.Ticket{}, fail(ErrToken, RuleToken, "the same refused token again")
	}
	return v.Ticket, nil
}

// outdated remembers a token that was the account's until its time was over: nobody guessed it,
// so that it is not counted, but it is not looked at twice.
func (i *Identity) outdated(t trial, ticket guess.Ticket) error {
	i.screened.Lock()
	defer i.screened.Unlock()
	now := i.o.Now()
	i.guesses.Forgive(ticket, now)
	i.deny(t, now)
	return fail(ErrToken, RuleExpired, "the time of the access token is over")
}

// misjudged remembers a token that is good for nothing.
func (i *Identity) misjudged(t trial, err error) error {
	if !t.guess.Repeat {
		i.missed(t.account, t.guess)
	}
	i.screened.Lock()
	defer i.screened.Unlock()
	i.deny(t, i.o.Now())
	return err
}

// deny remembers a token as one that counts for nothing now; the caller holds screened.
func (i *Identity) deny(t trial, now time.Time) {
	i.wrong.put(t.memo, t.key, now)
	i.denied.put(t.memo, t.key, now)
}

// xoauth2 reads user=NAME ^A auth=Bearer TOKEN ^A ^A. A refusal ends it at once: clients that
// are told why in a challenge close, or send the same token again.
func (x *Exchange) xoauth2(ctx context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, x.xoauth2, nil
	}
	user, rest, ok := strings.Cut(string(response), "\x01")
	user, named := strings.CutPrefix(user, "user=")
	token, ended := strings.CutSuffix(rest, "\x01\x01")
	if token, ok = bearerOf(token, ok && named && ended && utf8.Valid(response)); !ok {
		return nil, nil, fail(ErrMalformed, RuleMalformed, "XOAUTH2 is user=NAME ^A auth=Bearer TOKEN ^A ^A")
	}
	return nil, nil, x.token(ctx, user, token)
}

// bearer reads what RFC 7628 §3.1 has: a GS2 header, and fields of which one is the token.
func (x *Exchange) bearer(ctx context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, x.bearer, nil
	}
	user, token, ok := bearerMessage(string(response))
	if !ok || !utf8.Valid(response) {
		return nil, nil, fail(ErrMalformed, RuleMalformed, "OAUTHBEARER is n,a=NAME, ^A auth=Bearer TOKEN ^A ^A")
	}
	err := x.token(ctx, user, token)
	if !errors.Is(err, ErrToken) && !errors.Is(err, ErrBadCredentials) {
		return nil, nil, err
	}
	// RFC 7628 §3.2.2: the client is told, answers with ^A, and then it is over.
	challenge := x.id.provider().Refusal()
	return challenge, func(context.Context, []byte) ([]byte, step, error) { return nil, nil, err }, nil
}

func (x *Exchange) token(ctx context.Context, user, token string) (err error) {
	if user == "" {
		user = x.id.provider().Claimed(token)
	}
	x.names(user)
	x.proof, err = x.id.SignInByToken(ctx, user, token, x.peer)
	return err
}

// bearerMessage returns the authorization identity and the token of a client's message.
func bearerMessage(text string) (user, token string, ok bool) {
	head, fields, ok := strings.Cut(text, "\x01")
	fields, ended := strings.CutSuffix(fields, "\x01\x01")
	flag, rest, cut := strings.Cut(head, ",")
	name, empty, more := strings.Cut(rest, ",")
	// RFC 5801 §4: no channel binding is there to be asked for.
	if !ok || !ended || !cut || !more || empty != "" || flag != "n" && flag != "y" {
		return "", "", false
	}
	if name != "" {
		saslname, named := strings.CutPrefix(name, "a=")
		if user, ok = unescape(saslname); !named || !ok || user == "" {
			return "", "", false
		}
	}
	for field := range strings.SplitSeq(fields, "\x01") {
		key, _, pair := strings.Cut(field, "=")
		switch {
		case !pair:
			return "", "", false
		case key == "auth" && token != "":
			return "", "", false
		case key == "auth":
			if token, ok = bearerOf(field, true); !ok {
				return "", "", false
			}
		}
	}
	return user, token, token != ""
}

// unescape reads a saslname. RFC 5801 §4: a comma is =2C, an equals sign =3D, and no other.
func unescape(s string) (string, bool) {
	out := strings.NewReplacer("=2C", ",", "=3D", "\x00").Replace(s)
	if strings.ContainsAny(out, "=") || strings.Contains(s, "\x00") {
		return "", false
	}
	return strings.ReplaceAll(out, "\x00", "="), true
}

// bearerOf returns the token of the field auth; the scheme is read without case. RFC 7235 §2.1
func bearerOf(field string, ok bool) (string, bool) {
	value, named := strings.CutPrefix(field, "auth=")
	scheme, token, cut := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	if !ok || !named || !cut || !strings.EqualFold(scheme, "Bearer") || token == "" ||
		strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false
	}
	return token, true
}
