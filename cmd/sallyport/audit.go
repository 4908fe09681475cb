package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/drill/sink"
	"sallyport/internal/kit/pki"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/relayaudit/report"
	"sallyport/internal/relayaudit/verdict"
	"sallyport/internal/relayaudit/visit"
)

type auditCommand struct {
	Targets []string `arg:"" name:"host" help:"HOST, HOST:PORT or HOST:PORT/KIND, where KIND is smtp, submission or submissions. Without a port: 25, 587 and 465."`

	Deliver        []string      `placeholder:"ADDRESS" help:"Complete one message to this address of your own: elsewhere, to see whether relayed mail arrives; at the server, to try smuggling."`
	Await          string        `placeholder:"ADDRESS:PORT" help:"Listen here for what comes back to the addresses of --deliver, whose mail must come to this host: shows error messages to innocents."`
	AwaitFor       timespan.Flag `placeholder:"1m" default:"1m" help:"How long to wait for it (default: ${default})."`
	Account        string        `placeholder:"ADDRESS" help:"An account of your own at the server: signing in to it is tried with some wrong passwords, and shows whether the time of a refusal tells who is there."`
	ClientCert     bool          `help:"Also show a certificate of nobody's, and see whether that opens anything."`
	ClientCertFile string        `type:"existingfile" placeholder:"FILE" help:"Also show this certificate (PEM, with chain and key), such as one of a public authority that this server does not know."`
	Domain         []string      `placeholder:"DOMAIN" help:"A domain of the server, in place of those that are found out."`
	Away           string        `placeholder:"DOMAIN" help:"A domain of yours elsewhere, in place of names that cannot exist."`
	Helo           string        `placeholder:"NAME" help:"Our name in EHLO (default: this host's)."`
	Source         string        `placeholder:"ADDRESS" help:"The address of this host to ask from."`
	CA             string        `name:"ca" type:"existingfile" placeholder:"FILE" help:"Who vouches for certificates, in place of this system's authorities."`
	DNS            string        `name:"dns" placeholder:"ADDRESS:PORT" help:"The name server to ask, in place of this system's."`
	Pace           timespan.Flag `placeholder:"50ms" default:"50ms" help:"How long to wait between two questions (default: ${default})."`
	Patience       timespan.Flag `placeholder:"15s" default:"15s" help:"How long to wait for an answer (default: ${default})."`
	All            bool          `short:"a" help:"What is only to know, too."`
	Strict         bool          `help:"Exit with 1 for a weakness, too."`
	HTML           string        `name:"html" placeholder:"FILE" help:"Write the report as one HTML page."`
	JUnit          string        `name:"junit" placeholder:"FILE" help:"Write the report as JUnit XML."`
	jsonFlag
}

// Help says what is asked, and of whom.
func (auditCommand) Help() string {
	return `Asks a mail server from outside whether it relays, and what else is wrong with it: every form of address of
the relay testers, at ports 25, 587 and 465, over IPv4 and IPv6; STARTTLS, TLS and certificate; sign-in in clear; BDAT,
PROXY, XCLIENT, VRFY, EXPN and ETRN of strangers; names that can be guessed, by words or by time, and mail that comes
back to the innocent.

It delivers nothing to anybody: recipients elsewhere are at names that nobody has, and each is reset before a
message begins. A server that is neither on loopback nor in a private network is audited only when its owner consents by
a TXT record; how to set it is said.

Exits with 0 when no server relays and none has another hole, 1 when one has, 2 when one could not be audited or told.

Examples:
  sallyport audit mx.example.org
  sallyport audit mx1.example.org mx2.example.org --html audit.html
  sallyport audit 192.0.2.25:2525/submission --client-cert
  sallyport audit mx.example.org --deliver me@example.net
  sallyport audit mx.example.org --deliver me@example.net --await 0.0.0.0:25
  sallyport audit mx.example.org --account me@example.org`
}

// auditHosts is how many servers are asked at the same time.
const auditHosts = 5

// Run audits every server and reports.
func (a auditCommand) Run(ctx context.Context, c console) error {
	targets, o, err := a.options()
	if err != nil {
		return err
	}
	find, err := a.finder()
	if err != nil {
		return err
	}
	if a.Await != "" {
		box, err := sink.Open(sink.Options{At: a.Await, Name: a.greets(), Unknown: a.isElsewhere, Most: auditBack})
		if err != nil {
			return err
		}
		defer box.Close()
		o.Await = awaited(box)
	}
	began := time.Now()
	steps := &auditSteps{bar: newProgress(c, "auditing", func(n int64) string { return words.Count(int(n), "question") })}
	o.Step = steps.add
	results, err := a.auditAll(ctx, targets, find, o)
	steps.bar.end()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	run := report.Of(results, began, verdict.Code(results, a.Strict))
	if err := a.write(c, run); err != nil {
		return err
	}
	if run.Code != exitFine {
		return exitStatus(run.Code)
	}
	return nil
}

// auditSteps adds up the progress of servers that are audited at the same time.
type auditSteps struct {
	mu            sync.Mutex
	done, planned int
	bar           *progress
}

