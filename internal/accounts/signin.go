package accounts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/guess"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// Peer says where a sign-in comes from.
type Peer struct {
	Remote netip.Addr
	TLS    *tls.ConnectionState // nil: clear text, in which nobody signs in
	// Certificate is the one that we presented on this connection, for the channel
	// binding tls-server-end-point; nil: only tls-exporter is there.
	Certificate *x509.Certificate
	For         Scope // what the session is to do; zero: nothing, and no credential is good for it
	// Partner is what another server says of its connection with the client, where TLS ends there
	// and TLS is nil; zero: there is none.
	Partner Partner
}

// Partner is what a server beside us, which has us judge its sign-ins, knows of a client.
type Partner struct {
	// Secured: nobody overhears the client.
	Secured bool
	// Holder is the user whom a certificate names that the partner checked: signed by our authority,
	// of use now and on no list of revocations. "": the client showed none.
	Holder string
}

// private reports whether nobody overhears the client.
func (p Peer) private() bool { return p.TLS != nil || p.Partner.Secured }

// SignIn checks a user name, which is the full address, and a password. It is
// what PLAIN and LOGIN do. The error is a SignInError or one of the store.
//
// An app password is found before rates and hashes are asked: nobody guesses one.
func (i *Identity) SignIn(ctx context.Context, user, password string, p Peer) (Proof, error) {
	if !p.private() {
		return Proof{}, fail(ErrClear, RuleClear, "the connection is not encrypted")
	}
	a, err := parseUser(user)
	if err != nil {
		return Proof{}, err
	}
	prepared, err := preparePassword(password, i.limits().PasswordOctets)
	if err != nil {
		return Proof{}, fail(ErrBadCredentials, RuleBadPassword, "nobody can have this password: "+err.Error())
	}
	r := i.record(a.Key())
	if h, ok := r.appOf(password, p.For); ok {
		return i.admit(ctx, r, h.Credential, p)
	}
	t := i.newTrial(a, password, prepared, p)
	r, err = i.flights.do(ctx, t.flight, func() (*record, error) { return i.judge(ctx, t) })
	if err != nil {
		return Proof{}, err
	}
	return i.admit(ctx, r, r.password(), p)
}

// parseUser reads a user name: a full address, as it is written everywhere else.
// Nothing is trimmed or completed, so that no two programs can take one name for
// two accounts. What is no address is refused without a hash: that it names no
// account is plain to everybody.
func parseUser(user string) (mail.Address, error) {
	a, err := mail.ParseAddress(user, mail.UTF8)
	if err == nil {
		return a, nil
	}
	return mail.Address{}, fail(ErrBadCredentials, RuleNoAddress, "the user name is no full address: "+describeUser(user))
}

// describeUser writes a user name for the trace. One that is no address in a domain of
// at least two labels may be a password that was typed in the wrong field, so that only
// its length is told.
func describeUser(user string) string {
	if user == "" {
		return ""
	}
	a, err := mail.ParseAddress(user, mail.UTF8)
	if err != nil || !strings.Contains(a.Domain().ASCII(), ".") {
		return fmt.Sprintf("(%d octets that are no address)", len(user))
	}
	return mail.Printable(user, mail.AddressShown)
}

// trial is one password tried at one account, which may not exist.
type trial struct {
	key             string
	domain          mail.Domain
	account         *record // nil: none
	secret          secret  // the account's, or a decoy
	refusal         error   // why even the right password opens nothing; nil: it does
	typed, prepared string
	guess           guess.Attempt
	memo            memoKey // account, revision and password
	flight          memoKey // the same, and the network
}

func (i *Identity) newTrial(a mail.Address, typed, prepared string, p Peer) trial {
	t := trial{key: a.Key(), domain: a.Domain(), typed: typed, prepared: prepared}
	t.account, t.secret = i.secretOf(t.key)
	if !t.account.kept() {
		t.secret = i.decoyOf(t.key) // as for nobody's name
	}
	var revision uint64
	var own Credential
	if t.account != nil {
		revision, own = t.account.Revision, t.account.password()
	}
	t.refusal = t.account.refuses(own, p, i.o.Now())
	t.guess = i.guessOf(t.key, t.account, p)
	// What is asked for and the certificate beside it are part of what was tried: a password
	// that is right with one of them only would else be remembered as wrong.
	with := [][]byte{[]byte(own.ID), []byte(p.For.String()), p.keyOctets()}
	t.memo = memoKeyOf(i.cacheKey, t.key, revision, prepared, with...)
	t.flight = memoKeyOf(i.cacheKey, t.key, revision, prepared, append(with, []byte(screen.Network(p.Remote).String()))...)
	return t
}

