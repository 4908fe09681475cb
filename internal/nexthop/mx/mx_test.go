package mx

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
)

// The best exchanger gets the mail; the answer to each recipient is the server's
// own, with its name and address.
func TestTheBestExchangerGetsTheMail(t *testing.T) {
	w := newWorld(t).zone("x.test MX 20 b.x.test", "x.test MX 10 a.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
	w.serve("127.0.0.2", nil)
	w.serve("127.0.0.3", nil)
	a := w.at("a.x.test", "127.0.0.2")
	w.want(w.deliver(w.targets(w.options()), "ann@x.test", "nobody@x.test", "later@x.test"), "250 2.0.0 "+a, "550 5.1.1 "+a, "450 4.2.1 "+a)
	w.wantDialed("127.0.0.2")
}

// What a host can do to make us go on to the next one, before MAIL.
func TestTheNextHostIsTried(t *testing.T) {
	for title, play := range map[string]func(int, net.Conn){
		"hangs up":              func(_ int, nc net.Conn) {},
		"speaks something else": greets("SSH-2.0-OpenSSH"),
		"greets with 421":       greets("421 4.3.2 too busy"),
		"greets with 554":       greets("554 5.7.1 go away"),
		"451 at EHLO":           greets("220 mx", "451 4.3.0 not now"),
		"550 at EHLO and HELO":  greets("220 mx", "550 no", "550 no"),
		"hangs up at EHLO":      func(_ int, nc net.Conn) { io.WriteString(nc, "220 mx\r\n"); nc.Read(make([]byte, 99)) },
		"never greets":          func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) },
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
			w.play("127.0.0.2", play)
			w.serve("127.0.0.3", nil)
			o := w.options()
			o.Timeouts.Greeting = 500 * time.Millisecond
			w.want(w.deliver(w.targets(o), "ann@x.test"), "250 2.0.0 "+w.at("b.x.test", "127.0.0.3"))
			w.wantDialed("127.0.0.2", "127.0.0.3")
		})
	}
}

// A refusal of the host is never one of the message: it is deferred, with the
// words of the last host.
func TestEveryHostRefuses(t *testing.T) {
	for greeting, want := range map[string]string{"554 5.7.1 go away": "451 4.4.0 ", "421 4.3.2 too busy": "421 4.3.2 ", "nonsense": "451 4.5.0 "} {
		w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
		w.play("127.0.0.2", greets("421 busy"))
		w.play("127.0.0.3", greets(greeting))
		w.want(w.deliver(w.targets(w.options()), "ann@x.test"), want+w.at("b.x.test", "127.0.0.3"))
	}
}

// What is said from MAIL on is final for the attempt: no other host is bothered.
func TestAnswersToTheMessageAreFinalForTheAttempt(t *testing.T) {
	for answer, want := range map[string]string{"450 4.2.0 later": "450 4.2.0 ", "550 5.7.1 no": "550 5.7.1 "} {
		w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3")
		w.play("127.0.0.2", greets("220 mx", "250-mx\r\n250 PIPELINING", answer+"\r\n503 no\r\n503 no"))
		w.serve("127.0.0.3", nil)
		w.want(w.deliver(w.targets(w.options()), "ann@x.test"), want+w.at("a.x.test", "127.0.0.2"))
		w.wantDialed("127.0.0.2")
	}
}

