package settings

import (
	"net/netip"
	"slices"
	"testing"

	"sallyport/internal/autoconfig"
	"sallyport/internal/config"
	"sallyport/internal/mail"
)

// Programs are told the doors that others reach; those on loopback only where there are no others.
func TestDoorsForPrograms(t *testing.T) {
	host, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s)} }
	cfg := config.Config{Hostname: host}
	if s := Programs(cfg, host); len(s.Doors) != 0 {
		t.Errorf("without doors: %v", s.Doors)
	}
	cfg.Listen.Submission = at("127.0.0.1:2587")
	if s := Programs(cfg, host); !slices.Equal(s.Doors, []autoconfig.Door{{Protocol: autoconfig.Submission, Port: 2587}}) {
		t.Errorf("on loopback: %v", s.Doors)
	}
	cfg.Listen.IMAP, cfg.Listen.IMAPS, cfg.Listen.POP3, cfg.Listen.POP3S = at("127.0.0.1:143"), at("127.0.0.1:993"), at("127.0.0.1:110"), at("127.0.0.1:995")
	if s := Programs(cfg, host); !slices.Equal(s.Doors, []autoconfig.Door{{Protocol: autoconfig.IMAP, Port: 993, Implicit: true}, {Protocol: autoconfig.IMAP, Port: 143}, {Protocol: autoconfig.POP3, Port: 995, Implicit: true}, {Protocol: autoconfig.POP3, Port: 110}, {Protocol: autoconfig.Submission, Port: 2587}}) {
		t.Errorf("of every kind: %v", s.Doors)
	}
	cfg.Listen.Submissions = at("[::]:465")
	if s := Programs(cfg, host); !slices.Equal(s.Doors, []autoconfig.Door{{Protocol: autoconfig.Submission, Port: 465, Implicit: true}}) {
		t.Errorf("beside loopback: %v", s.Doors)
	}
}
