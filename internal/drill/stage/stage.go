package stage

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/kit/listen"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// Options say what is rehearsed, and where. Every field is needed but Logger.
type Options struct {
	Config config.Config // somebody's, which is not changed
	Dir    string        // a folder of the rehearsal's own, which exists
	Sinks  Sinks
	Clock  *Clock
	Logger *slog.Logger // nil: nobody hears
}

// Account is a stand-in.
type Account struct{ Address, Password string }

// Stage is a server that serves until Close.
type Stage struct {
	Config   config.Config // as it is in force
	Addrs    node.Addrs
	Operator *operate.Client
	Clock    *Clock
	// TLS is the configuration of a client that trusts the stage's own authority.
	TLS *tls.Config

	node    *node.Node
	stop    context.CancelFunc
	served  chan error
	outside atomic.Int64
}

// room is how much more than limits.min_free the disk must have for a rehearsal.
const room = 1 << 30

// Open starts the server of a rehearsal in o.Dir, which may hold that of an earlier start.
func Open(ctx context.Context, o Options) (s *Stage, err error) {
	cfg, err := Contained(o.Config, o.Dir, o.Sinks)
	if err != nil {
		return nil, err
	}
	if free, _, err := diskspace.Usage(o.Dir); err == nil && free < cfg.Limits.Free()+room {
		return nil, fmt.Errorf("%s has too little room for a rehearsal (limits.min_free and 1 GiB more): name another folder in TMPDIR",
			o.Dir)
	}
	s = &Stage{Config: cfg, Clock: o.Clock, served: make(chan error, 1)}
	files := pki.In(filepath.Join(o.Dir, "tls"))
	err = files.Ensure("sallyport drill",
		pki.Names{Hosts: []string{cfg.Hostname.ASCII()}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		time.Now())
	if err != nil {
		return nil, err
	}
	if s.TLS, err = trusting(files.CA, cfg.Hostname.ASCII()); err != nil {
		return nil, err
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sockets, err := doors(ctx, &cfg, o.Clock)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closed(sockets))
		}
	}()
	s.Config = cfg
	world := node.World{Logger: log, Now: o.Clock.Now, Rand: rand.Reader, Dial: s.dial(o.Sinks), Resolver: &dnsx.Fake{}}
	if s.node, err = node.Open(ctx, cfg, node.Options{World: world, Version: "drill", Sockets: sockets}); err != nil {
		return nil, err
	}
	if err := s.node.Listen(ctx); err != nil {
		return nil, errors.Join(err, s.node.Close())
	}
	s.Operator, s.Addrs = operate.Direct(s.node.Operator()), s.node.Addrs()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() { s.served <- s.node.Serve(serving) }()
	return s, nil
}

// doors binds a free port of loopback for each door of cfg, and names it there.
func doors(ctx context.Context, cfg *config.Config, clock *Clock) (all []listen.Socket, err error) {
	for _, d := range cfg.Listen.Doors() {
		for i := range d.At {
			ln, err := listen.TCP(ctx, d.At[i])
			if err != nil {
				return nil, errors.Join(err, closed(all))
			}
			all = append(all, listen.Socket{Service: d.Name, Listener: hall{ln, clock}})
			d.At[i] = netip.MustParseAddrPort(ln.Addr().String())
		}
	}
	return all, nil
}

// closed closes sockets that nobody serves.
func closed(sockets []listen.Socket) error {
	var all []net.Listener
	for _, s := range sockets {
		all = append(all, s.Listener)
	}
	return listen.Close(all)
}

// Connections is how many the server has taken, and not closed.
func (s *Stage) Connections() int { return s.Clock.connections() }

// dial reaches the sinks and nothing else.
func (s *Stage) dial(to Sinks) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "tcp" || address != to.Outside && address != to.Behind {
			s.outside.Add(1)
			return nil, fmt.Errorf("a rehearsal does not reach %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// Outside is how often the server wanted to reach anything but the sinks, and did not.
func (s *Stage) Outside() int { return int(s.outside.Load()) }

// Add makes stand-in accounts; those that exist are an error.
func (s *Stage) Add(ctx context.Context, all ...Account) error {
	for _, a := range all {
		if _, err := s.Operator.AccountAdd(ctx, operate.AccountAdd{Address: a.Address, Password: a.Password, Role: "person"}); err != nil {
			return fmt.Errorf("the account %s: %w", a.Address, err)
		}
	}
	return nil
}

// Close stops the server in order.
func (s *Stage) Close() error {
	s.stop()
	return errors.Join(<-s.served, s.node.Close())
}

func trusting(ca, host string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return &tls.Config{RootCAs: pool, ServerName: host}, nil
}
