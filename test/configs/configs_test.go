package configs

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/gate"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
)

// pairs is how many closed configurations are tried, and as many with a hole.
func pairs(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SALLYPORT_CONFIGS"))
	if err != nil {
		return 5
	}
	return n
}

// check says of every closed configuration that it is closed, and names each hole; and no
// attacker gets anything through the sockets of a server that runs what check calls closed.
// What has a hole in its text does not load, so that no server runs it either: its closed form is
// attacked, and the hole is planted once more beneath, where the proof must find it.
func TestVerdictsAgree(t *testing.T) {
	for n := range pairs(t) {
		t.Run(fmt.Sprintf("closed %d", n), func(t *testing.T) { newSite(t).closed(generate(n, none)) })
		h := holes()[n%len(holes())]
		t.Run(fmt.Sprintf("%s %d", h, n), func(t *testing.T) { newSite(t).hole(generate(n, h)) })
	}
}

type site struct {
	*testing.T
	dir string
}

func newSite(t *testing.T) *site {
	s := &site{t, t.TempDir()}
	files := pki.In(filepath.Join(s.dir, "tls"))
	s.must(files.Ensure("configs", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) load(text string) (config.Config, error) {
	path := filepath.Join(s.dir, "sallyport.toml")
	s.must(os.WriteFile(path, []byte(text), 0o600))
	return config.Load(path)
}

// closed holds a closed configuration to both verdicts.
func (s *site) closed(m made) {
	s.Helper()
	cfg, err := s.load(m.closed())
	if err != nil {
		s.Fatalf("a false alarm: %v\n%s", err, m.closed())
	}
	if _, err := survey.Directory(s.Context(), cfg, nil); err != nil {
		s.Fatalf("a false alarm: %v", err)
	}
	s.attacked(m, cfg)
}

// hole holds one with a hole to both.
func (s *site) hole(m made) {
	s.Helper()
	if m.planted != "" {
		_, err := s.load(m.text)
		var faults config.Faults
		if !errors.As(err, &faults) {
			s.Fatalf("the hole is not seen: %v\n%s", err, m.text)
		}
		for _, f := range faults {
			if at := strings.Split(m.text, "\n")[f.Position.Line-1]; at != m.planted {
				s.Errorf("it names %q, and not %q", at, m.planted)
			}
		}
	}
	s.closed(m)
	s.beneath(m)
}

// run serves a configuration, with accounts of the first domain.
func (s *site) run(cfg config.Config) *node.Node {
	s.Helper()
	n, err := node.Open(s.Context(), cfg, node.Options{World: node.World{Logger: slog.New(slog.DiscardHandler)}, FS: vfs.NewMem(), Version: "test", Paused: true})
	s.must(err)
	for _, a := range []string{"alice", "bob", "printers"} {
		_, err := n.Operator().AccountAdd(s.Context(), operate.Self(), operate.AccountAdd{Address: a + "@d0.test", Password: "correct horse battery", Role: "person"})
		s.must(err)
	}
	s.must(n.Listen(s.Context()))
	ctx, stop := context.WithCancel(context.WithoutCancel(s.Context()))
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, n.Close()); err != nil {
			s.Error(err)
		}
	})
	return n
}

// attacked runs a configuration, plants what a command would make, and attacks every door.
func (s *site) attacked(m made, cfg config.Config) {
	s.Helper()
	n := s.run(cfg)
	op := n.Operator()
	switch m.hole {
	case forward: // a catch-all leads to bob, whose mail would leave
		if _, err := op.ForwardAdd(s.Context(), operate.Self(), operate.ForwardAdd{Account: "bob@d0.test", Targets: []string{"victim@outside.invalid"}}); err == nil || !strings.Contains(err.Error(), "bob@d0.test") || !strings.Contains(err.Error(), "sallyport.toml:") {
			s.Errorf("the forward is not refused by name: %v", err)
		}
	case delegation:
		if _, err := op.DelegateAdd(s.Context(), operate.Self(), operate.DelegateChange{Account: "alice@d0.test", Address: "victim@outside.invalid"}); err == nil || !strings.Contains(err.Error(), "outside.invalid") {
			s.Errorf("the delegation is not refused by name: %v", err)
		}
	}
	tried := 0
	doors := n.Addrs()
	for _, sender := range []string{"", "stranger@remote.invalid", "alice@d0.test", "printers@d0.test", "nobody@" + m.domains[0]} {
		for _, door := range []struct {
			at       string
			secured  bool
			implicit bool
		}{{doors.MX[0], false, false}, {doors.MX[0], true, false}, {doors.Submission[0], false, false}, {doors.Submission[0], true, false}, {doors.Submissions[0], true, true}} {
			for _, victim := range s.taken(door.at, door.secured, door.implicit, sender, m.victims()) {
				if !m.ours(victim) {
					s.Errorf("%s from <%s>: <%s> is taken, and check calls it closed", door.at, sender, victim)
				}
			}
			tried += len(m.victims())
		}
	}
	s.Logf("%d attacks", tried)
}