// What the DNS can say, with no server reached: what is final and what is not.
func TestWhatTheDNSSays(t *testing.T) {
	for title, row := range map[string]struct {
		zone []string
		want string
	}{
		"no such domain":                      {nil, "550 5.1.2 x.test"},
		"null MX":                             {[]string{"x.test MX 0 ."}, "556 5.1.10 x.test"},
		"the DNS fails":                       {[]string{"x.test MX fails"}, "451 4.4.3 x.test"},
		"the DNS fails, though an A is there": {[]string{"x.test MX fails", "x.test A 127.0.0.2"}, "451 4.4.3 x.test"},
		"no address of any host":              {[]string{"x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "b.x.test MX 0 ."}, "550 5.4.4 b.x.test"},
		"one address unknown":                 {[]string{"x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A fails"}, "451 4.4.3 a.x.test"},
		"an address as exchanger":             {[]string{"x.test MX 10 127.0.0.2"}, "550 5.4.4 127.0.0.2"},
		"we are the best exchanger":           {[]string{"x.test MX 10 mail.home.test", "x.test MX 20 b.x.test", "b.x.test A 127.0.0.2"}, "554 5.4.6 x.test"},
		"we are as good as the best":          {[]string{"x.test MX 10 b.x.test", "x.test MX 10 mail.home.test", "b.x.test A 127.0.0.2"}, "554 5.4.6 x.test"},
		"by an address of ours":               {[]string{"x.test MX 10 a.x.test", "a.x.test A 127.0.0.1", "x.test MX 20 b.x.test", "b.x.test A 127.0.0.2"}, "554 5.4.6 x.test"},
		"as good, by an address of ours":      {[]string{"x.test MX 10 a.x.test", "a.x.test A 127.0.0.2", "x.test MX 10 b.x.test", "b.x.test A 127.0.0.1"}, "554 5.4.6 x.test"},
		"a private address":                   {[]string{"x.test MX 10 a.x.test", "a.x.test A 10.0.0.1"}, "550 5.4.4 a.x.test [10.0.0.1]:PORT"},
		"a mapped address":                    {[]string{"x.test MX 10 a.x.test", "a.x.test A ::ffff:127.0.0.2"}, "550 5.4.4 a.x.test [::ffff:127.0.0.2]:PORT"},
		"no MX, a private address":            {[]string{"x.test A 169.254.169.254"}, "550 5.4.4 x.test [169.254.169.254]:PORT"},
		"no MX, no usable record":             {[]string{"x.test A fails", "x.test MX fails"}, "451 4.4.3 x.test"},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t).zone(row.zone...)
			got := w.deliver(w.targets(w.options()), "ann@x.test", "bob@x.test")
			want := strings.ReplaceAll(row.want, "PORT", fmt.Sprint(w.port))
			w.want(got, want, want)
			w.wantDialed()
		})
	}
}

// We are a backup: those before us are tried, those after us are not, and what is
// before us and dead may come back.
func TestOnlyBetterExchangersThanWeAreTried(t *testing.T) {
	for _, us := range []string{"x.test MX 20 mail.home.test", "x.test MX 20 us.x.test"} {
		w := newWorld(t).zone("x.test MX 10 a.x.test", us, "us.x.test A 127.0.0.1", "x.test MX 30 c.x.test", "a.x.test A 127.0.0.2", "c.x.test A 127.0.0.3")
		w.serve("127.0.0.3", nil)
		w.want(w.deliver(w.targets(w.options()), "ann@x.test"), "451 4.4.1 "+w.at("a.x.test", "127.0.0.2"))
		w.wantDialed("127.0.0.2")
	}
}

// RFC 5321 §5.1: a domain without MX is its own exchanger.
func TestImplicitExchanger(t *testing.T) {
	w := newWorld(t).zone("x.test A 127.0.0.2")
	w.serve("127.0.0.2", nil)
	w.want(w.deliver(w.targets(w.options()), "ann@x.test"), "250 2.0.0 "+w.at("x.test", "127.0.0.2"))
}

// Mail to our own name by way of its address is a loop too.
func TestImplicitExchangerIsUs(t *testing.T) {
	w := newWorld(t).zone("mail.home.test A 127.0.0.2", "other.home.test A 127.0.0.3")
	o := w.options()
	o.Names = []mail.Domain{w.job("a@other.home.test").Recipients[0].Address.Domain()}
	targets := w.targets(o)
	w.want(w.deliver(targets, "ann@mail.home.test"), "554 5.4.6 mail.home.test")
	w.want(w.deliver(targets, "ann@other.home.test"), "554 5.4.6 other.home.test")
	w.wantDialed()
}

