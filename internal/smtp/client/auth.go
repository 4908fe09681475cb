package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"sallyport/internal/mail"
)

// mechanism is one way to sign in, as steps: the first takes nil and makes the
// initial response, unless the server speaks first; every later one answers a
// challenge. proven reports, at the end, whether the server has proved what the
// mechanism makes it prove.
type mechanism interface {
	step(challenge []byte) (response []byte, err error)
	proven() bool
}

// maxAuthSteps bounds an exchange; SCRAM has three.
const maxAuthSteps = 4

// signIn signs in, if the options say so, by the strongest mechanism that the
// server offers. Options.check has made sure that TLS is on. RFC 4954.
func (cl *Client) signIn() error {
	if cl.o.Auth == nil {
		return nil
	}
	offered, _ := cl.caps.Params("AUTH")
	for i, name := range offered {
		offered[i] = strings.ToUpper(name)
	}
	for _, name := range cl.o.Auth.mechanisms() {
		if !slices.Contains(offered, name) {
			continue
		}
		m, err := cl.mechanism(name)
		if err != nil {
			return cl.giveUp(err)
		}
		if m != nil {
			return cl.authenticate(name, m)
		}
	}
	if cl.o.Auth.bare() {
		return cl.knownByCertificate()
	}
	return cl.giveUp(ErrNoAuth)
}

// mechanisms returns those that the credentials are for, the best first.
func (c *Credentials) mechanisms() []string {
	switch {
	case c.Token != "":
		return []string{"XOAUTH2", "OAUTHBEARER"}
	case c.bare():
		return []string{"EXTERNAL"}
	}
	return []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}
}

// knownByCertificate goes on without signing in where the handshake has done it: a server
// that asked for no certificate knows nobody, and would refuse as a stranger's what it
// takes from us.
func (cl *Client) knownByCertificate() error {
	if !cl.showed {
		return cl.giveUp(ErrNotAsked)
	}
	return nil
}

func (cl *Client) giveUp(err error) error {
	cl.c.fail(err)
	return cl.c.fault(StageAuth)
}

// mechanism makes the exchange of a name; nil when it cannot be used here.
func (cl *Client) mechanism(name string) (mechanism, error) {
	user, password := cl.o.Auth.User, cl.o.Auth.Password
	switch name {
	case "PLAIN":
		return &plain{[]byte("\x00" + user + "\x00" + password)}, nil
	case "LOGIN":
		return &login{answers: []string{user, password}}, nil
	case "EXTERNAL":
		if !cl.showed {
			return nil, ErrNotAsked
		}
		return &external{user}, nil
	case "XOAUTH2":
		return &bearer{message: xoauth2(user, cl.o.Auth.Token)}, nil
	case "OAUTHBEARER":
		return &bearer{message: oauthbearer(user, cl.o.Host, cl.o.Auth.Token), farewell: []byte{1}}, nil
	}
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return nil, fmt.Errorf("%w: the password cannot be prepared for SCRAM", ErrNoAuth)
	}
	binding, bound := cl.channelBinding()
	s := &scramExchange{maxIterations: cl.o.Limits.SCRAMIterations}
	switch {
	case name == "SCRAM-SHA-256-PLUS" && bound:
		s.talk = client.NewConversationWithChannelBinding(binding)
	case name == "SCRAM-SHA-256-PLUS":
		return nil, nil
	case bound:
		// RFC 5802 §6: the flag "y" lets a server that does offer PLUS see that
		// somebody took the offer away.
		s.talk = client.NewConversationAdvertisingChannelBinding()
	default:
		s.talk = client.NewConversation()
	}
	return s, nil
}

// channelBinding returns what SCRAM binds to: in TLS 1.3 the exporter of RFC 9266,
// before it the certificate, RFC 5929 §4.
func (cl *Client) channelBinding() (scram.ChannelBinding, bool) {
	state, ok := cl.tlsState()
	if !ok {
		return scram.ChannelBinding{}, false
	}
	b, err := scram.NewTLSExporterBinding(&state)
	if state.Version < 0x0304 {
		b, err = scram.NewTLSServerEndpointBinding(&state)
	}
	return b, err == nil
}

