package server

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	smtpwire "sallyport/internal/smtp/wire"
)

const (
	// maxAcceptPause bounds the wait after an error of the listener.
	maxAcceptPause = time.Second
	// refusalLogInterval is how often refused connections are logged, together.
	refusalLogInterval = 10 * time.Second
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
	counted   *tallies
	secured   ownTLS // what cfg.TLS was made of; zero: it is used as it was given
}

// tallies are what a listener counts, whatever its configuration.
type tallies struct {
	refused   tally // connections too many
	displaced tally // connections that others needed the place of
	headless  tally // connections from balancers without a proper header
	// unaccepted: connections that could not be taken, for want of descriptors, say
	unaccepted tally
}

// tally logs what strangers can cause at will: at most once in refusalLogInterval,
// with the count of what happened since.
type tally struct {
	mu     sync.Mutex
	count  int
	logged time.Time
}

func (t *tally) add(cfg *Config, what string, more ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now := cfg.Now(); now.Sub(t.logged) >= refusalLogInterval {
		cfg.Logger.Warn(what, append([]any{"kind", cfg.Kind.String(), "count", t.count}, more...)...)
		t.count, t.logged = 0, now
	}
}

func newServer(cfg Config, b Backend) (*server, error) {
	if err := cfg.check(b); err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, backend: b, admission: cfg.Admission, counted: &tallies{}}
	if s.admission == nil {
		s.admission = NewAdmission()
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
	remote := addrPort(nc.RemoteAddr())
	if s.balanced(remote.Addr()) {
		s.serveBehind(ctx, nc, remote, nil)
		return
	}
	s.serve(ctx, nc, origin{remote: remote}, nil)
}

// admit starts a connection, or refuses it when there are too many.
func (s *server) admit(ctx context.Context, nc net.Conn, conns *sync.WaitGroup) {
	if s.cfg.closed() {
		s.turnAway(nc, mail.R(421, "4.3.2", "there is no certificate yet; try again later"))
		return
	}
	remote := addrPort(nc.RemoteAddr())
	from, balanced := countedAddr(remote.Addr()), s.balanced(remote.Addr())
	if balanced {
		// It is the clients that are counted, once they are known.
		from = netip.Addr{}
	}
	stage := screen.StageFresh
	if s.cfg.Kind == KindSendmail {
		stage = screen.StageOurs // the kernel says who it is
	}
	p, madeRoom := s.admission.enter(from, stage, &s.cfg.Limits, s.cfg.Now, func() { _ = nc.Close() })
	if p == nil {
		s.turnAway(nc, tooMany())
		return
	}
	if madeRoom {
		s.counted.displaced.add(&s.cfg, "silent connections ended, to make room")
	}
	conns.Go(func() {
		defer p.leave()
		if balanced {
			s.serveBehind(ctx, nc, remote, p)
			return
		}
		s.serve(ctx, nc, origin{remote: remote}, p)
	})
}

// serve runs one connection to its end. The frames from here to the read of an idle
// connection are kept small: with them, its stack can be.
func (s *server) serve(ctx context.Context, nc net.Conn, from origin, p *place) {
	c, err := s.newConn(nc, from)
	if err != nil {
		s.cfg.Logger.Error("connection not served", "err", err)
		_ = nc.Close()
		return
	}
	c.place = p
	p.ending(c.giveWay)
	inner, release := c.lifetime(ctx)
	defer release()
	c.run(inner)
}

// lifetime returns the context of the connection, which outlives ctx by the grace
// given to a message in progress. release ends it.
func (c *conn) lifetime(ctx context.Context) (inner context.Context, release func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		c.interrupt()
		pause(inner, c.limits.ShutdownGrace)
		cancel()
		c.abandon()
	})
	return inner, func() {
		stop()
		cancel()
	}
}

func (s *server) newConn(nc net.Conn, from origin) (*conn, error) {
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
	var hold *allowance.Hold
	if s.cfg.Memory != nil {
		hold = s.cfg.Memory.Hold(s.cfg.Kind == KindSendmail)
		w.in.Within(hold)
	}
	c := &conn{wire: w, srv: s, hold: hold, info: Conn{
		ID: id.String(), Kind: s.cfg.Kind, Started: started,
		Remote: from.remote, Local: addrPort(nc.LocalAddr()), Balancer: from.balancer, UID: uid, End: w.interrupt,
	}}
	c.info.Known, c.info.Vouch = c.known, c.vouch
	return c, nil
}

func tooMany() mail.Reply { return mail.R(421, "4.7.0", "too many connections; try again later") }

// turnAway refuses a connection before it costs anything. Under implicit TLS a
// reply in clear would only confuse.
func (s *server) turnAway(nc net.Conn, r mail.Reply) {
	if s.cfg.Kind != KindSubmissions && nc.SetWriteDeadline(s.cfg.Now().Add(refusalWriteTimeout)) == nil {
		// It fits into the empty buffer of a fresh socket; if not, it is lost.
		_, _ = nc.Write(smtpwire.AppendReply(nil, r))
	}
	_ = nc.Close()
	s.counted.refused.add(&s.cfg, "connections refused")
}

// addrPort returns an address without an IPv4-in-IPv6 wrapping; zero if the
// transport has no such addresses.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
