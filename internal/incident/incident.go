package incident

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// State says whether an incident is over. The zero State is unknown.
type State uint8

const (
	StateUnknown  State = iota
	StateOpen           // the account is contained
	StateReleased       // a person let the account act again
	StatePurged         // the same, and what was held of the incident was removed
)

// String returns the word that is stored and shown.
func (s State) String() string {
	switch s {
	case StateOpen:
		return "open"
	case StateReleased:
		return "released"
	case StatePurged:
		return "purged"
	}
	return "unknown"
}

// MarshalText writes String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (s *State) UnmarshalText(b []byte) error {
	for _, v := range []State{StateOpen, StateReleased, StatePurged} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%s is no state of an incident", mail.Printable(string(b), mail.WordShown))
}

// RuleOperator is the rule of an incident that a person began.
const RuleOperator = fact.RuleOperator

// NoReason is the reason of an incident that a person began without one.
const NoReason = "frozen by an operator"

// Incident is one account that was contained, or something that accounts have in common and
// that was paused. A value: changed only by With and the Log.
type Incident struct {
	Number  uint64       `json:"number"`
	Account mail.Address `json:"account,omitzero"`
	// Shared is what is paused, where the incident is about no account; Accounts are those
	// whose messages are the evidence then, as far as they are told apart.
	Shared   Shared         `json:"shared,omitzero"`
	Accounts []mail.Address `json:"accounts,omitempty"`
	State    State          `json:"state"`
	At       time.Time      `json:"at"`    // when the account was contained
	Since    time.Time      `json:"since"` // the first thing that is part of it, as far as is known
	Rule     string         `json:"rule"`  // RuleOperator, or what found it
	By       string         `json:"by"`    // who contained the account
	Reason   string         `json:"reason"`
	// Quiet: a person decided that the owner is not told.
	Quiet bool `json:"quiet,omitempty"`
	// Odds is the evidence in one figure: how much more often it is seen when somebody
	// else uses the account; 0 where a person decided.
	Odds     float64  `json:"odds,omitempty"`
	Evidence []string `json:"evidence,omitempty"` // in words, the strongest first
	// Directory keeps the account's password, where it was when the account was contained; "": it is kept here.
	Directory string `json:"directory,omitempty"`
	// Credential is what was used, and CredentialOf when it had been made: a newer one is
	// another.
	Credential   string    `json:"credential,omitempty"`
	CredentialOf time.Time `json:"credential_of,omitzero"`
	// Used names the credentials of whoever gave cause, which are revoked with the
	// containment, as are all that were made Since; Revoked are those in words.
	Used    []string `json:"used,omitempty"`
	Revoked []string `json:"revoked,omitempty"`
	// Known: Used is all that was used of the account, so that what is left of it reads on.
	Known bool     `json:"known,omitempty"`
	Seen  []Origin `json:"seen,omitempty"`
	// Cause is the message that the evidence was complete with; zero: it was none.
	Cause Cause `json:"cause,omitzero"`

	Closed    time.Time `json:"closed,omitzero"`
	ClosedBy  string    `json:"closed_by,omitempty"`
	ClosedFor string    `json:"closed_for,omitempty"` // why
	Purged    int       `json:"purged,omitempty"`     // messages that were removed
}

// Origin is whence somebody acted as the account.
type Origin struct {
	Peer    netip.Addr   `json:"peer,omitzero"`
	Network netip.Prefix `json:"network,omitzero"`
	Door    string       `json:"door"`
	Program string       `json:"program,omitempty"` // as it calls itself: the argument of EHLO
	TLS     string       `json:"tls,omitempty"`
	Conn    string       `json:"conn,omitempty"`
	At      time.Time    `json:"at"`
}

// From says whence it was, within a sentence.
func (o Origin) From() string {
	switch {
	case o.Peer.IsValid():
		return o.Peer.String()
	case o.Network.IsValid():
		return o.Network.String()
	}
	return "this host"
}