// decoyOf feigns the secret of a name that nobody has.
func (i *Identity) decoyOf(key string) secret {
	return decoy(i.decoyKey, i.costs.costOf(i.decoyKey, key, i.limits().cost()), key)
}

// secretOf returns the record of key, if there is one, and the secret to check
// against. The decoy is made in either case, so that both take the same time.
func (i *Identity) secretOf(key string) (*record, secret) {
	s := i.decoyOf(key)
	r := i.record(key)
	if r != nil && r.Standing != StandingUnknown {
		s = r.secret
	}
	return r, s
}

// guessOf says who tries. The account's own key names it for good, and a name that is nobody's
// is counted as if it were one. A device that shows the account's certificate is known wherever
// it is.
func (i *Identity) guessOf(key string, r *record, p Peer) guess.Attempt {
	now := i.o.Now()
	a := guess.Attempt{Account: key, From: p.Remote, Known: i.knows(key, screen.Network(p.Remote))}
	if r != nil && p.presented() != nil {
		if c, err := r.shown(p, now); err == nil {
			a.Device = c.ID
		}
	}
	return a
}

// judge decides by what is remembered, or else by a hash. It charges the guess
// before it hashes, so that trials at the same time cannot exceed the rate.
func (i *Identity) judge(ctx context.Context, t trial) (*record, error) {
	r, err := i.recall(t, i.o.Now())
	if r.decided || err != nil {
		return t.account, err
	}
	if r.untold {
		return t.account, i.tell(ctx, t)
	}
	w, err := i.weigh(ctx, t)
	switch {
	case err != nil && w.hashed:
		i.unjudged(t, r.ticket)
		return nil, err
	case err != nil:
		i.forgive(r.ticket)
		return nil, err
	}
	if err := i.settle(t, r.ticket, w, i.o.Now()); err != nil {
		return nil, err
	}
	if w.better != nil {
		i.upgrade(ctx, t, *w.better)
	}
	return t.account, nil
}

// recalled is what rates and memory say of a trial.
type recalled struct {
	ticket  guess.Ticket
	decided bool // no hash is needed
	untold  bool // it was wrong before, and nobody was told
}

// recall asks the rates, then the memory: in this order, because the memory of a
// right password answers a guess as well as a hash does. The same wrong password again is no
// new guess.
func (i *Identity) recall(t trial, now time.Time) (recalled, error) {
	i.screened.Lock()
	defer i.screened.Unlock()
	told := i.wrong.has(t.memo, now)
	t.guess.Repeat = told || i.untold.has(t.memo, now)
	v := i.guesses.Begin(t.guess, now)
	switch {
	case !v.OK:
		i.refused(t.account, t.guess, now)
		return recalled{}, limited(v)
	case !v.Judge() && !t.account.kept() && !i.denied.has(t.memo, now):
		// It may be right by now: passwords change elsewhere. It is no new guess all the same.
		return recalled{ticket: v.Ticket}, nil
	case !v.Judge() && !told:
		return recalled{untold: true}, nil
	case !v.Judge():
		return recalled{decided: true}, wrongPassword(t.refusal, "the same wrong password again")
	case t.refusal == nil && i.right.has(t.memo, now):
		i.guesses.Forgive(v.Ticket, now)
		return recalled{decided: true}, nil
	}
	return recalled{ticket: v.Ticket}, nil
}

// charge asks the rates whether a password may be judged, and counts it as wrong.
func (i *Identity) charge(r *record, a guess.Attempt) (guess.Ticket, error) {
	i.screened.Lock()
	defer i.screened.Unlock()
	now := i.o.Now()
	v := i.guesses.Begin(a, now)
	if !v.OK {
		i.refused(r, a, now)
		return guess.Ticket{}, limited(v)
	}
	return v.Ticket, nil
}

// unjudged gives back what a password was charged that nobody judged. One that is wrong at an
// account of ours was judged here, whatever its domain's directory does.
func (i *Identity) unjudged(t trial, ticket guess.Ticket) {
	if t.account != nil && t.account.kept() {
		i.missed(t.account, t.guess)
		return
	}
	i.forgive(ticket)
}

func (i *Identity) forgive(t guess.Ticket) {
	i.screened.Lock()
	defer i.screened.Unlock()
	i.guesses.Forgive(t, i.o.Now())
}

