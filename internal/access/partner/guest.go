package partner

import (
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/signin"
)

// guest is a client of the partner, as the desk asks about it.
type guest struct {
	login Login
	id    string
	began time.Time
	visit *signin.Visit
}

// Peer implements signin.Guest. A certificate counts for EXTERNAL alone, and only where the partner
// checked it.
func (g *guest) Peer() accounts.Peer {
	p := accounts.Peer{Remote: g.login.Remote.Unmap(), For: accounts.ScopeReceive, Partner: accounts.Partner{Secured: g.login.Secured}}
	if g.login.external() && g.login.Certificate {
		p.Partner.Holder = g.login.User
	}
	return p
}

// Seen implements signin.Guest.
func (g *guest) Seen(p accounts.Proof) fact.Session {
	of := fact.Session{Conn: g.id, Peer: g.login.Remote.Unmap(), Door: g.door(), Account: p.Address.String()}
	if g.login.Secured {
		of.TLS = "at the partner"
	}
	if ids := p.CredentialIDs(); ids != "" {
		of.Evidence = append(of.Evidence, fact.Pair{Name: fact.EvidenceCredential, Value: ids})
	}
	return of
}

// door names where somebody signs in. What the partner calls a service that is none of ours is not
// taken for the name of a door.
func (g *guest) door() string {
	if !slices.Contains(Services(), g.login.Service) {
		return DoorPrefix + "other"
	}
	return DoorPrefix + g.login.Service
}

// Began implements signin.Guest.
func (g *guest) Began() time.Time { return g.began }

// Offer implements signin.Guest: what the client offered to the partner is not known.
func (g *guest) Offer() string { return "" }

// Program implements signin.Guest.
func (g *guest) Program(mechanism string) string {
	return g.door() + " " + mechanism
}

// Known implements signin.Guest: the partner counts its own connections.
func (g *guest) Known(func() bool) {}

// End implements signin.Guest. The session is the partner's, and has not begun.
func (g *guest) End() {}
