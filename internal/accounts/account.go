package accounts

import (
	"fmt"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/mail"
)

// Account is one account as it stands: a value, never changed afterwards.
type Account struct {
	Address      mail.Address `json:"address"`
	Standing     Standing     `json:"standing"`
	FrozenReason string       `json:"frozen_reason,omitempty"`
	// ReadsOn: it is frozen since somebody misused a credential that is known and revoked, so that
	// it is read on with the others.
	ReadsOn bool      `json:"reads_on,omitempty"`
	Role    Role      `json:"role"`
	Created time.Time `json:"created"`
	// Named is when it got its address; zero: it has had no other.
	Named           time.Time `json:"named,omitzero"`
	PasswordChanged time.Time `json:"password_changed"`
	// PasswordRevision numbers the change that made the password what it is, and names it
	// as a credential; 0: it was made before credentials had names.
	PasswordRevision uint64 `json:"password_revision,omitempty"`
	// PasswordRevoked: there is no password until a new one is set.
	PasswordRevoked bool   `json:"password_revoked,omitempty"`
	SignIn          Policy `json:"sign_in"`
	// CertificateAlone: who shows its certificate in TLS need not say AUTH.
	CertificateAlone bool `json:"certificate_alone,omitempty"`
	// RecipientsHour and RecipientsDay are the most recipients that the account may write
	// to within any hour and any day; 0: what its role may.
	RecipientsHour int `json:"recipients_hour,omitempty"`
	RecipientsDay  int `json:"recipients_day,omitempty"`
	// Without names, separated by commas, the extensions of IMAP that its programs are not offered;
	// what they mean is for the engine to say. "": it is offered all.
	Without string `json:"without,omitempty"`
	// QuotaOctets and QuotaMessages are the most that its mailbox may hold; 0: what its domain's
	// may; math.MaxInt64: any amount.
	QuotaOctets   int64 `json:"quota_octets,omitempty"`
	QuotaMessages int64 `json:"quota_messages,omitempty"`
	// Revision grows with every change of standing, role or policy, and is
	// never used again, not even by another account of the same address. A
	// session that signed in under another revision must not go on.
	Revision uint64 `json:"revision"`
	// Source says where it comes from, if not from here.
	Source Source `json:"source,omitzero"`
}

// Standing says whether an account may act. The zero value is unknown and may not.
type Standing uint8

const (
	StandingUnknown Standing = iota // its record cannot be read
	StandingActive
	StandingFrozen // receives, but does not send, nor sign in but to read where ReadsOn says so
	// These two are never stored: Account.seen says when they are.
	StandingUnlisted // its directory does not list it: there is nobody
	StandingDisputed // two places say that it is theirs: receives, but neither signs in nor sends
)

// String returns the word that is stored and shown.
func (s Standing) String() string {
	switch s {
	case StandingActive:
		return "active"
	case StandingFrozen:
		return "frozen"
	case StandingUnlisted:
		return "unlisted"
	case StandingDisputed:
		return "disputed"
	}
	return "unknown"
}

// MarshalText writes String.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (s *Standing) UnmarshalText(b []byte) error {
	for _, v := range []Standing{StandingUnknown, StandingActive, StandingFrozen, StandingUnlisted, StandingDisputed} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%s is no standing of an account", mail.Printable(string(b), mail.WordShown))
}

// acts reports whether the account may be used for s now.
func (a Account) acts(s Scope) bool {
	switch a.Standing {
	case StandingActive:
		return true
	case StandingFrozen:
		return a.ReadsOn && s == ScopeReceive && a.Receives()
	}
	return false
}

// MaxRecipients is the largest limit of recipients that an account may have.
const MaxRecipients = 10_000_000

// Sending is what an account may send.
type Sending struct {
	Role           Role
	RecipientsHour int // 0: what its role may
	RecipientsDay  int
}

// Validate says what is wrong with it.
func (s Sending) Validate() error {
	if s.Role != RolePerson && s.Role != RoleBulk {
		return fmt.Errorf("%w: a role is person or bulk", ErrInvalid)
	}
	for _, n := range []int{s.RecipientsHour, s.RecipientsDay} {
		if n < 0 || n > MaxRecipients {
			return fmt.Errorf("%w: a limit of recipients is from 1 to %d", ErrInvalid, MaxRecipients)
		}
	}
	return nil
}

// Role says what kind of sender an account is. The zero value is unknown, and no
// account can be made with it.
type Role uint8

const (
	RoleUnknown Role = iota
	RolePerson
	RoleBulk // sends to many recipients by purpose: newsletters, shops
)

// String returns the word that is stored and shown.
func (r Role) String() string {
	switch r {
	case RolePerson:
		return "person"
	case RoleBulk:
		return "bulk"
	}
	return "unknown"
}

// ParseRole reads a role that an account can be made with.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{RolePerson, RoleBulk} {
		if r.String() == s {
			return r, nil
		}
	}
	return RoleUnknown, fmt.Errorf("%s is no role; a role is person or bulk", mail.Printable(s, mail.WordShown))
}

// MarshalText writes String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (r *Role) UnmarshalText(b []byte) error {
	if string(b) == RoleUnknown.String() {
		*r = RoleUnknown
		return nil
	}
	v, err := ParseRole(string(b))
	*r = v
	return err
}

// Allowance says how many recipients the account may have: what was set for it, and for
// the rest what its role has. What is no account has none.
func (a Account) Allowance(person, bulk budget.Limits) budget.Limits {
	own := budget.Limits{Hour: a.RecipientsHour, Day: a.RecipientsDay}
	switch a.Role {
	case RolePerson:
		return own.Or(person)
	case RoleBulk:
		return own.Or(bulk)
	}
	return budget.Limits{}
}
