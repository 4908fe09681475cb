package intake

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/trust"
)

// known are accounts that stand as it says, and fallen why what was proved gives no right any more.
type known struct {
	*accounts.Identity
	standing accounts.Standing
	silent   bool
	missing  bool
	fallen   string
}

func (k known) Lookup(a mail.Address) (accounts.Account, bool) {
	of := accounts.Account{Address: a, Standing: k.standing}
	of.Source.Silent = k.silent
	return of, !k.missing
}

func (k known) Fallen(accounts.Proof) string { return k.fallen }

// trusted is a network that signs in as an account.
type trusted struct {
	Networks
	account mail.Address
	why     string
	not     bool
}

func (n trusted) Account(netip.Addr) (trust.Network, string, bool) {
	return trust.Network{Account: n.account}, n.why, !n.not
}

// sessionOf is a session of a kind that signed in with a credential of a kind; "": nobody did.
func sessionOf(t *testing.T, k known, n Networks, kind server.Kind, who string, with accounts.Kind) *session {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	in := New(Options{Limits: DefaultLimits(), Now: now, Accounts: k, Networks: n, Binding: func() bind.Mode { return bind.Report }, Notice: "ask us"})
	s := &session{in: in, conn: &server.Conn{Kind: kind}}
	s.visit = signin.New(signin.Options{Accounts: k, Limits: signin.DefaultLimits(), Now: now}).Visit(s)
	if who != "" && !s.visit.Local(accounts.Proof{Account: accounts.Account{Address: address(t, who)}, Credentials: []accounts.Credential{{Kind: with}}, For: accounts.ScopeSend}) {
		t.Fatal("one session is too many")
	}
	return s
}

// The gate is told with what a session signed in, and how its account stands now.
func TestWhatTheGateIsTold(t *testing.T) {
	const alice = "alice@local.test"
	frozen := known{standing: accounts.StandingFrozen, fallen: "frozen"}
	active := known{standing: accounts.StandingActive}
	revoked := known{standing: accounts.StandingActive, fallen: "the password is another one"}
	hers, bobs := trusted{account: address(t, "ALICE@local.test")}, trusted{account: address(t, "bob@local.test")}
	paused, nowhere := trusted{account: hers.account, why: "a gateway came"}, trusted{account: hers.account, not: true}
	for name, row := range map[string]struct {
		k    known
		n    Networks
		kind server.Kind
		who  string
		with accounts.Kind
		want gate.Facts
	}{
		"nobody":            {active, hers, server.KindSubmission, "", 0, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone}},
		"a stranger":        {active, nil, server.KindMX, "", 0, gate.Facts{Door: gate.DoorMX, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone}},
		"a password":        {active, nil, server.KindSubmissions, alice, accounts.KindPassword, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingActive}},
		"in a network":      {active, hers, server.KindSubmissions, alice, accounts.KindPassword, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingActive}},
		"a certificate":     {active, nil, server.KindSubmissions, alice, accounts.KindCertificate, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthCertificate, Standing: gate.StandingActive}},
		"an access token":   {active, nil, server.KindSubmissions, alice, accounts.KindToken, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthToken, Standing: gate.StandingActive}},
		"a frozen one's":    {frozen, nil, server.KindSubmissions, alice, accounts.KindCertificate, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthCertificate, Standing: gate.StandingFrozen}},
		"a revoked one":     {revoked, nil, server.KindSubmissions, alice, accounts.KindPassword, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingRevoked}},
		"who may not send":  {known{standing: accounts.StandingActive, silent: true, fallen: "silent"}, nil, server.KindSubmissions, alice, accounts.KindPassword, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingFrozen}},
		"who is gone":       {known{standing: accounts.StandingActive, missing: true, fallen: "gone"}, nil, server.KindSubmissions, alice, accounts.KindPassword, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingFrozen}},
		"a user":            {active, nil, server.KindSendmail, alice, accounts.KindLocal, gate.Facts{Door: gate.DoorSendmail, Peer: gate.PeerStranger, Auth: gate.AuthLocalUID, Standing: gate.StandingActive}},
		"a network":         {active, hers, server.KindSubmission, alice, accounts.KindNetwork, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerProvenNetwork, Auth: gate.AuthNetworkAccount, Standing: gate.StandingActive}},
		"another's network": {active, bobs, server.KindSubmission, alice, accounts.KindNetwork, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthNetworkAccount, Standing: gate.StandingActive}},
		"a paused network":  {active, paused, server.KindSubmission, alice, accounts.KindNetwork, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthNetworkAccount, Standing: gate.StandingActive}},
		"no network now":    {active, nowhere, server.KindSubmission, alice, accounts.KindNetwork, gate.Facts{Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthNetworkAccount, Standing: gate.StandingActive}},
	} {
		if got := sessionOf(t, row.k, row.n, row.kind, row.who, row.with).facts(); got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

// Binding only reports for whom a message can name as its sender, at the doors where our people hand
// it in, and where somebody said that it does.
func TestForWhomBindingOnlyReports(t *testing.T) {
	for _, row := range []struct {
		kind server.Kind
		who  string
		want bind.Mode
	}{
		{server.KindSubmission, "alice@local.test", bind.Report}, {server.KindSubmissions, "alice@local.test", bind.Report}, {server.KindSendmail, "alice@local.test", bind.Report},
		{server.KindMX, "alice@local.test", bind.Enforce}, {server.KindSubmission, "", bind.Enforce}, {server.KindSubmission, "jürgen@local.test", bind.Enforce},
	} {
		s := sessionOf(t, known{standing: accounts.StandingActive}, nil, row.kind, row.who, accounts.KindPassword)
		if got := s.binding(); got != row.want {
			t.Errorf("%v of %q: %v", row.kind, row.who, got)
		}
		if s.in.Binding = nil; s.binding() != bind.Enforce {
			t.Errorf("%v of %q: it reports where nobody said so", row.kind, row.who)
		}
	}
}

// The administrator's word stands behind what a stranger is refused for want of a right, and nowhere
// else.
func TestWhoIsToldTheNotice(t *testing.T) {
	for _, row := range []struct {
		who  string
		rule gate.Rule
		told bool
	}{
		{"", gate.RuleRelayDenied, true}, {"", gate.RuleMXOwnSender, true},
		{"", gate.RuleSignInRequired, true}, {"", gate.RuleNoSuchUser, false},
		{"alice@local.test", gate.RuleRelayDenied, false},
	} {
		s := sessionOf(t, known{standing: accounts.StandingActive}, nil, server.KindSubmission, row.who, accounts.KindPassword)
		want := "no"
		if row.told {
			want = "no; ask us"
		}
		if got := s.noticed(fact.Fact{Rule: string(row.rule), Reply: mail.R(550, "5.7.1", "no")}); got.Text != want {
			t.Errorf("%q, %s: %q", row.who, row.rule, got.Text)
		}
	}
}
