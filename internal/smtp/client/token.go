package client

import (
	"encoding/json"
	"strings"

	"sallyport/internal/mail"
)

// external is RFC 4422, Appendix A: the handshake has said who we are, and user, which may
// be empty, who we would be.
type external struct{ user string }

func (e *external) step(challenge []byte) ([]byte, error) {
	// A server that ignored the initial response asks once more, with nothing.
	if len(challenge) > 0 {
		return nil, errChallenge
	}
	return []byte(e.user), nil
}

func (e *external) proven() bool { return true }

// bearer signs in with an access token. A server that refuses one says why in a challenge,
// which is answered so that it can end the exchange: RFC 7628 §3.2.3.
type bearer struct {
	message  []byte
	farewell []byte // after such a challenge: empty in XOAUTH2
	refused  bool
	why      string // the status that the server gave, "" for none
}

// xoauth2 is the message of the mechanism that came before RFC 7628 and that the large
// providers speak.
func xoauth2(user, token string) []byte {
	return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

// oauthbearer is the message of RFC 7628 §3.1, with the user as the GS2 header has him,
// RFC 5801 §4.
func oauthbearer(user, host, token string) []byte {
	b := "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",\x01"
	if host != "" {
		b += "host=" + host + "\x01"
	}
	return []byte(b + "auth=Bearer " + token + "\x01\x01")
}

func (b *bearer) step(challenge []byte) ([]byte, error) {
	switch {
	case len(challenge) == 0 && !b.refused:
		// The first step, or a server that ignored the initial response.
		return b.message, nil
	case b.refused:
		return nil, errChallenge
	}
	b.refused = true
	var said struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(challenge, &said) == nil {
		b.why = mail.PlainLine(said.Status, mail.NameShown)
	}
	return b.farewell, nil
}

// proven is false once the server has said that it refuses: it cannot accept then.
func (b *bearer) proven() bool { return !b.refused }

// said is what the server gave as its reason, for behind its reply.
func (b *bearer) said() string {
	if b.why == "" {
		return ""
	}
	return " (" + b.why + ")"
}
