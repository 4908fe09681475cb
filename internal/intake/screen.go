package intake

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/screen/policy"
	"sallyport/internal/spool"
)

// Screen judges who writes on port 25, before a recipient of ours is taken. It can only take
// away from what the gate would give.
type Screen interface {
	Judge(ctx context.Context, v policy.Visitor) policy.Judgement
	// Exempts reports whether a line about an address exempts it, whatever else is known.
	Exempts(client netip.Addr) bool
}

// screened asks the screen about a stranger who names a recipient of ours, which stands for whom
// a signed return path names, and lets them wait where it says so. The zero Reply goes on. Whether the recipient exists is not looked
// at yet, so that who is kept out learns nothing of it; relaying is the gate's to refuse.
func (t *transaction) screened(ctx context.Context, to, stands mail.Address) mail.Reply {
	if t.s.in.Screen == nil || t.door != gate.DoorMX || !t.s.anonymous() || t.dir.Classify(to).Foreign() {
		return mail.Reply{}
	}
	j := t.s.in.Screen.Judge(ctx, policy.Visitor{Client: peer(t.s.conn), Hello: t.s.hello.Name, From: t.draft.Envelope.From, To: stands})
	words := strings.Join(j.Words(), "; ")
	if j.Verdict != policy.Take {
		return t.s.refuse(ctx, fact.Fact{
			Rule: j.Rule, Reply: j.Reply, Sender: t.draft.Envelope.From.String(),
			Recipients: []string{to.String()}, Text: words,
		})
	}
	if words != "" {
		t.note(nil, []fact.Pair{{Name: "screen", Value: words}})
	}
	t.exempt = j.Rule == policy.RuleExempt
	t.flow.Exempt(t.exempt)
	if j.Wait > 0 {
		wait := time.NewTimer(j.Wait)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	return mail.Reply{}
}

// greylisted puts a stranger off whom neither the server nor the recipient knows, when they name
// a recipient of ours that would be taken. The roles are reached at once. The zero Reply goes on.
func (t *transaction) greylisted(ctx context.Context, ways []spool.Delivery, to mail.Address) mail.Reply {
	g := t.s.in.Greylist
	if g == nil || t.door != gate.DoorMX || !t.s.anonymous() || t.exempt || t.s.source() == (inflow.Source{}) || policy.IsRole(to) {
		return mail.Reply{}
	}
	if from, named := t.draft.Envelope.From.Address(); named && t.s.in.Acquainted != nil {
		for _, w := range ways {
			if t.s.in.Acquainted(ctx, w.Mailbox, from) {
				return mail.Reply{}
			}
		}
	}
	v := g.Judge(ctx, peer(t.s.conn), t.draft.Envelope.From, to)
	if v.OK {
		return mail.Reply{}
	}
	return t.refuse(ctx, greylist.Rule, v.Reply(), to.String())
}