func TestLiterals(t *testing.T) {
	w := newWorld(t)
	w.serve("127.0.0.2", nil)
	o := w.options()
	targets := w.targets(o)
	for ip, want := range map[string]string{
		"127.0.0.2": fmt.Sprintf("250 2.0.0 [127.0.0.2]:%d", w.port), "127.0.0.1": "554 5.4.6 [127.0.0.1]",
		"10.0.0.1": fmt.Sprintf("550 5.4.4 [10.0.0.1]:%d", w.port), "127.0.0.9": fmt.Sprintf("451 4.4.1 [127.0.0.9]:%d", w.port),
	} {
		j := w.job("ann@[" + ip + "]")
		w.want(w.outcomes(j, targets.ForLiteral(netip.MustParseAddr(ip)).Deliver(t.Context(), j)), want)
	}
}

func TestNoDestination(t *testing.T) {
	w := newWorld(t)
	targets := w.targets(w.options())
	j := w.job("ann@x.test")
	for _, none := range []nexthop.Target{targets.For(mail.Domain{}), targets.ForLiteral(netip.Addr{})} {
		w.want(w.outcomes(j, none.Deliver(t.Context(), j)), "451 4.4.4 sallyport")
	}
}

// The record changes between the check and the dialling, and at every question:
// what is dialled is what was checked.
func TestRebinding(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A 127.0.0.2")
	w.play("127.0.0.2", greets("421 come again"))
	asked := 0
	w.dns.Before = func(question string) {
		if question == "ADDR a.x.test" {
			asked++
			w.dns.Hosts["a.x.test"] = []netip.Addr{netip.MustParseAddr([]string{"10.0.0.1", "127.0.0.2", "169.254.169.254"}[asked%3])}
		}
	}
	o := w.options()
	o.Limits.Rest = time.Nanosecond
	targets := w.targets(o)
	for range 9 {
		w.deliver(targets, "ann@x.test")
	}
	w.wantDialed("127.0.0.2", "127.0.0.2", "127.0.0.2")
}

// Tries and hosts and addresses are bounded, however many there are.
func TestTriesAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.zone(fmt.Sprintf("x.test MX %d mx%d.x.test", i, i))
		for n := range 9 {
			w.zone(fmt.Sprintf("mx%d.x.test A 127.1.%d.%d", i, i, n+1))
		}
	}
	o := w.options()
	o.Limits.Tries, o.Limits.Addresses = 5, 3
	got := w.deliver(w.targets(o), "ann@x.test")
	if !strings.HasPrefix(got[0], "451 4.4.1 mx1.x.test [127.1.1.") || len(w.dialed) != 5 || w.dns.Asked("ADDR mx2.x.test") != 0 {
		t.Errorf("%v after %v", got, w.dialed)
	}
	o.Limits.Tries, o.Limits.Hosts, o.Limits.Addresses = 1000, 4, 2
	if w.dns.Asked("ADDR mx2.x.test") != 0 {
		t.Error("a host was asked for that was not to be tried")
	}
	w.dialed = nil
	got = w.deliver(w.targets(o), "ann@x.test")
	if len(w.dialed) != 8 || w.dns.Asked("ADDR mx4.x.test") != 0 {
		t.Errorf("%v after %v", got, w.dialed)
	}
}

// Hosts beyond the limit may be reachable: nothing is final.
func TestWhatWasNotTriedIsNotFinal(t *testing.T) {
	for _, preference := range []string{"10", "20"} {
		w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX "+preference+" b.x.test")
		o := w.options()
		if got := w.deliver(w.targets(o), "ann@x.test"); !strings.HasPrefix(got[0], "550 5.4.4 ") {
			t.Error(got)
		}
		o.Limits.Hosts = 1
		w.want(w.deliver(w.targets(o), "ann@x.test"), "451 4.4.1 x.test")
	}
}

