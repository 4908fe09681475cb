package server

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	smtpwire "sallyport/internal/smtp/wire"
)

const (
	// refusalWriteTimeout bounds the sending of a refusal into an empty socket.
	refusalWriteTimeout = 100 * time.Millisecond
)

// errNobody refuses a connection whose user the kernel does not tell.
var errNobody = errors.New("server: nobody knows whose connection this is")

// server is what the connections of one listener share.
type server struct {
	cfg     Config
	backend Backend
	buffers smtpwire.Buffers

	commandLimit, authLimit smtpwire.LineLimit

	admission *Admission
	entrance  *door.Entrance
	secured   door.TLS // what cfg.TLS was made of; zero: it is used as it was given
}

func newServer(cfg Config, b Backend) (*server, error) {
	if err := cfg.check(b); err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, backend: b, admission: cfg.Admission}
	if s.admission == nil {
		s.admission = NewAdmission(door.NewAdmission())
	}
	s.entrance = &door.Entrance{
		Name: cfg.Kind.String(), Admission: s.admission.Admission, Limits: &s.cfg.Limits.Limits, Balancers: cfg.Balancers, Stage: screen.StageFresh,
		Now: cfg.Now, Logger: cfg.Logger, Counted: &door.Tallies{}, Engine: s,
	}
	if cfg.Kind == KindSendmail {
		s.entrance.Stage = screen.StageOurs // the kernel says who it is
	}
	s.commandLimit = cfg.Limits.commandLine
	s.authLimit = func([]byte) int { return cfg.Limits.AuthLineOctets }
	return s, nil
}

// ServeConn serves one connection and closes it. An unfit configuration closes it
// at once, with an error in the log if there is one.
func ServeConn(ctx context.Context, nc net.Conn, cfg Config, b Backend) {
	s, err := newServer(cfg, b)
	if err != nil {
		if cfg.Logger != nil {
			cfg.Logger.Error("connection closed", "err", err)
		}
		_ = nc.Close()
		return
	}
	s.entrance.One(ctx, nc)
}

// admit starts a connection, or refuses it when there are too many.
func (s *server) admit(ctx context.Context, nc net.Conn, conns *sync.WaitGroup) {
	if s.cfg.closed() {
		s.turnAway(nc, door.AddrPort(nc.RemoteAddr()).Addr(), door.RuleCertificateAwaited, mail.R(421, "4.3.2", "there is no certificate yet; try again later"))
		return
	}
	s.entrance.Admit(ctx, nc, conns)
}

// TurnAway implements door.Engine.
func (s *server) TurnAway(nc net.Conn, from netip.Addr) {
	s.turnAway(nc, from, door.RuleConnectionsCrowded, tooMany())
}

// Headless implements door.Engine.
func (s *server) Headless(balancer netip.Addr, why string) {
	s.unserved(Unserved{Kind: s.cfg.Kind, Remote: balancer, Rule: door.RuleProxyHeader, Why: why})
}

// Serve runs one connection to its end. It speaks on a goroutine of the crew, whose stack has grown
// for that, and rests on its own, which has hardly any: the frames from here to its rest are kept small.
func (s *server) Serve(ctx context.Context, nc net.Conn, from *door.Origin, p *door.Place) {
	socket := door.SocketOf(nc)
	if !socket.Exists() {
		s.begin(ctx, nc, socket, from, p)
		return
	}
	var c *conn
	s.admission.crew.Do(func() { c = s.begin(ctx, nc, socket, from, p) })
	for c != nil && c.resting {
		c.rest()
		s.admission.crew.Do(c.goOn)
	}
}

// begin runs a connection to its end, or until it rests; nil: it is not served.
func (s *server) begin(ctx context.Context, nc net.Conn, socket door.Socket, from *door.Origin, p *door.Place) *conn {
	c, err := s.newConn(nc, from)
	if err != nil {
		s.cfg.Logger.Error("connection not served", "err", err)
		_ = nc.Close()
		return nil
	}
	c.socket, c.place = socket, p
	p.Ending(c.giveWay)
	c.live(ctx)
	c.goOn()
	return c
}

// live makes the context of the connection, which outlives ctx by the grace given to a message in
// progress. release ends it.
func (c *conn) live(ctx context.Context) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		c.interrupt()
		door.Pause(inner, c.limits.ShutdownGrace)
		cancel()
		c.abandon()
	})
	c.ctx, c.release = inner, func() {
		stop()
		cancel()
	}
}

func (s *server) newConn(nc net.Conn, from *door.Origin) (*conn, error) {
	started := s.cfg.Now()
	id, err := mail.NewID(started, rand.Reader)
	if err != nil {
		return nil, err
	}
	uid, known := uint32(0), true
	if s.cfg.UserID != nil {
		uid, known = s.cfg.UserID(nc)
	}
	if !known {
		return nil, errNobody
	}
	w := &wire{limits: &s.cfg.Limits, now: s.cfg.Now, raw: nc, nc: nc, ends: started.Add(s.cfg.Limits.SessionDuration)}
	w.in = smtpwire.NewLineReader(w, &s.buffers)
	network := screen.Network(door.Counted(from.Remote.Addr()))
	var hold *allowance.Hold
	if s.cfg.Memory != nil {
		if hold = s.cfg.Memory.Stranger(network); s.cfg.Kind == KindSendmail {
			hold.Known()
		}
		w.in.Within(hold)
	}
	c := &conn{wire: w, srv: s, hold: hold, info: Conn{
		ID: id.String(), Kind: s.cfg.Kind, Started: started,
		Remote: from.Remote, Local: door.AddrPort(nc.LocalAddr()), Balancer: from.Balancer, Network: network, UID: uid, End: w.interrupt,
	}}
	c.info.Known, c.info.Vouch = c.known, c.vouch
	return c, nil
}

func tooMany() mail.Reply { return mail.R(421, "4.7.0", "too many connections; try again later") }

// turnAway refuses a connection before it costs anything. Under implicit TLS a
// reply in clear would only confuse.
func (s *server) turnAway(nc net.Conn, from netip.Addr, rule string, r mail.Reply) {
	if s.cfg.Kind == KindSubmissions {
		r.Text += " (nothing was said, since TLS comes first)"
	} else if nc.SetWriteDeadline(s.cfg.Now().Add(refusalWriteTimeout)) == nil {
		// It fits into the empty buffer of a fresh socket; if not, it is lost.
		_, _ = nc.Write(smtpwire.AppendReply(nil, r))
	}
	_ = nc.Close()
	s.entrance.Counted.Refused.Add(s.entrance, "connections refused")
	s.unserved(Unserved{Kind: s.cfg.Kind, Remote: from, Rule: rule, Reply: r})
}

// unserved tells of a connection that nobody else hears of.
func (s *server) unserved(u Unserved) {
	if s.cfg.Unserved != nil {
		s.cfg.Unserved(u)
	}
}
