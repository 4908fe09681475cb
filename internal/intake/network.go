package intake

import (
	"context"
	"net/netip"

	"sallyport/internal/accounts"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/trust"
)

// Networks is what intake needs of who guards the networks that sign in as accounts.
type Networks interface {
	// Account returns the network that a client lies in; why says why it does not count now,
	// "": it does; false: it lies in none.
	Account(a netip.Addr) (n trust.Network, why string, ok bool)
	// Saw is told what a client did that is not signed in, before it is answered.
	Saw(ctx context.Context, s trust.Sighting)
}

// direct is the address of the client as it arrived; false where a balancer named it, whose
// word gives no right.
func (s *session) direct() (netip.Addr, bool) {
	return s.conn.Remote.Addr().Unmap(), !s.conn.Balancer.IsValid()
}

// network returns the network that the client is taken for now.
func (s *session) network() (trust.Network, bool) {
	a, direct := s.direct()
	if s.in.Networks == nil || !direct || door(s.conn.Kind) != gate.DoorSubmission {
		return trust.Network{}, false
	}
	n, why, ok := s.in.Networks.Account(a)
	return n, ok && why == ""
}

// networkCounts reports whether the network still counts as whose client the session signed in.
func (s *session) networkCounts() bool {
	n, ok := s.network()
	return ok && n.Account.Key() == s.account().Address.Key()
}

// ofNetwork signs in a client of a trusted network as its account, where the sender is one of
// the account's; who gives another is asked to sign in. What it does else is told to who guards
// the networks. It returns a refusal, or none.
func (s *session) ofNetwork(ctx context.Context, from mail.ReversePath) (r mail.Reply) {
	if !s.anonymous() {
		return r
	}
	dir := s.in.Directory()
	s.sighted(ctx, trust.Sighting{Domain: foreignDomain(dir.Ownership(mail.Address{}, from), from)})
	n, ok := s.network()
	if !ok || dir.Ownership(n.Account, from) != gate.OwnershipOwned {
		return r
	}
	account, exists := s.in.Accounts.Lookup(n.Account)
	if !exists || account.Standing != accounts.StandingActive {
		return r
	}
	proof := accounts.NetworkProof(account)
	return s.visit.Network(ctx, proof,
		"the client lies in the network "+n.Name+", which signs in as this account",
		mail.R(250, "2.1.0", "sender ok"))
}

// byNetwork reports whether the session is that of a client of a trusted network.
func (s *session) byNetwork() bool {
	return !s.anonymous() && s.account().Credentials[0].Kind == accounts.KindNetwork
}

// leaveNetwork forgets that the session is one of a trusted network: what was said before a new
// EHLO does not count, so that its client may sign in as somebody.
func (s *session) leaveNetwork() {
	if s.byNetwork() {
		s.visit.Forget()
	}
}

// foreignDomain is the domain of a sender that is not ours; "": there is none.
func foreignDomain(o gate.Ownership, from mail.ReversePath) string {
	if o != gate.OwnershipForeign {
		return ""
	}
	a, _ := from.Address()
	return a.Domain().ASCII()
}

// sighted tells who guards the networks what the client did.
func (s *session) sighted(ctx context.Context, of trust.Sighting) {
	a, direct := s.direct()
	if s.in.Networks == nil || !direct || s.conn.Kind == server.KindSendmail {
		return
	}
	of.From, of.MX, of.Name = a, s.conn.Kind == server.KindMX, s.hello.Name
	s.in.Networks.Saw(ctx, of)
}