// refused tells the tally that the rates kept somebody from trying; the caller holds screened.
func (i *Identity) refused(r *record, a guess.Attempt, now time.Time) {
	if r != nil {
		i.tally.Refused(a, now)
	}
}

// missed tells the tally that a password was wrong.
func (i *Identity) missed(r *record, a guess.Attempt) {
	if r == nil {
		return
	}
	i.screened.Lock()
	defer i.screened.Unlock()
	i.tally.Wrong(a, i.o.Now())
}

// settle counts and remembers what the hash said.
func (i *Identity) settle(t trial, ticket guess.Ticket, w weighed, now time.Time) error {
	wrong := !w.Right || t.refusal != nil
	if wrong && !w.Proved {
		i.missed(t.account, t.guess)
	}
	i.screened.Lock()
	defer i.screened.Unlock()
	if !wrong || w.Proved {
		i.guesses.Forgive(ticket, now)
	}
	switch {
	case !wrong:
		i.right.put(t.memo, t.key, now)
		return nil
	case w.Refused && w.untold != nil:
		return w.untold
	case w.Refused:
		return unopened(w.Said) // it was not wrong: nothing is remembered
	case !t.account.kept():
		i.denied.put(t.memo, t.key, now)
	}
	if w.untold != nil {
		i.untold.put(t.memo, t.key, now)
		return w.untold
	}
	i.wrong.put(t.memo, t.key, now)
	return wrongPassword(t.refusal, "wrong password")
}

// admit lets in whoever proved to be r with c, if both are still what they were: a
// change of credential or standing during the exchange holds at once.
func (i *Identity) admit(ctx context.Context, r *record, c Credential, p Peer) (Proof, error) {
	key := r.Address.Key()
	now := i.record(key)
	if now == nil || now.Revision != r.Revision {
		return Proof{}, fail(ErrBadCredentials, RuleChanged, "the account was changed while it signed in")
	}
	if _, ok := now.credential(c.ID); !ok && c.ID != "" && c.Kind != KindToken {
		return Proof{}, fail(ErrBadCredentials, RuleChanged, "the credential was changed while it was used")
	}
	if err := now.refuses(c, p, i.o.Now()); err != nil {
		return Proof{}, err
	}
	i.remember(ctx, key, screen.Network(p.Remote), i.o.Now())
	all := []Credential{c}
	if now.SignIn == PolicyBoth {
		if shown, err := now.shown(p, i.o.Now()); err == nil { // refuses has asked
			all = append(all, shown)
		}
	}
	for _, c := range all {
		if c.Kind == KindToken || c.ID == "" {
			continue // it is none of the account's, or nobody knows which
		}
		i.noteUse(ctx, now, c.ID, p.endOf(c), i.o.Now())
	}
	return Proof{Account: now.Account, Credentials: all, For: p.For}.ending(p), nil
}

// rederive makes the secret that the present limits ask for; the caller holds a
// slot of the hasher.
func (i *Identity) rederive(t trial) *secret {
	s, err := newSecret(i.o.Rand, t.account.cost(i.limits()), t.account.salt(), t.typed, t.prepared)
	if err != nil {
		i.log(slog.LevelWarn, "a password could not be hashed anew", t.key, err)
		return nil
	}
	return &s
}

// upgrade stores a secret at the present cost for the same password, so that all
// accounts, and the decoys beside them, cost the same. The revision stays: what
// signed in with this password may go on.
func (i *Identity) upgrade(ctx context.Context, t trial, s secret) {
	_, err := i.change(ctx, t.account.Address, change{durability: store.Lazy, edit: func(old *record, _ uint64) (*record, error) {
		if old == nil || old.Revision != t.account.Revision ||
			old.PasswordRevision != t.account.PasswordRevision ||
			len(old.held) > 0 && !s.Scram.fits(old.secret.Scram) {
			return nil, ErrNoSuch
		}
		next := *old
		if next.secret = s; !s.Scram.fits(old.secret.Scram) {
			next.former = nil
		}
		return &next, nil
	}})
	if err != nil {
		i.log(slog.LevelWarn, "a password hashed anew could not be stored", t.key, err)
	}
}

// wrongPassword is one answer for every reason; only the rule and the evidence,
// which stay here, tell them apart. refusal is why no password would have been right.
func wrongPassword(refusal error, why string) error {
	if refusal != nil {
		return refusal
	}
	return fail(ErrBadCredentials, RuleBadPassword, why)
}

func limited(v guess.Verdict) error { return fail(ErrTooMany, Rule(v.Rule), v.Evidence) }
