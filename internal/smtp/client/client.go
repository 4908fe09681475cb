package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

// Client is one connection to a server, greeted, secured and signed in as its
// Options say. Send, Reset and Quit take turns; Close may be called at any time.
type Client struct {
	o      Options
	c      *conn
	caps   wire.Capabilities
	remote string
	tls    string
	showed bool // our certificate was asked for

	turn  sync.Mutex // held by whoever speaks
	dirty bool       // the last transaction may still be open: RSET comes first
	sent  int        // transactions begun

	maxMails, maxRcpts, maxDomains int // what LIMITS said; 0: nothing

	unkept []string // extensions that were offered, and are not kept
}

// New takes over nc, which it closes when it fails: it waits for the greeting,
// says EHLO (HELO to a server that knows no EHLO), turns to TLS and signs in. The
// error is a *ReplyError, a *ConnError, or says which option is missing.
func New(ctx context.Context, nc net.Conn, o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	cl := &Client{o: o, c: newConn(nc, o.Limits, o.Timeouts.DataBlock), remote: remoteName(o.Host, nc.RemoteAddr())}
	stop := context.AfterFunc(ctx, func() { cl.c.fail(interrupted(ctx)) })
	defer stop()
	if err := cl.setUp(ctx); err != nil {
		cl.c.fail(ErrClosed)
		return nil, err
	}
	return cl, nil
}

// remoteName is who speaks in outcomes: "mx.example [192.0.2.1]:25".
func remoteName(host string, a net.Addr) string {
	where := "[?]"
	if a != nil {
		if ip, port, err := net.SplitHostPort(a.String()); err == nil {
			where = "[" + ip + "]:" + port
		}
	}
	if host == "" {
		return where
	}
	return host + " " + where
}

func (cl *Client) setUp(ctx context.Context) error {
	if cl.o.TLS.Mode == mail.TLSImplicit {
		if err := cl.secure(ctx); err != nil {
			return err
		}
	}
	greeting, err := cl.c.greeting(cl.o.Timeouts.Greeting)
	if err != nil {
		return err
	}
	// RFC 5321 §3.1: 220, or a refusal such as 554.
	if greeting.Code != 220 {
		return &ReplyError{Reply: greeting, Stage: StageGreeting}
	}
	if err := cl.hello(); err != nil {
		return err
	}
	if err := cl.startTLS(ctx); err != nil {
		return err
	}
	if err := cl.signIn(); err != nil {
		return err
	}
	return cl.c.start()
}

// hello says EHLO and learns what the server offers. RFC 5321 §4.1.1.1.
func (cl *Client) hello() error {
	verb := "EHLO "
	if cl.o.LMTP {
		verb = "LHLO " // RFC 2033 §4.1
	}
	stage := StageHello
	if cl.tls != "" && cl.o.TLS.Mode != mail.TLSImplicit {
		stage = StageHelloTLS
	}
	r, err := cl.c.exchange(stage, verb+cl.o.Hello.ASCII(), cl.o.Timeouts.Hello)
	if err != nil {
		return err
	}
	cl.caps = wire.Capabilities{}
	switch {
	case r.Code == 250:
		cl.caps = wire.ParseCapabilities(r.Text)
		cl.readLimits()
		return nil
	case r.Class() != mail.ClassPermanent || cl.tls != "" || cl.o.LMTP:
		return &ReplyError{Reply: r, Stage: stage}
	}
	// RFC 5321 §3.2: a server too old for EHLO is greeted with HELO.
	r, err = cl.c.exchange(StageHello, "HELO "+cl.o.Hello.ASCII(), cl.o.Timeouts.Hello)
	if err == nil && r.Code != 250 {
		err = &ReplyError{Reply: r, Stage: StageHello}
	}
	return err
}

// readLimits reads the LIMITS capability. RFC 9422 §3: what can't be read is as if
// it were not there.
func (cl *Client) readLimits() {
	cl.maxMails, cl.maxRcpts, cl.maxDomains = 0, 0, 0
	words, _ := cl.caps.Params("LIMITS")
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n, err := strconv.ParseUint(value, 10, 20)
		if err != nil || n == 0 {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			cl.maxMails = int(n)
		case "RCPTMAX":
			cl.maxRcpts = int(n)
		case "RCPTDOMAINMAX":
			cl.maxDomains = int(n)
		}
	}
}

// startTLS turns to TLS where the mode asks for it. RFC 3207 §4.
func (cl *Client) startTLS(ctx context.Context) error {
	mode := cl.o.TLS.Mode
	if mode == mail.TLSNone || mode == mail.TLSImplicit {
		return nil
	}
	if !cl.caps.Has("STARTTLS") {
		if mode == mail.TLSRequired {
			return &ConnError{Stage: StageSTARTTLS, Err: ErrNoTLS}
		}
		return nil
	}
	wait := cl.o.Timeouts.Hello
	if mode == mail.TLSOpportunistic {
		wait = min(wait, cl.o.Timeouts.TLS) // there is a way without: it must not take all the time there is
	}
	r, err := cl.c.exchange(StageSTARTTLS, "STARTTLS", wait)
	switch {
	case err != nil:
		return err
	case r.Code != 220 && mode == mail.TLSOpportunistic && r.Code != 421:
		return cl.refusedTLS(&ReplyError{Reply: r, Stage: StageSTARTTLS}, wait)
	case r.Code != 220:
		return &ReplyError{Reply: r, Stage: StageSTARTTLS}
	}
	if err := cl.secure(ctx); err != nil {
		return err
	}
	// RFC 3207 §4.2: what was learnt in clear text is forgotten.
	return cl.hello()
}