// Nor is anything final when the time is over before all was tried.
func TestTimeIsOverBeforeAllWasTried(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "b.x.test A 127.0.0.2")
	w.dns.Before = func(question string) {
		if question == "ADDR b.x.test" {
			time.Sleep(300 * time.Millisecond)
		}
	}
	o := w.options()
	o.Limits.Search = 100 * time.Millisecond
	w.want(w.deliver(w.targets(o), "ann@x.test"), "451 4.4.1 x.test")
	w.wantDialed()
}

// An address of a family that this host does not speak costs no try, whichever way the system says so.
func TestUnspokenFamilyCostsNoTry(t *testing.T) {
	for foreign, fault := range map[string]syscall.Errno{"127.0.0.2": syscall.ENETUNREACH, "2a00:1::1": syscall.EADDRNOTAVAIL, "2a00:1::2": syscall.EAFNOSUPPORT} {
		w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A "+foreign, "x.test MX 20 b.x.test", "b.x.test A 127.0.0.3", "y.test A "+foreign)
		w.serve("127.0.0.3", nil)
		o := w.options()
		o.Limits.Tries = 1
		dial := o.Dial
		o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if to.Addr() == netip.MustParseAddr(foreign) {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", fault)}
			}
			return dial(ctx, to)
		}
		targets := w.targets(o)
		w.want(w.deliver(targets, "ann@x.test"), "250 2.0.0 "+w.at("b.x.test", "127.0.0.3"))
		w.want(w.deliver(targets, "ann@y.test"), "451 4.4.1 "+w.at("y.test", foreign))
	}
}

// A search ends in time, however slow everything is.
func TestSearchEndsInTime(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A 127.0.0.2", "a.x.test A 127.0.0.3")
	w.play("127.0.0.2", func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) })
	w.play("127.0.0.3", func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) })
	o := w.options()
	o.Limits.Search, o.Timeouts.Greeting = 80*time.Millisecond, time.Minute
	began := time.Now()
	got := w.deliver(w.targets(o), "ann@x.test")
	if !strings.HasPrefix(got[0], "451 4.4.2 a.x.test [127.0.0.") || time.Since(began) > o.Timeouts.Greeting/2 {
		t.Errorf("%v after %v", got, time.Since(began))
	}
}

// A host that takes connections and says nothing has half of the time, and not all of it: the others are
// reached with the time-outs of RFC 5321, by which a greeting may take as long as a whole search.
func TestASilentHostLeavesTimeForTheOthers(t *testing.T) {
	for title, zone := range map[string][]string{
		"worse ones":     {"x.test MX 10 a.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "b.x.test A 127.0.0.3"},
		"two, and worse": {"x.test MX 10 a.x.test", "x.test MX 10 c.x.test", "x.test MX 20 b.x.test", "a.x.test A 127.0.0.2", "c.x.test A 127.0.0.4", "b.x.test A 127.0.0.3"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).zone(zone...)
			for _, ip := range []string{"127.0.0.2", "127.0.0.4"} {
				w.play(ip, func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) })
			}
			w.serve("127.0.0.3", nil)
			o := w.options()
			o.Timeouts.Greeting, o.Limits.Search = DefaultLimits().Search, 4*time.Second
			w.want(w.deliver(w.targets(o), "ann@x.test"), "250 2.0.0 "+w.at("b.x.test", "127.0.0.3"))
		})
	}
}

func TestInterruptedDelivery(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A 127.0.0.2", "y.test A 127.0.0.3")
	w.play("127.0.0.2", func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) })
	targets := w.targets(w.options())
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	for range 2 { // under way, and before it began
		j := w.job("ann@x.test")
		w.want(w.outcomes(j, targets.For(j.Recipients[0].Address.Domain()).Deliver(ctx, j)), "451 4.3.2 x.test")
	}
}

