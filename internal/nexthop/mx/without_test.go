package mx

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/mtasts"
)

// A host that takes nothing without the TLS that fails there keeps the mail waiting; what
// it refuses otherwise it refuses.
func TestAServerThatNeedsItsBrokenTLS(t *testing.T) {
	for said, want := range map[string]string{
		"530 5.7.0 Must issue a STARTTLS command first": "454 4.7.0", "554 5.7.10 encryption needed": "454 4.7.0", "550 5.7.1 no": "550 5.7.1",
	} {
		w := newPolicyWorld(t)
		w.play("127.0.0.2", func(n int, nc net.Conn) {
			if n == 1 {
				say(nc, "220 mx", "250-mx\r\n250 STARTTLS", "220 go", "what")
				return
			}
			say(nc, "220 mx", "250-mx\r\n250 STARTTLS", said, said, said)
		})
		out, _ := w.send(mail.TLSAsUsual, func(o *Options) { o.Timeouts.TLS, o.Timeouts.Quit = 200*time.Millisecond, 20*time.Millisecond })
		if !strings.HasPrefix(out.Reply.String(), want) {
			t.Errorf("%s: %s", said, out.Reply)
		}
	}
}

// However the TLS fails that a host offers, the mail goes in clear text where nobody
// demands TLS, and the outcome says so; where somebody does, none of it leaves.
func TestTLSThatFailsIsDoneWithout(t *testing.T) {
	const offer = "250-mx\r\n250-PIPELINING\r\n250 STARTTLS"
	for name, lines := range map[string][]string{
		"drops at STARTTLS":        {offer, "drop"},
		"says 421":                 {offer, "421 4.3.0 closing", "close"},
		"refuses and drops":        {offer, "454 4.7.0 TLS not available", "drop"},
		"refuses for good, drops":  {offer, "502 5.5.1 what", "close"},
		"drops in the handshake":   {offer, "220 go", "drop"},
		"speaks in the handshake":  {offer, "220 go", "250 what"},
		"is silent at STARTTLS":    {offer, "silence"},
		"is silent in a handshake": {offer, "220 go", "silence"},
		"says more than was asked": {offer, "220 go\r\n250 x"},
		"refuses, and goes on":     {offer, "454 4.7.0 TLS not available", "250 ok", "250 ok\r\n250 ok\r\n354 go", "250 2.0.0 ok"},
	} {
		for demand, enforced := range map[mail.TLSDemand]bool{mail.TLSAsUsual: false, mail.TLSOptional: true, mail.RequireTLS: true, mail.TLSDemand(99): true} {
			wants := demand == mail.RequireTLS || demand == 99
			if demand == 99 {
				demand = mail.TLSAsUsual // with a policy of the domain
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newPolicyWorld(t)
				if enforced {
					w.policy(mtasts.ModeEnforce, "mx.x.test")
				}
				w.play("127.0.0.2", func(n int, nc net.Conn) {
					if n > 1 && !wants {
						say(nc, "220 mx", "250-mx\r\n250-STARTTLS\r\n250 PIPELINING", "250 ok\r\n250 ok\r\n354 go", "250 2.0.0 ok")
						return
					}
					_, _ = io.WriteString(nc, "220 mx\r\n")
					for _, line := range lines {
						if line == "close" {
							return
						}
						if _, err := nc.Read(make([]byte, 4096)); err != nil || line == "drop" {
							return
						}
						if line == "silence" {
							break
						}
						_, _ = io.WriteString(nc, line+"\r\n")
					}
					_, _ = io.Copy(io.Discard, nc)
				})
				out, _ := w.send(demand, func(o *Options) {
					o.Timeouts.TLS, o.Timeouts.Quit, o.Timeouts.Hello = 200*time.Millisecond, 20*time.Millisecond, 500*time.Millisecond
				})
				said := strings.Contains(out.Policy, "TLS failed, and was done without: ")
				if out.Delivered() == wants || out.TLS != "" || said == wants || wants && w.count("127.0.0.2") != 1 {
					t.Errorf("demanded %v: %+v over %d connections", wants, out, w.count("127.0.0.2"))
				}
			})
		}
	}
}