// Cause is the message at whose end the account was contained.
type Cause struct {
	Queue      mail.ID  `json:"queue,omitzero"` // zero: it was not taken
	Sender     string   `json:"sender,omitempty"`
	MessageID  string   `json:"message_id,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
	Size       int64    `json:"size,omitempty"`
}

// IsZero reports whether there is none.
func (c Cause) IsZero() bool { return c.Sender == "" && len(c.Recipients) == 0 && c.Queue.IsZero() }

// Bounds of what one incident holds.
const (
	maxEvidence   = 64   // pieces of evidence of one incident
	maxOrigins    = 64   // of one incident: from where somebody was seen, and as many credentials that were used, and that were revoked
	maxRecipients = 1000 // recipients of the message that was the cause of one incident
	maxText       = 1000 // octets of each text of one incident
)

// ErrCredential says that an incident cannot end yet.
var ErrCredential = errors.New("incident: the password of the account is revoked, and it has no other yet")

// MayEnd says whether a person may end the incident of an account: what was used is dead,
// and its owner must have something to sign in with.
func (i Incident) MayEnd(a accounts.Account) error {
	if i.Rule == RuleOperator || !a.PasswordRevoked {
		return nil
	}
	return ErrCredential
}

// NewPassword is the command by which the account gets another password than the one that was revoked, and what it does.
func (i Incident) NewPassword() (command, does string) {
	command = "sallyport account passwd " + mail.ShellWord(i.Account.String())
	if i.Directory != "" {
		return command + " --directory", "takes its password again, once it was changed in the directory " + i.Directory
	}
	return command + " --generate", "gives it another password"
}

// Tokens is what must be done elsewhere before the incident ends, in words; "": nothing. Tokens are dead as long as it is
// open, and whoever may have them given out has new ones afterwards.
func (i Incident) Tokens() string {
	if !slices.Contains(i.Used, accounts.TokenID) {
		return ""
	}
	return "at the OpenID provider, first: end the sessions there and change what signs in to it; a token that it gives out after the end of the incident counts"
}

// with returns the incident with what was found later.
func (i Incident) with(more Incident) Incident {
	i.Evidence = append(slices.Clone(i.Evidence), more.Evidence...)
	if more.Reason != i.Reason {
		i.Evidence = append(i.Evidence, more.At.UTC().Format(time.RFC3339)+" "+more.By+": "+more.Reason)
	}
	i.Seen = append(slices.Clone(i.Seen), more.Seen...)
	i.Used, i.Revoked = append(slices.Clone(i.Used), more.Used...), append(slices.Clone(i.Revoked), more.Revoked...)
	for _, a := range more.Accounts {
		if !slices.Contains(i.Accounts, a) {
			i.Accounts = append(slices.Clone(i.Accounts), a)
		}
	}
	if i.Rule == RuleOperator && more.Rule != RuleOperator {
		// Evidence is not given up because a person was quicker.
		i.Rule, i.Odds, i.CredentialOf, i.Credential, i.Known = more.Rule, more.Odds, more.CredentialOf, more.Credential, more.Known
	}
	if i.Cause.IsZero() {
		i.Cause = more.Cause
	}
	if !more.Since.IsZero() && more.Since.Before(i.Since) {
		i.Since = more.Since
	}
	return i.bounded()
}

// bounded cuts what is beyond the bounds of one incident.
func (i Incident) bounded() Incident {
	i.Evidence = texts(i.Evidence, maxEvidence)
	i.Accounts = accountsOf(i.Accounts)
	i.Shared.Text = fact.Clean(i.Shared.Text, maxText)
	i.Used, i.Revoked = texts(i.Used, maxOrigins), texts(i.Revoked, maxOrigins)
	i.Seen = i.Seen[:min(len(i.Seen), maxOrigins)]
	i.Cause.Recipients = texts(i.Cause.Recipients, maxRecipients)
	i.Reason, i.By, i.Credential = fact.Clean(i.Reason, maxText), fact.Clean(i.By, maxText), fact.Clean(i.Credential, maxText)
	i.Seen = slices.Clone(i.Seen)
	for n := range i.Seen {
		i.Seen[n].Program = fact.Clean(i.Seen[n].Program, maxText)
	}
	return i
}

func texts(all []string, most int) []string {
	out := make([]string, 0, min(len(all), most))
	for _, s := range all[:min(len(all), most)] {
		out = append(out, fact.Clean(s, maxText))
	}
	return out
}