// authenticate runs one exchange. RFC 4954 §4.
func (cl *Client) authenticate(name string, m mechanism) error {
	line := "AUTH " + name
	secrets := []string{cl.o.Auth.Password, cl.o.Auth.Token}
	if _, serverFirst := m.(*login); !serverFirst {
		first, err := m.step(nil)
		if err != nil {
			return cl.giveUp(ErrNoAuth)
		}
		line += " " + encode(first)
		secrets = append(secrets, encode(first))
	}
	r, err := cl.c.exchange(StageAuth, line, cl.o.Timeouts.Auth)
	for range maxAuthSteps {
		if err != nil || r.Code != 334 {
			break
		}
		answer, failed := cl.answer(m, r)
		if failed != nil {
			return cl.giveUp(failed)
		}
		secrets = append(secrets, answer)
		r, err = cl.c.exchange(StageAuth, answer, cl.o.Timeouts.Auth)
	}
	switch {
	case err != nil:
		return err
	case r.Code != 235:
		if b, ok := m.(*bearer); ok {
			r.Text += b.said()
		}
		r.Text = without(r.Text, secrets)
		return &ReplyError{Reply: r, Stage: StageAuth}
	case !m.proven():
		return cl.giveUp(fmt.Errorf("%w: it accepted us before the exchange was over", ErrProtocol))
	}
	return nil
}

// without leaves out of a server's text what we signed in with, as it is and as it was
// sent: what a server says goes into the log, the trace and the bounce, and some say back
// what they refuse.
func without(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "...")
		}
	}
	return text
}

// answer turns a challenge into the line that answers it.
func (cl *Client) answer(m mechanism, r mail.Reply) (string, error) {
	challenge, err := base64.StdEncoding.DecodeString(r.Text)
	if err != nil {
		return "", fmt.Errorf("%w: a challenge is not base64", ErrProtocol)
	}
	response, err := m.step(challenge)
	if err != nil {
		// The texts of the library may quote what the server sent.
		return "", fmt.Errorf("%w: %s", ErrProtocol, mail.Printable(err.Error(), mail.TextShown))
	}
	return base64.StdEncoding.EncodeToString(response), nil
}

// encode writes an initial response; "=" stands for an empty one. RFC 4954 §4.
func encode(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

var errChallenge = errors.New("one challenge too many")

// plain is RFC 4616.
type plain struct{ message []byte }

func (p *plain) step(challenge []byte) ([]byte, error) {
	// A server that ignored the initial response asks once more, with nothing.
	if len(challenge) > 0 {
		return nil, errChallenge
	}
	return p.message, nil
}

func (p *plain) proven() bool { return true }

// login is the mechanism of old servers: the user, then the password, whatever
// the words that ask for them.
type login struct{ answers []string }

func (l *login) step([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, errChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

func (l *login) proven() bool { return len(l.answers) == 0 }

// scramExchange is RFC 5802 with SHA-256, RFC 7677. The server proves that it
// knows the password's verifier too.
type scramExchange struct {
	talk          *scram.ClientConversation
	maxIterations int
}

func (s *scramExchange) step(challenge []byte) ([]byte, error) {
	if err := s.bound(string(challenge)); err != nil {
		return nil, err
	}
	out, err := s.talk.Step(string(challenge))
	return []byte(out), err
}

func (s *scramExchange) proven() bool { return s.talk.Valid() }

// bound refuses the hashing that a hostile server would put us to, before the
// library does it.
func (s *scramExchange) bound(challenge string) error {
	for field := range strings.SplitSeq(challenge, ",") {
		text, ok := strings.CutPrefix(field, "i=")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(text); err != nil || n > s.maxIterations {
			return errors.New("too many iterations are asked for")
		}
	}
	return nil
}
