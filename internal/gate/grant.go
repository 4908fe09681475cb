package gate

import (
	"cmp"
	"errors"
	"slices"

	"sallyport/internal/mail"
)

// MaxGrantRecipients bounds the recipients of one Grant. It lies above any number
// of recipients that a transaction may have.
const MaxGrantRecipients = 100_000

var (
	// ErrJoin says that grants do not speak of one transaction, account and sender.
	ErrJoin = errors.New("gate: the grants do not belong together")
	// ErrGrantSize says that a grant would name more than MaxGrantRecipients.
	ErrGrantSize = errors.New("gate: the grant names too many recipients")
)

// Grant is the right to send one transaction's message from one sender to its
// recipients, on the answer of one account. It is immutable. Only Decide makes
// one, and Restore remakes what Decide made. The zero Grant covers nothing.
type Grant struct {
	tx         mail.ID
	account    mail.Address
	sender     mail.ReversePath
	recipients []mail.Address // sorted by compareAddress, each once
	kind       kind
}

// kind says who wrote the message. The zero kind is what most are: an account of ours, or
// whoever uses it.
type kind uint8

const (
	kindOfAccount kind = iota
	kindOfNotice       // the server's own word about the account, which nothing of the account holds
	kindOfReport       // written by the server for other domains, in the name of the account
)

// IsZero reports whether there is no grant.
func (g Grant) IsZero() bool { return g.tx.IsZero() || len(g.recipients) == 0 }

// Transaction returns the queue id that the grant was given for.
func (g Grant) Transaction() mail.ID { return g.tx }

// Account returns the account that answers for the message, or, of a notice, that it is
// about.
func (g Grant) Account() mail.Address { return g.account }

// Answers returns the account whose standing and whose queue say whether the message may
// leave; zero for a notice, which leaves whatever became of the account.
func (g Grant) Answers() mail.Address {
	if g.kind == kindOfNotice {
		return mail.Address{}
	}
	return g.account
}

// Report reports whether the server wrote the message, as a report to other domains. Nobody
// who signed in did, so that what becomes of it tells nothing of who uses the account.
func (g Grant) Report() bool { return g.kind == kindOfReport }

// Sender returns the envelope sender that the grant allows.
func (g Grant) Sender() mail.ReversePath { return g.sender }

// Recipients returns the recipients that the grant allows. The caller owns the
// slice.
func (g Grant) Recipients() []mail.Address { return slices.Clone(g.recipients) }

// Covers reports whether the grant allows exactly this transaction, sender and
// recipient. Addresses are compared as they are written, not as mailboxes: what
// leaves is what was judged.
func (g Grant) Covers(tx mail.ID, sender mail.ReversePath, rcpt mail.Address) bool {
	if g.IsZero() || tx != g.tx || sender != g.sender || rcpt.IsZero() {
		return false
	}
	_, found := slices.BinarySearchFunc(g.recipients, rcpt, compareAddress)
	return found
}

// Join unites the grants that the recipients of one transaction were given. It
// fails with ErrJoin for no grants, for a zero one, and for grants of different
// transactions, accounts or senders; with ErrGrantSize for too many recipients.
func Join(gs ...Grant) (Grant, error) {
	if len(gs) == 0 {
		return Grant{}, ErrJoin
	}
	all := make([]mail.Address, 0, len(gs))
	for _, g := range gs {
		if g.IsZero() || g.tx != gs[0].tx || g.account != gs[0].account || g.sender != gs[0].sender || g.kind != gs[0].kind {
			return Grant{}, ErrJoin
		}
		all = append(all, g.recipients...)
	}
	slices.SortFunc(all, compareAddress)
	all = slices.Compact(all)
	if len(all) > MaxGrantRecipients {
		return Grant{}, ErrGrantSize
	}
	return Grant{tx: gs[0].tx, account: gs[0].account, sender: gs[0].sender, recipients: all, kind: gs[0].kind}, nil
}

// compareAddress orders addresses so that only equal ones compare as 0.
func compareAddress(a, b mail.Address) int {
	al, _ := a.Literal()
	bl, _ := b.Literal()
	return cmp.Or(
		cmp.Compare(a.Domain().ASCII(), b.Domain().ASCII()),
		cmp.Compare(a.Local(), b.Local()),
		al.Compare(bl),
	)
}
