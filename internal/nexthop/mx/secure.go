package mx

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/client"
	"sallyport/internal/tlspolicy"
	"sallyport/internal/tlspolicy/dane"
	"sallyport/internal/tlspolicy/mtasts"
)

// secured is how a host must be secured, and what that was decided by.
type secured struct {
	facts   tlspolicy.Facts
	verdict tlspolicy.Verdict
	seen    *seen
}

// seen is what became of a host of which nothing is demanded.
type seen struct {
	broken bool  // its TLS failed, and clear text was used
	err    error // of a certificate that a testing policy would have had verify
}

// once returns w for one connection.
func (w secured) once() secured {
	w.seen = &seen{}
	return w
}

// learn asks for the domain's MTA-STS policy while other questions are on their way;
// the function that it returns waits for the answer. A message for which no policy
// matters asks for none.
func (s *search) learn(ctx context.Context) func() mtasts.Found {
	if s.t.o.STS == nil || s.to.literal.IsValid() || s.to.demand == mail.TLSOptional {
		return func() mtasts.Found { return mtasts.Found{} }
	}
	found := make(chan mtasts.Found, 1)
	go func() { found <- s.t.o.STS(ctx, s.to.domain) }()
	return func() mtasts.Found {
		f := <-found // it ends with ctx at the latest
		if f.Err != nil {
			s.reportPolicy(f)
		}
		return f
	}
}

// reportPolicy reports an announced policy that could not be had.
func (s *search) reportPolicy(f mtasts.Found) {
	s.t.o.Logger.Warn("no fresh MTA-STS policy", "destination", s.to.String(), "kept", f.Policy.Mode.String(), "err", f.Err)
	session := tlspolicy.Describe(tlspolicy.Facts{Domain: s.to.domain, STS: f})
	session.Kind, session.Failure, session.Reason = tlspolicy.KindSTS, mtasts.CauseFetch, f.Err.Error()
	var failed *mtasts.FetchError
	if errors.As(f.Err, &failed) {
		session.Failure = failed.Cause
	}
	s.tell(session)
}

func (s *search) tell(session tlspolicy.Session) {
	// RFC 8460 §5.3 asks that reports are not reported about; they, and all else that
	// does not mind, tell nothing about a policy.
	if s.t.o.Report != nil && !session.Domain.IsZero() && s.to.demand != mail.TLSOptional {
		s.t.o.Report(session)
	}
}

// aliased notes under which other name the next hop's records stand: a certificate
// may be for that. RFC 7672 §3.2.2.
func (s *search) aliased(n dnsx.Name) {
	if s.signed && !n.IsZero() && n != dnsx.NameOf(s.to.domain) {
		s.alias = n
	}
}

// secureDenial reports whether a validating resolver says that there is no record.
func secureDenial(err error) bool {
	var q *dnsx.LookupError
	return errors.As(err, &q) && dnsx.Permanent(err) && q.Secure
}

// judge finds out how a host must be secured. RFC 7672 §2.2.1: TLSA records count only
// behind names that are secure themselves.
func (s *search) judge(ctx context.Context, h host, addrs dnsx.Answer[netip.Addr]) secured {
	w := secured{facts: s.facts}
	w.facts.Host = h.name
	if s.t.o.DANE && s.signed && !h.literal.IsValid() && s.to.demand != mail.TLSOptional {
		w.facts.DANE = dane.Lookup(ctx, s.t.o.Resolver, h.name, addrs, s.t.o.Port)
	}
	w.verdict = tlspolicy.Decide(w.facts)
	return w
}

// refused notes a host that the policy keeps us from using.
func (s *search) refused(w secured, h host) {
	s.t.o.Logger.Warn("mail exchanger not used", "queue", s.id.String(), "destination", s.to.String(),
		"host", h.text(), "reply", w.verdict.Refusal.String())
	s.notes(w.verdict.Refusal, h.text())
	if w.verdict.Result == "" {
		return // it is nothing that the domain could mend
	}
	session := tlspolicy.Describe(w.facts)
	session.Failure, session.Reason = w.verdict.Result, w.verdict.Refusal.Text
	s.tell(session)
}