// A connection is kept and used again without asking the DNS or dialling again.
func TestConnectionsAreKept(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 a.x.test", "a.x.test A 127.0.0.2")
	w.serve("127.0.0.2", nil)
	targets := w.targets(w.options())
	for range 5 {
		w.want(w.deliver(targets, "ann@x.test"), "250 2.0.0 "+w.at("a.x.test", "127.0.0.2"))
	}
	if w.count("127.0.0.2") != 1 || w.dns.Asked("MX x.test") != 1 || w.took["127.0.0.2 ann@x.test"] != 5 {
		t.Errorf("%d connections, %d questions, %v", w.count("127.0.0.2"), w.dns.Asked("MX x.test"), w.took)
	}
}

// TLS is used where it works, whoever signed the certificate, and done without
// where it does not.
func TestTLSIsOpportunistic(t *testing.T) {
	w := newWorld(t).zone("good.test A 127.0.0.2", "bad.test A 127.0.0.3")
	w.serve("127.0.0.2", selfSigned(t))
	w.play("127.0.0.3", func(n int, nc net.Conn) {
		if n == 1 {
			say(nc, "220 mx", "250-mx\r\n250 STARTTLS", "220 go", "no handshake")
			return
		}
		say(nc, "220 mx", "250-mx\r\n250-STARTTLS\r\n250 PIPELINING", "250 ok\r\n250 ok\r\n354 go", "250 2.0.0 ok")
	})
	targets := w.targets(w.options())
	for host, secured := range map[string]bool{"good.test": true, "bad.test": false} {
		j := w.job("ann@" + host)
		out := targets.For(j.Recipients[0].Address.Domain()).Deliver(t.Context(), j)
		if !out[0].Delivered() || strings.Contains(out[0].TLS, "unverified") != secured || (out[0].TLS != "") != secured {
			t.Errorf("%+v", out)
		}
	}
}

// One destination that is silent delays no other, and only once its own.
func TestSilentDestinationDelaysNobody(t *testing.T) {
	w := newWorld(t).zone("dead.test A 127.0.0.2", "x.test A 127.0.0.3")
	w.play("127.0.0.2", func(_ int, nc net.Conn) { io.Copy(io.Discard, nc) })
	w.serve("127.0.0.3", nil)
	o := w.options()
	o.Timeouts.Greeting = 4 * time.Second // long enough that a busy machine takes no healthy delivery as long
	targets := w.targets(o)
	var wg sync.WaitGroup
	began := time.Now()
	for range 50 {
		wg.Go(func() { w.want(w.deliver(targets, "ann@dead.test"), "451 4.4.2 "+w.at("dead.test", "127.0.0.2")) })
	}
	w.want(w.deliver(targets, "ann@x.test"), "250 2.0.0 "+w.at("x.test", "127.0.0.3"))
	if took := time.Since(began); took > o.Timeouts.Greeting*3/4 {
		t.Errorf("the healthy destination waited %v", took)
	}
	wg.Wait()
	if n := w.count("127.0.0.2"); n > o.Limits.Start || time.Since(began) > 3*o.Timeouts.Greeting {
		t.Errorf("%d connections, %v", n, time.Since(began))
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	for title, spoil := range map[string]func(*Options){
		"no name":      func(o *Options) { o.Hello = mail.Domain{} },
		"no resolver":  func(o *Options) { o.Resolver = nil },
		"no addresses": func(o *Options) { o.Own = nil },
		"no port":      func(o *Options) { o.Port = 0 },
		"no dialer":    func(o *Options) { o.Dial = nil },
		"no clock":     func(o *Options) { o.Now = nil },
		"no logger":    func(o *Options) { o.Logger = nil },
		"no limits":    func(o *Options) { o.Limits = Limits{} },
	} {
		o := newWorld(t).options()
		spoil(&o)
		if targets, err := New(o); targets != nil || err == nil {
			t.Errorf("taken: %s", title)
		}
	}
	o := newWorld(t).options()
	o.Timeouts = client.Timeouts{}
	if _, err := New(o); err == nil {
		t.Error("taken: no timeouts")
	}
}
