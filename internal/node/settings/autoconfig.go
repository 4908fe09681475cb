package settings

import (
	"net/netip"

	"sallyport/internal/autoconfig"
	"sallyport/internal/config"
	"sallyport/internal/mail"
)

// Programs are the settings that mail programs need for addresses of a domain. A door on loopback
// is told only where every door is.
func Programs(cfg config.Config, domain mail.Domain) autoconfig.Settings {
	var open, local []autoconfig.Door
	for _, kind := range []struct {
		protocol autoconfig.Protocol
		implicit bool
		at       []netip.AddrPort
	}{
		{autoconfig.IMAP, true, cfg.Listen.IMAPS}, {autoconfig.IMAP, false, cfg.Listen.IMAP},
		{autoconfig.POP3, true, cfg.Listen.POP3S}, {autoconfig.POP3, false, cfg.Listen.POP3},
		{autoconfig.Submission, true, cfg.Listen.Submissions}, {autoconfig.Submission, false, cfg.Listen.Submission},
	} {
		for _, at := range kind.at {
			d := autoconfig.Door{Protocol: kind.protocol, Port: at.Port(), Implicit: kind.implicit}
			if at.Addr().IsLoopback() {
				local = append(local, d)
			} else {
				open = append(open, d)
			}
		}
	}
	if len(open) == 0 {
		open = local
	}
	return autoconfig.New(domain, cfg.Hostname, open)
}