func (s *auditSteps) add(done, planned int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.planned = s.done+done, s.planned+planned
	s.bar.at(int64(s.done), int64(s.planned))
}

// auditAll audits the servers, some at the same time.
func (a auditCommand) auditAll(ctx context.Context, targets []visit.Target, find *visit.Finder, o visit.Options) ([]verdict.Result, error) {
	seen := make([]verdict.Server, len(targets))
	room := make(chan struct{}, auditHosts)
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			subject, err := find.Subject(ctx, t)
			if err != nil {
				seen[i] = visit.Refused(t, err)
				return
			}
			seen[i] = visit.Server(ctx, subject, o, time.Now)
		})
	}
	wg.Wait()
	results := make([]verdict.Result, 0, len(seen))
	for _, s := range seen {
		r, err := verdict.Judge(s)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// options reads what the command line says.
func (a auditCommand) options() (targets []visit.Target, o visit.Options, err error) {
	for _, s := range a.Targets {
		t, err := visit.ParseTarget(s)
		if err != nil {
			return nil, o, usageError{err.Error()}
		}
		targets = append(targets, t)
	}
	o = visit.Options{Client: a.ourName(), Limits: visit.DefaultLimits(), Deliver: a.Deliver}
	o.Limits.Pace, o.Limits.Probe.Reply, o.Limits.Await = time.Duration(a.Pace), time.Duration(a.Patience), time.Duration(a.AwaitFor)
	if a.Await != "" && len(a.Deliver) == 0 {
		return nil, o, usageError{"--await is for what comes back to an address of yours: name it with --deliver"}
	}
	if a.Account != "" {
		if o.Account, err = mail.ParseAddress(a.Account, mail.ASCII); err != nil {
			return nil, o, usageError{"--account: " + err.Error()}
		}
	}
	if a.Source != "" {
		if o.Source, err = netip.ParseAddr(a.Source); err != nil {
			return nil, o, usageError{fmt.Sprintf("--source: %v", err)}
		}
	}
	for _, s := range a.Domain {
		d, err := mail.ParseDomain(s)
		if err != nil {
			return nil, o, usageError{err.Error()}
		}
		o.Domains = append(o.Domains, d)
	}
	if a.Away != "" {
		d, err := mail.ParseDomain(a.Away)
		if err != nil {
			return nil, o, usageError{err.Error()}
		}
		o.Away = []mail.Domain{d}
	}
	for _, s := range a.Deliver {
		if _, err := mail.ParseAddress(s, mail.ASCII); err != nil {
			return nil, o, usageError{err.Error()}
		}
	}
	if a.CA != "" {
		if o.Roots, _, err = pki.Authorities(a.CA); err != nil {
			return nil, o, err
		}
	}
	o.Shown, err = a.certificates()
	return targets, o, err
}

// ourName is the name in EHLO: this host's, if it is one that others can know.
func (a auditCommand) ourName() string {
	name := a.Helo
	if name == "" {
		name, _ = os.Hostname() // without one, a name that cannot exist stands in its place
	}
	d, err := mail.ParseHostname(name)
	if err != nil || a.Helo == "" && !strings.Contains(d.ASCII(), ".") {
		return ""
	}
	return d.ASCII()
}

// certificates are those that the servers are shown.
func (a auditCommand) certificates() (all []tls.Certificate, err error) {
	if a.ClientCert {
		c, err := visit.Nobody(time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if a.ClientCertFile != "" {
		c, err := tls.LoadX509KeyPair(a.ClientCertFile, a.ClientCertFile)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// finder finds servers by the DNS that was named, or by this system's.
func (a auditCommand) finder() (*visit.Finder, error) {
	var servers []netip.AddrPort
	if a.DNS != "" {
		at, err := netip.ParseAddrPort(a.DNS)
		if err != nil {
			return nil, usageError{fmt.Sprintf("--dns: %v", err)}
		}
		servers = append(servers, at)
	}
	dns, err := dnsx.System(servers, false, time.Now)
	if err != nil {
		return nil, err
	}
	return &visit.Finder{DNS: dns, System: a.DNS == "", Now: time.Now}, nil
}

// write writes the report in every form that was asked for. What was asked takes minutes: a
// file that cannot be written costs nobody the report.
func (a auditCommand) write(c console, run report.Run) error {
	var unwritten []error
	for _, f := range []struct {
		file  string
		write func(io.Writer) error
	}{{a.HTML, run.HTML}, {a.JUnit, func(w io.Writer) error { return run.JUnit(w, a.Strict) }}} {
		if f.file == "" {
			continue
		}
		var b strings.Builder
		err := f.write(&b)
		if err == nil {
			err = safefile.Replace(f.file, []byte(b.String()), 0o644)
		}
		unwritten = append(unwritten, err)
	}
	return errors.Join(append(unwritten, a.say(c, run))...)
}

// say prints the report.
func (a auditCommand) say(c console, run report.Run) error {
	if a.JSON {
		return printJSON(c.out, run)
	}
	var b strings.Builder
	if err := run.Text(&b, a.All); err != nil {
		return err
	}
	text := b.String()
	if width := widthOf(c.out); width > 0 {
		text = foldedProse(text, width)
	}
	c.lines(text)
	return nil
}