// refusedTLS goes on in clear text on the same connection, if the server does: some
// refuse and hang up.
func (cl *Client) refusedTLS(refused *ReplyError, wait time.Duration) error {
	r, err := cl.c.exchange(StageSTARTTLS, "RSET", wait)
	if err == nil && r.Code == 421 {
		err = &ReplyError{Reply: r, Stage: StageSTARTTLS}
	}
	cl.o.TLS.Name, cl.o.TLS.Failed = WithoutTLS(refused), true
	return err
}

// secure makes the connection TLS. Opportunistic TLS trusts any certificate: what
// it replaces is clear text. RFC 7435.
func (cl *Client) secure(ctx context.Context) error {
	cfg := cl.o.TLS.Config.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	opportunistic := cl.o.TLS.Mode == mail.TLSOpportunistic
	if opportunistic || cl.o.TLS.Unverified {
		cfg.InsecureSkipVerify = true
	}
	cl.present(cfg)
	if err := cl.c.handshake(ctx, cfg, cl.o.Timeouts.TLS); err != nil {
		cl.c.fail(tlsFault(err))
		return cl.c.fault(StageTLS)
	}
	state, _ := cl.tlsState()
	cl.tls = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	if opportunistic || cl.o.TLS.Unverified {
		cl.tls += " (unverified)"
	}
	return nil
}

// present shows our certificate, where there is one, to a server that asks. It is sent
// whatever authorities the server names, since it was named for this server: Go alone would
// withhold it in silence. A session is not resumed: it would hold the certificate of then.
func (cl *Client) present(cfg *tls.Config) {
	if cl.o.Auth == nil || cl.o.Auth.Certificate == nil {
		return
	}
	cfg.ClientSessionCache = nil
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cl.showed = true
		return cl.o.Auth.Certificate, nil
	}
}

// tlsFault keeps the words of a failed handshake: a certificate that does not
// verify is for the operator to read about.
func tlsFault(err error) error {
	cause := lost(err)
	if errors.Is(cause, ErrLost) {
		return &handshakeError{err}
	}
	return cause
}

// handshakeError is a connection lost in the handshake, and why.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string {
	return ErrLost.Error() + ": " + mail.Printable(e.err.Error(), mail.FaultShown)
}

func (e *handshakeError) Unwrap() []error { return []error{ErrLost, e.err} }

func (cl *Client) tlsState() (tls.ConnectionState, bool) {
	tc, ok := cl.c.net.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, false
	}
	return tc.ConnectionState(), true
}

// TLS returns the protocol and the cipher in use, "" for clear text.
func (cl *Client) TLS() string { return cl.tls }

// verified reports whether the connection is one to a server whose certificate was
// demanded to verify, and did.
func (cl *Client) verified() bool {
	m := cl.o.TLS.Mode
	return cl.tls != "" && !cl.o.TLS.Unverified && (m == mail.TLSRequired || m == mail.TLSImplicit)
}

// Remote returns who the server is: the name it was configured by and its address.
func (cl *Client) Remote() string { return cl.remote }

// Token returns the access token that signed us in, "" where none did.
func (cl *Client) Token() string {
	if cl.o.Auth == nil {
		return ""
	}
	return cl.o.Auth.Token
}

// LocalAddr returns our own address of the connection, the zero Addr where it has none.
func (cl *Client) LocalAddr() netip.Addr {
	ap, err := netip.ParseAddrPort(cl.c.net.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Offers reports whether the server's last reply to EHLO had the keyword, which is
// given in capitals.
func (cl *Client) Offers(keyword string) bool { return cl.caps.Has(keyword) }

// MaxRecipients returns how many recipients the server takes in one transaction,
// 0 when it did not say. RFC 9422 §4.2.
func (cl *Client) MaxRecipients() int { return cl.maxRcpts }

// Usable reports whether another message may be sent. A server that closed the
// connection, or spoke unasked, makes it unusable by itself.
func (cl *Client) Usable() bool {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	return cl.usable()
}

// usable also counts transactions. RFC 9422 §4.1.
func (cl *Client) usable() bool {
	return cl.c.alive() && !cl.c.strange.Load() && (cl.maxMails == 0 || cl.sent < cl.maxMails)
}

// Reset ends whatever transaction is open at the server.
func (cl *Client) Reset(ctx context.Context) error {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	r, err := cl.command(ctx, StageReset, "RSET", cl.o.Timeouts.Reset)
	if err != nil {
		return err
	}
	if r.Code != 250 {
		return cl.c.nonsense(StageReset, r)
	}
	cl.dirty = false
	return nil
}

// Quit says goodbye, waits shortly for the answer, and closes. The error says only
// that the server was not polite. RFC 5321 §4.1.1.10.
func (cl *Client) Quit(ctx context.Context) error {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	defer cl.c.fail(ErrClosed)
	r, err := cl.command(ctx, StageQuit, "QUIT", cl.o.Timeouts.Quit)
	if err == nil && r.Code != 221 {
		err = &ReplyError{Reply: r, Stage: StageQuit}
	}
	return err
}

// Close drops the connection at once. What a Send has under way is deferred.
func (cl *Client) Close() error {
	cl.c.fail(ErrClosed)
	return nil
}

// command sends one line and waits for its reply, after start.
func (cl *Client) command(ctx context.Context, stage Stage, line string, d time.Duration) (mail.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, ErrTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { cl.c.fail(interrupted(ctx)) })()
	if err := cl.c.send(stage, []byte(line+"\r\n"), 1); err != nil {
		return mail.Reply{}, err
	}
	return cl.c.wait(stage, d)
}