// policy puts the verdict into what the connection obeys.
func (s *search) policy(e endpoint) client.TLSPolicy {
	name := e.host.name.String()
	if e.host.literal.IsValid() {
		name = e.addr.String()
	}
	cfg := &tls.Config{ServerName: name, RootCAs: s.t.o.Roots}
	p := client.TLSPolicy{Config: cfg, Name: e.tls.verdict.Words}
	switch e.tls.verdict.Level {
	case tlspolicy.LevelOpportunistic:
		p.Mode = mail.TLSOpportunistic
		if e.tls.verdict.Rule == tlspolicy.RuleTesting {
			cfg.VerifyConnection = s.test(e, cfg.ServerName)
		} else {
			cfg.ClientSessionCache = s.t.sessions
		}
	case tlspolicy.LevelEncrypted:
		p.Mode, p.Unverified = mail.TLSRequired, true
		cfg.ServerName = e.tls.facts.DANE.Base.String()
	case tlspolicy.LevelVerified:
		p.Mode = mail.TLSRequired
		if e.tls.verdict.Rule == tlspolicy.RuleDANE {
			s.byRecords(e, cfg)
		}
	}
	// LevelRefused leaves the mode undecided, which nobody can connect with.
	return p
}

// byRecords lets the TLSA records alone verify the certificate.
func (s *search) byRecords(e endpoint, cfg *tls.Config) {
	f := e.tls.facts.DANE
	// RFC 7672 §3.2.2: names that the certificate of a DANE-TA may bear.
	names := []string{f.Base.String(), e.host.name.String(), s.to.domain.ASCII(), s.alias.String()}
	cfg.ServerName = f.Base.String() // RFC 7672 §8.1
	cfg.InsecureSkipVerify = true    // VerifyConnection is called all the same
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := f.Set.Verify(cs.PeerCertificates, names, s.t.o.Now())
		return err
	}
}

// test verifies as an enforced policy would, and only notes the result. RFC 8461 §5.
func (s *search) test(e endpoint, name string) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		e.tls.seen.err = tlspolicy.VerifyPKIX(cs.PeerCertificates, name, s.t.o.Roots, s.t.o.Now())
		return nil
	}
}

// secures reports whether a connection may be used, and reports how it was secured.
// RFC 8689 §4.2.1: a message that requires TLS passes over a host that does not take
// the parameter.
func (s *search) secures(e endpoint, c *client.Client) bool {
	s.report(e, c, nil)
	if s.to.demand != mail.RequireTLS || c.Offers("REQUIRETLS") {
		return true
	}
	s.tries++
	s.notes(mail.R(550, "5.7.30", "the message requires TLS all the way, and the mail exchanger does not support that (REQUIRETLS)"),
		c.Remote())
	_ = c.Close() // nothing was begun
	return false
}

// unserved is the answer for a host that could not be used. What a policy demands and
// the host does not have is named with both; everything else is as it would be
// without one.
func (s *search) unserved(e endpoint, where string, err error) mail.Reply {
	var conn *client.ConnError
	var refused *client.ReplyError
	failed := errors.As(err, &conn) && (conn.Stage == client.StageSTARTTLS || conn.Stage == client.StageTLS) ||
		errors.As(err, &refused) && refused.Stage == client.StageSTARTTLS
	if !failed || e.tls.verdict.Level == tlspolicy.LevelOpportunistic {
		return failureReply(where, err)
	}
	s.report(e, nil, err)
	return e.tls.verdict.Unmet(s.to.demand, where, err.Error())
}

// report tells how one session was secured: c is the connection, or err why there is
// none under TLS.
func (s *search) report(e endpoint, c *client.Client, err error) {
	if c != nil && e.tls.seen.broken {
		return // the failed handshake was reported
	}
	e.tls.seen.broken = c == nil
	session := tlspolicy.Describe(e.tls.facts)
	session.Address = e.addr
	if c != nil {
		session.Sender = c.LocalAddr()
	}
	switch {
	case errors.Is(err, client.ErrNoTLS), c != nil && c.TLS() == "":
		session.Failure, session.Reason = tlspolicy.ResultNoTLS, "the server does not offer STARTTLS, or not now"
	case err != nil:
		session.Failure, session.Reason = tlspolicy.ResultOf(err), err.Error()
	case e.tls.seen.err != nil:
		session.Failure, session.Reason = tlspolicy.ResultOf(e.tls.seen.err), e.tls.seen.err.Error()
	case e.tls.verdict.Result != "":
		session.Failure, session.Reason = e.tls.verdict.Result, e.tls.verdict.Words+" does not name the host"
	}
	s.tell(session)
}