// taken returns the recipients that a server takes from somebody who does not sign in.
func (s *site) taken(at string, secured, implicit bool, sender string, recipients []string) (all []string) {
	s.Helper()
	nc, err := net.Dial("tcp", at)
	s.must(err)
	defer func() { _ = nc.Close() }()
	s.must(nc.SetDeadline(time.Now().Add(time.Minute)))
	var c *textproto.Conn
	over := func(on net.Conn) { nc = on; c = textproto.NewConn(readWriter{bufio.NewReader(on), on}) }
	under := func() { over(tls.Client(nc, &tls.Config{InsecureSkipVerify: true})) } // who attacks asks for no proof
	say := func(text string) int {
		if err := c.PrintfLine("%s", text); err != nil {
			return 421
		}
		code, _, err := c.ReadResponse(0)
		if err != nil {
			return 421 // the server has had enough
		}
		return code
	}
	over(nc)
	if implicit {
		under()
	}
	_, _, err = c.ReadResponse(220)
	s.must(err)
	say("EHLO stranger.invalid")
	if secured && !implicit {
		say("STARTTLS")
		under()
		say("EHLO stranger.invalid")
	}
	for i, r := range recipients {
		code := say("MAIL FROM:<" + sender + ">")
		if code != 421 {
			code = say("RCPT TO:<" + r + ">")
		}
		switch {
		case code == 250:
			all = append(all, r)
		case code == 421 && i == 0:
			s.Fatalf("%s takes not one command", at)
		case code == 421: // too many faults on one connection
			return append(all, s.taken(at, secured, implicit, sender, recipients[i:])...)
		}
		say("RSET")
	}
	return all
}

type readWriter struct {
	*bufio.Reader
	net.Conn
}

func (r readWriter) Read(b []byte) (int, error) { return r.Reader.Read(b) }

// beneath plants the hole where no configuration can: in what classifies and decides. The proof
// of this very configuration names it.
func (s *site) beneath(m made) {
	s.Helper()
	cfg, err := s.load(m.closed())
	s.must(err)
	judged, err := survey.Directory(s.Context(), cfg, nil)
	s.must(err)
	address := func(text string) mail.Address {
		a, err := mail.ParseAddress(text, mail.ASCII)
		s.must(err)
		return a
	}
	alice := address("alice@d0.test")
	w := proof.Of(judged.Config, judged.Snapshot, []mail.Address{alice, address("bob@d0.test")})
	classify, decide, ownership := w.Classify, w.Decide, w.Ownership
	leak := directory.Class{Destination: gate.DestinationMailbox, Rule: "planted", Mailboxes: []directory.Mailbox{{Account: address("victim@outside.invalid")}}}
	own := func(s gate.Subject) gate.Subject { s.Account, s.Sender = alice, mail.PathOf(alice); return s }
	submitted := gate.Facts{
		Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword,
		Standing: gate.StandingActive, Ownership: gate.OwnershipOwned, Destination: gate.DestinationForeign,
	}
	switch m.hole {
	case alias, forward:
		w.Classify = func(account, a mail.Address) directory.Class {
			if a.Domain().ASCII() == m.domains[1] && (a.Local() == "info0" || m.hole == forward && a.Local() == "nobody-of-this-name") {
				return leak
			}
			return classify(account, a)
		}
	case route:
		w.Classify = func(account, a mail.Address) directory.Class {
			if strings.HasPrefix(a.Domain().ASCII(), "sub.") {
				return directory.Class{Destination: gate.DestinationMailbox, Rule: "planted"}
			}
			return classify(account, a)
		}
	case listener, network:
		w.Decide = func(f gate.Facts, about gate.Subject) gate.Verdict {
			if f.Destination == gate.DestinationForeign && (m.hole == listener && f.Door == gate.DoorSubmission && f.Auth == gate.AuthNone || m.hole == network && f.Peer == gate.PeerProvenNetwork && f.Auth == gate.AuthNone) {
				return gate.Decide(submitted, own(about))
			}
			return decide(f, about)
		}
	case delegation:
		w.Ownership = func(account mail.Address, from mail.ReversePath) gate.Ownership {
			if o := ownership(account, from); o != gate.OwnershipForeign || account.IsZero() {
				return o
			}
			return gate.OwnershipOwned
		}
	}
	if r := proof.Prove(w); r.Witness == nil {
		s.Errorf("the hole beneath is not found in %d classes", r.Classes)
	}
}
