package intake

import (
	"context"
	"strconv"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// LocalUser is a user of this host who runs the sendmail command.
type LocalUser struct {
	Name    string       // as the host calls him; "" if it does not know him
	Account mail.Address // zero: he has none
	Why     string       // why he has none, in words for himself
}

// Who shows a user in facts: "alice (uid 1000)".
func (u LocalUser) Who(uid uint32) string {
	number := "uid " + strconv.FormatUint(uint64(uid), 10)
	if u.Name == "" {
		return number
	}
	return u.Name[:min(len(u.Name), mostUserName)] + " (" + number + ")"
}

// mostUserName is how many octets of the name of a user of this host are told.
const mostUserName = 64

// recognise takes the user whom the kernel named for the account that he sends as.
// The greeting tells him which: "220 mx.local.test ESMTP account=<alice@local.test>".
func (s *session) recognise(ctx context.Context) (server.Session, mail.Reply) {
	s.local = &LocalUser{}
	if s.in.LocalUser != nil {
		*s.local = s.in.LocalUser(s.conn.UID)
	}
	account, exists := s.in.Accounts.Lookup(s.local.Account)
	if s.local.Account.IsZero() || !exists {
		return nil, s.turnAway()
	}
	if !s.visit.Local(accounts.LocalProof(account)) {
		return nil, s.refuse(ctx, fact.Fact{Rule: signin.RuleSessionsPerAccount, Reply: mail.R(421, "4.7.0", "too many sessions of this account")})
	}
	return s, mail.R(220, "", "account=<"+account.Address.String()+">")
}

// disowned refuses a user who is another account's by now, or nobody's: what the configuration says of him
// holds at his next message, though he stays connected. The zero Reply goes on.
func (s *session) disowned(ctx context.Context) mail.Reply {
	if s.conn.Kind != server.KindSendmail || s.in.LocalUser == nil || s.in.LocalUser(s.conn.UID).Account == s.local.Account {
		return mail.Reply{}
	}
	return s.refuse(ctx, fact.Fact{Rule: RuleLocalUserUnknown, Reply: mail.R(530, "5.7.0", "this user does not send as that account any more; connect again")})
}

// turnAway refuses a user without an account, and tells him what the administrator
// has to do.
func (s *session) turnAway() mail.Reply {
	why := s.local.Why
	switch {
	case why != "":
	case s.local.Account.IsZero():
		why = "this user has no account to send as"
	default:
		why = "this user's account " + s.local.Account.String() + " does not exist"
	}
	f := fact.Refused{
		At: s.in.Now(), Rule: RuleLocalUserUnknown, Session: s.seen(), Detail: s.local.Who(s.conn.UID),
		Reply: mail.R(554, "5.7.1", s.local.Who(s.conn.UID)+": "+why),
	}
	s.in.Journal.Stranger(f.Fact())
	return f.Reply
}
