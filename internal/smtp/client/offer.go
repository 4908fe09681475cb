package client

import (
	"slices"

	"sallyport/internal/mail"
)

// What a server offers is not always what it does: something in between may have written the offer, or know
// less than it. A message needs none of these extensions, so that one that is not kept loses none.
const (
	pipelining = "PIPELINING" // RFC 2920
	chunking   = "CHUNKING"   // RFC 3030
	sizes      = "SIZE"       // RFC 1870
	dsn        = "DSN"        // RFC 3461
)

// Together returns the extensions by which more than one command, or a message without its own end, is sent at once.
func Together() []string { return []string{pipelining, chunking} }

// Forgo has the connection do without extensions, named as a server names them, as if they were not offered.
func (cl *Client) Forgo(extensions ...string) {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	if slices.ContainsFunc(extensions, cl.caps.Has) {
		cl.caps = cl.caps.Without(extensions...)
	}
}

// Unkept returns the extensions that the server offered on this connection and does not seem to do.
func (cl *Client) Unkept() []string {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	return slices.Clone(cl.unkept)
}

func (cl *Client) doubt(extensions ...string) {
	for _, e := range extensions {
		if cl.caps.Has(e) && !slices.Contains(cl.unkept, e) {
			cl.unkept = append(cl.unkept, e)
		}
	}
}

// OfferUnkept reports whether a recipient was put off only because the server did not take a command as it had
// offered to: it has said nothing of the message, and may be asked at once without that.
func OfferUnkept(o mail.Outcome) bool {
	return !o.Said && o.Reply.Code == unkeptCode && o.Reply.Enhanced == mail.Enhanced{Class: 4, Subject: 5, Detail: 4}
}

const unkeptCode = 451

func unkept(r mail.Reply) mail.Reply {
	return mail.R(unkeptCode, "4.5.4", "the server does not do what it offers: "+brief(r).String())
}

// ofParameters reports whether a reply is about the parameters of MAIL or RCPT. RFC 5321 §4.2.3: 504 and 555;
// 501 says as much of other things, unless its enhanced code tells. RFC 3463 §3.6
func ofParameters(r mail.Reply) bool {
	return r.Code == 504 || r.Code == 555 || r.Code == 501 && r.Enhanced == mail.Enhanced{Class: 5, Subject: 5, Detail: 4}
}

// ofCommand reports whether a reply is about a command that is not known, or came at the wrong moment.
func ofCommand(r mail.Reply) bool { return r.Code == 500 || r.Code == 502 || r.Code == 503 }

// unkeptParameters reports whether a reply to a command refuses parameters that the server offered to take, and
// decides for whom it was.
func (t *transaction) unkeptParameters(cmd command, r mail.Reply) bool {
	given := t.cl.caps.Has(sizes) || t.cl.caps.Has(dsn)
	if cmd.stage == StageRcpt {
		given = t.cl.caps.Has(dsn)
	}
	if !given || !ofParameters(r) || t.env.TLS == mail.RequireTLS || t.needsUTF8() {
		return false
	}
	t.cl.doubt(sizes, dsn)
	if cmd.stage == StageRcpt {
		t.decide(cmd.rcpt, unkept(r))
	} else {
		t.decideAll(unkept(r))
	}
	return true
}

// unkeptOrder reports whether a reply says that the server does not bear commands that come together. What
// is undecided is then sent anew, over another connection: this one is out of step.
func (t *transaction) unkeptOrder(r mail.Reply) bool {
	if !t.cl.caps.Has(pipelining) || !ofCommand(r) {
		return false
	}
	t.cl.doubt(Together()...)
	t.decideAll(unkept(r))
	return true
}

// unkeptChunk reports whether a reply to BDAT says that the server does not know it. It may have read the
// message as commands: nothing more is sent to it.
func (t *transaction) unkeptChunk(r mail.Reply) bool {
	if !t.chunking() || !ofCommand(r) && !ofParameters(r) && r.Code != 501 {
		return false
	}
	t.cl.doubt(chunking)
	t.decideAll(unkept(r))
	return true
}
