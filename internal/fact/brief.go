package fact

import (
	"strconv"
	"strings"
)

// Brief renders the fact as one short line for somebody who watches a server work:
// what became of whom, and why. Facts that only complete a story (connections that
// ended, what was forgotten) give "": Line and the trace itself have them.
//
//	14:03:12  accepted   0r5… from <alice@local.test> to <bob@remote.test> (1.2 KB)
func (f Fact) Brief() string {
	f = f.normalIn(f.At.Location())
	l := line{}
	switch f.Kind {
	case KindDisconnect, KindRetention, KindRefusals:
		return ""
	case KindAccept:
		l.message(f)
		l.from(f)
		l.to(f)
		l.amounts(f)
	case KindOutcome:
		l.message(f)
		l.to(f)
		l.outcome(f)
	case KindAuth:
		l.signIn(f)
	case KindRefuse:
		l.refusal(f)
	default:
		l.message(f)
		l.value(f.Account)
		l.to(f)
		l.word(free(f.Text))
		l.evidence(f)
	}
	return f.At.Format("15:04:05") + "  " + pad(f.verb(), 10) + " " + strings.Join(l.words, " ")
}

// verb is what happened in one word: an outcome by what the answer meant, a sign-in
// by its end.
func (f Fact) verb() string {
	switch {
	case f.Kind == KindOutcome && f.Rule != "":
		return f.Rule
	case f.Kind == KindAuth && f.Reply.OK():
		return "signed in"
	case f.Kind == KindAuth:
		return "refused"
	}
	return f.Kind.word()
}

func (l *line) message(f Fact) { l.word(f.Queue.String()) }

func (l *line) outcome(f Fact) {
	if f.Reply.OK() {
		l.remote("via", f.Remote)
		return
	}
	l.remote("by", f.Remote)
	l.reply(f.Reply)
	if f.Text != "" {
		l.word("(" + free(f.Text) + ")")
	}
}

func (l *line) signIn(f Fact) {
	l.value(f.Account)
	l.client(f)
	if mech, ok := f.Find("mechanism"); ok {
		l.named("with", mech)
	}
	if !f.Reply.OK() {
		l.reply(f.Reply)
		l.word("(" + f.Rule + ")")
	}
}

func (l *line) refusal(f Fact) {
	l.value(f.Account)
	l.client(f)
	l.from(f)
	l.to(f)
	if f.Reply.IsZero() { // it was refused without a word
		l.word(free(f.Text))
	} else {
		l.reply(f.Reply)
	}
	l.word("(" + f.Rule + ")")
	if f.Count > 1 {
		l.word(strconv.Itoa(f.Count) + " times")
	}
}

func (l *line) client(f Fact) {
	switch {
	case f.Peer.IsValid():
		l.named("from", f.Peer.String())
	case f.Network.IsValid():
		l.named("from", f.Network.String())
	}
}

func (l *line) evidence(f Fact) {
	for _, p := range f.Evidence {
		l.named(p.Name, p.Value)
	}
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-len(s)))
}
