package accounts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xdg-go/scram"
)

// nonceOctets is the chance in the server's part of the nonce.
const nonceOctets = 24

// ChannelBinding reports whether SCRAM-SHA-256-PLUS can be offered on a
// connection: exactly where the connection exports keys (TLS 1.3, and TLS 1.2
// with the extended master secret). What advertises mechanisms must go by the
// same rule, because a client that could bind but was not offered it is taken for
// one that was deceived.
func (i *Identity) ChannelBinding(state *tls.ConnectionState) bool {
	return len(bindings(Peer{TLS: state})) > 0
}

// bindings returns what the client may bind to: tls-exporter (RFC 9266 §3), and
// besides it tls-server-end-point where our certificate is known (RFC 5929 §4).
func bindings(p Peer) []scram.ChannelBinding {
	state := p.TLS
	if state == nil || !state.HandshakeComplete {
		return nil
	}
	exporter, err := scram.NewTLSExporterBinding(state)
	if err != nil {
		return nil
	}
	out := []scram.ChannelBinding{exporter}
	if p.Certificate != nil {
		// The library hashes the first certificate of a peer; here it is ours.
		ours := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{p.Certificate}}
		if b, err := scram.NewTLSServerEndpointBinding(ours); err == nil {
			out = append(out, b)
		}
	}
	return out
}

// scramState is what a SCRAM exchange keeps between its messages.
type scramState struct {
	x       *Exchange
	talk    *scram.ServerConversation
	key     string
	account *record // nil: a decoy answers
	secret  secret  // the account's, or the decoy
	first   string  // the client-first-message
	nonce   string  // of ours
}

// scramFirst takes the client-first-message. RFC 5802 §5.
func (x *Exchange) scramFirst(_ context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, x.scramFirst, nil
	}
	msg, err := scramText(response)
	if err != nil {
		return nil, nil, err
	}
	nonce := make([]byte, nonceOctets)
	if _, err := io.ReadFull(x.id.o.Rand, nonce); err != nil {
		return nil, nil, fmt.Errorf("accounts: reading random octets: %w", err)
	}
	s := &scramState{x: x, first: msg, nonce: base64.StdEncoding.EncodeToString(nonce)}
	if s.talk, err = s.newTalk(s.lookup); err != nil {
		return nil, nil, err
	}
	answer, err := s.talk.Step(msg)
	if err != nil {
		return nil, nil, scramFault(answer, err)
	}
	if s.key == "" {
		_, err := parseUser(x.user)
		return nil, nil, err
	}
	if err := sameIdentity(s.talk.AuthzID(), x.user); err != nil {
		return nil, nil, err
	}
	return []byte(answer), s.final, nil
}

// newTalk prepares the conversation for what the client says about channel
// binding at the start of its first message. RFC 5802 §6.
func (s *scramState) newTalk(lookup scram.CredentialLookup) (*scram.ServerConversation, error) {
	server, err := scram.SHA256.NewServer(lookup)
	if err != nil {
		return nil, err
	}
	x := s.x
	server.WithNonceGenerator(func() string { return s.nonce })
	flag, _, _ := strings.Cut(s.first, ",")
	kind, binds := strings.CutPrefix(flag, "p=")
	offered := bindings(x.peer)
	switch {
	case binds != (x.mechanism == MechScramPlus):
		return nil, fail(ErrBadCredentials, RuleBinding, "the mechanism and the client's channel binding flag contradict each other")
	case binds:
		for _, b := range offered {
			if string(b.Type) == kind {
				return server.NewConversationWithChannelBindingRequired(b), nil
			}
		}
		return nil, fail(ErrBadCredentials, RuleBinding, "the channel binding type is not supported on this connection")
	case len(offered) > 0 && slices.Contains(x.id.offered(), MechScramPlus):
		// With a binding at hand the library refuses the flag "y": such a client
		// can bind and was told that we cannot.
		return server.NewConversationWithChannelBinding(offered[0]), nil
	}
	return server.NewConversation(), nil
}

// lookup finds the credentials of a user, or feigns them. RFC 5802 §7.
func (s *scramState) lookup(user string) (scram.StoredCredentials, error) {
	s.x.names(user)
	a, err := parseUser(user)
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	s.key = a.Key()
	r, found := s.x.id.secretOf(s.key)
	s.account, s.secret = r, found
	return found.Scram.credentials(), nil
}

// appOf finds the app password that the client's final message proves. Each is tried in a
// conversation of its own, which begins like the one that the client sees, since salt and
// rounds are the same. As many are tried for every name, so that nobody learns by the time
// whether there is such an account, or what it has.
func (s *scramState) appOf(msg string) (c Credential, answer string, ok bool) {
	var apps []held
	if s.account != nil && s.account.acts(s.x.peer.For) {
		apps = s.account.held
	}
	for n := range s.x.id.limits().Credentials {
		verifier, mine := s.secret.Scram.ofNobody(), n < len(apps) && apps[n].App != nil
		if mine {
			verifier.StoredKey, verifier.ServerKey = apps[n].App.StoredKey, apps[n].App.ServerKey
		}
		if said, proved := s.proves(verifier, msg); proved && mine {
			c, answer, ok = apps[n].Credential, said, true
		}
	}
	return c, answer, ok
}

