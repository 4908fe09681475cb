package hijack

import "time"

// Event is something that an account did, or that was done with its credentials. The
// kinds are those of this package.
type Event interface{ when() time.Time }

// Submitted is a message that an account submits, before the answer to it is given. One
// message is one event, however many recipients it has.
type Submitted struct {
	At         time.Time
	Recipients Recipients
}

// Recipients are counted by what they are to the account, aliases expanded, as [Classify]
// tells. Each is counted once, except that Strangers are also counted as what else they
// are.
type Recipients struct {
	Known        int // the account corresponded with them a day ago or longer
	Recent       int // it wrote to them for the first time within the last day: that says nothing
	NewToAccount int // it never wrote to them, somebody at this site did
	NewToSite    int // nobody at this site ever did
	// Strangers are those of the two above who have no correspondent in common with the
	// account. It counts only where Acquainted says that the account has enough
	// correspondents for that to mean anything.
	Strangers  int
	Acquainted bool
	// Again are new to the account as well, but it was judged for them within the last day, by a message that
	// is not with them yet or was not taken: they count for the bounds, and say nothing.
	Again   int
	Invalid int // refused by us in the same transaction
	// Elsewhere are those of all but Invalid of whom other servers say whether there are
	// such people: whether they are refused is not known yet, and Answered tells it.
	Elsewhere int
}

// fresh is how many are new to the account.
func (r Recipients) fresh() int { return r.NewToAccount + r.NewToSite }

// judged is how many say something.
func (r Recipients) judged() int { return r.fresh() + r.Known }

// Total is how many recipients the message has.
func (r Recipients) Total() int { return r.judged() + r.Recent + r.Again }

// sane returns r without negative counts, which no message has.
func (r Recipients) sane() Recipients {
	for _, n := range []*int{&r.Known, &r.Recent, &r.NewToAccount, &r.NewToSite, &r.Strangers, &r.Again, &r.Invalid, &r.Elsewhere} {
		*n = max(0, min(*n, mostCounted))
	}
	r.Strangers, r.Elsewhere = min(r.Strangers, r.fresh()), min(r.Elsewhere, r.Total())
	return r
}

// mostCounted bounds what one event can count, so that sums cannot overflow.
const mostCounted = 1 << 20

// Waiting asks for recipients whose message was accepted earlier and who did not get
// leave then. It is no evidence; Verdict.Leave says how many may go now.
type Waiting struct {
	At         time.Time
	Recipients int
}

// Answered tells what became of recipients: by us, in a transaction from which no message
// came, or by servers that a message was handed to, later. What is refused in a transaction
// from which a message comes is Recipients.Invalid of that. Of each recipient it is told once.
type Answered struct {
	At      time.Time
	Refused int // for good
	Of      int // so many of whom it is known now
	All     int // recipients of the transaction or the message; the others are told of by other events
}

// BindingFailed tells that the account claimed a sender that is not its own.
type BindingFailed struct {
	At time.Time
	// Sender is the claimed one. The same one again, from a client that does not give
	// up, says nothing.
	Sender Fingerprint
}

// SignedIn tells that somebody signed in with a credential of the account.
type SignedIn struct {
	At         time.Time
	NewNetwork bool // from where the account did not sign in before
	NewProgram bool // with a client program that it did not use before
	// NewPlace: the network is far from all from which the account ever signed in, or it is the
	// first of all. One place is nothing; a program that comes from one after another is no person's.
	NewPlace bool
}

// ForwardChanged tells that the account's forward leads to somebody outside to whom it did not,
// or that the account may send as somebody else from now on.
type ForwardChanged struct{ At time.Time }

func (e Submitted) when() time.Time      { return e.At }
func (e Waiting) when() time.Time        { return e.At }
func (e Answered) when() time.Time       { return e.At }
func (e BindingFailed) when() time.Time  { return e.At }
func (e SignedIn) when() time.Time       { return e.At }
func (e ForwardChanged) when() time.Time { return e.At }