// proves reports whether the final message proves a verifier other than the one that the client
// saw, with the same salt and rounds.
func (s *scramState) proves(v scramVerifier, msg string) (answer string, ok bool) {
	talk, err := s.newTalk(func(string) (scram.StoredCredentials, error) { return v.credentials(), nil })
	if err != nil {
		return "", false
	}
	if _, err := talk.Step(s.first); err != nil {
		return "", false
	}
	answer, err = talk.Step(msg)
	return answer, err == nil && talk.Valid()
}

// ofNobody returns a verifier that goes with the same first message and that no proof fits, to be
// tried where there is no other. The account's own would not do: its password fits it each time,
// and what follows takes long enough to tell.
func (v scramVerifier) ofNobody() scramVerifier {
	v.StoredKey, v.ServerKey = make([]byte, hashOctets), make([]byte, hashOctets)
	return v
}

// isFormer reports whether the final message proves a former password of the account: a device
// that has not heard of the change. As many are tried for every name.
func (s *scramState) isFormer(msg string) (yes bool) {
	for n := range formerPasswords {
		v, mine := s.secret.Scram.ofNobody(), s.account != nil && n < len(s.account.former)
		if mine {
			v.StoredKey = s.account.former[n]
		}
		_, proved := s.proves(v, msg)
		yes = yes || proved && mine
	}
	return yes
}

// final takes the client-final-message and answers with the server's signature,
// but only to somebody whom it will let in.
func (s *scramState) final(_ context.Context, response []byte) ([]byte, step, error) {
	msg, err := scramText(response)
	if err != nil {
		return nil, nil, err
	}
	c, answer, ok := s.appOf(msg)
	if ok {
		// Nobody guesses one: no rate is asked.
		if err := s.account.refuses(c, s.x.peer, s.x.id.o.Now()); err != nil {
			return nil, nil, err
		}
	} else if c, answer, err = s.judge(msg); err != nil {
		return nil, nil, err
	}
	return []byte(answer), s.confirmed(c), nil
}

// judge asks the rates and checks the proof of the account's own password. It is charged
// before, so that proofs at the same time cannot exceed the rate.
func (s *scramState) judge(msg string) (c Credential, answer string, err error) {
	i := s.x.id
	if s.account != nil {
		c = s.account.password()
	}
	refusal := s.account.refuses(c, s.x.peer, i.o.Now())
	attempt := i.guessOf(s.key, s.account, s.x.peer)
	ticket, err := i.charge(s.account, attempt)
	if err != nil {
		return c, "", err
	}
	answer, err = s.talk.Step(msg)
	switch {
	case err != nil && answer != scram.ErrInvalidProof:
		i.forgive(ticket)
		return c, "", scramFault(answer, err) // nothing was guessed
	case err == nil && s.talk.Valid() && refusal == nil:
		i.forgive(ticket)
		return c, answer, nil
	case s.isFormer(msg):
		// One wrong proof cannot be told from another, but that of a former password can.
		i.forgive(ticket)
		attempt.Repeat = true
		if _, err := i.charge(s.account, attempt); err != nil {
			return c, "", err
		}
		return c, "", wrongPassword(refusal, "a former password")
	}
	i.missed(s.account, attempt)
	return c, "", wrongPassword(refusal, "wrong password")
}

// confirmed takes the empty response to the server-final-message. RFC 4954 §4.
func (s *scramState) confirmed(c Credential) step {
	return func(ctx context.Context, response []byte) ([]byte, step, error) {
		if len(response) != 0 {
			return nil, nil, fail(ErrMalformed, RuleMalformed, "the last response of SCRAM is empty")
		}
		proof, err := s.x.id.admit(ctx, s.account, c, s.x.peer)
		if err != nil {
			return nil, nil, err
		}
		s.x.proof = proof
		return nil, nil, nil
	}
}

// scramText admits what RFC 5802 §7 does: UTF-8 without control characters.
func scramText(response []byte) (string, error) {
	if len(response) == 0 || !utf8.Valid(response) || strings.IndexFunc(string(response), unicode.IsControl) >= 0 {
		return "", fail(ErrMalformed, RuleMalformed, "a SCRAM message is empty or no text")
	}
	return string(response), nil
}

// scramFault sorts the library's refusals by the server-error that it would
// send. The errors themselves hold what the client wrote, and are dropped.
func scramFault(answer string, err error) error {
	if e, ok := err.(*SignInError); ok {
		return e
	}
	switch answer {
	case scram.ErrServerDoesSupportChannelBinding:
		return fail(ErrBadCredentials, RuleDowngrade,
			"the client could bind to the channel and was told that we cannot: somebody may stand between")
	case scram.ErrChannelBindingsDontMatch:
		return fail(ErrBadCredentials, RuleBinding, "the channel binding is not this connection's: somebody may stand between")
	}
	return fail(ErrMalformed, RuleMalformed, "a SCRAM message is not in its grammar")
}
