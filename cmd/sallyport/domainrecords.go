package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"sallyport/internal/autoconfig"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

type domainRecords struct {
	configFlag
	jsonFlag
	Domain string `arg:"" help:"A domain of ours."`
	Policy string `default:"none" enum:"none,quarantine,reject" help:"DMARC: what others are asked to do with mail that fails: none, quarantine or reject."`
	Rua    string `placeholder:"ADDRESS" help:"Who gets the reports of others (default: postmaster of the domain)."`
}

// Help says what is printed.
func (domainRecords) Help() string {
	return `All that the DNS should say about a domain of ours, as lines of a zone file: where its mail
goes, who may send for it, the keys that sign, and what the configuration has turned on.
sallyport doctor looks whether the DNS says so. sallyport dmarc record has more choices for SPF
and DMARC.

Examples:
  sallyport domain records example.org
  sallyport domain records example.org --policy reject >> example.org.zone`
}

// Run prints the records.
func (d domainRecords) Run(ctx context.Context, c console) error {
	domain, err := mail.ParseDomain(d.Domain)
	if err != nil {
		return usageError{err.Error()}
	}
	cfg, err := config.Load(d.Config)
	if err != nil {
		return err
	}
	sender, err := dmarcRecord{Domain: d.Domain, Policy: d.Policy, Rua: d.Rua}.records()
	if err != nil {
		return err
	}
	all := []dnsRecord{{Name: domain.ASCII(), Type: "MX", Data: "10 " + cfg.Hostname.ASCII() + ".", Why: "mail for the domain comes to this server"}}
	for _, r := range sender {
		all = append(all, textRecord(r.Name, r.Text, r.Why))
	}
	keys, err := d.keys(ctx, c, domain, cfg.DKIM.Sign)
	if err != nil {
		return err
	}
	all = append(append(all, keys...), policyRecords(cfg, domain)...)
	all = append(all, programRecords(cfg, domain)...)
	all = append(all, textRecord("_smtp._tls."+domain.ASCII(), "v=TLSRPTv1; rua=mailto:"+reportsTo(d.Rua, domain),
		"TLS-RPT, of your choice: others tell how TLS fared when they sent to the domain"))
	return d.print(c, cfg, len(keys), all)
}

// keys returns the records of the domain's signing keys.
func (d domainRecords) keys(ctx context.Context, c console, domain mail.Domain, sign bool) (all []dnsRecord, err error) {
	ours := false
	err = d.operate(ctx, c, func(o *operate.Client) error {
		err := o.DomainList(ctx, func(v operate.Domain) error {
			v2, err := mail.ParseDomain(v.Name)
			ours = ours || err == nil && v2 == domain
			return nil
		})
		if err != nil || !sign {
			return err
		}
		return o.DKIMList(ctx, operate.DKIMRef{Domain: domain.ASCII()}, func(k operate.DKIMKey) error {
			all = append(all, textRecord(k.Name, k.Text, "DKIM, "+k.Algorithm+": the key is "+k.State))
			return nil
		})
	})
	if err == nil && !ours {
		err = fmt.Errorf("%s is not ours; sallyport domain add %s makes it so", domain, domain)
	}
	return all, err
}

// policyRecords are those of our MTA-STS policy, where it is served. RFC 8461 §3.1.
func policyRecords(cfg config.Config, domain mail.Domain) []dnsRecord {
	p := cfg.TLSPolicy
	if len(p.Listen) == 0 {
		return nil
	}
	// The id has to change with the policy, and only then.
	sum := sha256.Sum256([]byte(cfg.Hostname.ASCII() + " " + p.Mode + " " + p.MaxAge.Round(time.Second).String()))
	return []dnsRecord{
		textRecord("_mta-sts."+domain.ASCII(), "v=STSv1; id="+hex.EncodeToString(sum[:10]),
			"MTA-STS: others fetch our policy for TLS; the id changes when the policy does"),
		{Name: "mta-sts." + domain.ASCII(), Type: "CNAME", Data: cfg.Hostname.ASCII() + ".", Why: "from where they fetch it; the certificate must name it"},
	}
}

// programRecords are those by which mail programs find their settings. RFC 6186, RFC 8314 §5.1.
func programRecords(cfg config.Config, domain mail.Domain) (all []dnsRecord) {
	s := settings.Programs(cfg, domain)
	if len(s.Doors) == 0 {
		return nil
	}
	for _, r := range s.SRV() {
		why := "mail programs find " + r.Service + " here"
		if r.Port == 0 {
			why = "mail programs need not look for " + r.Service
		}
		all = append(all, dnsRecord{Name: r.Name, Type: "SRV", Data: r.Data(), Why: why})
	}
	if len(cfg.Autoconfig.Listen) == 0 {
		return all
	}
	for _, host := range autoconfig.Hosts(domain) {
		all = append(all, dnsRecord{
			Name: host.ASCII(), Type: "CNAME", Data: cfg.Hostname.ASCII() + ".",
			Why: "where programs ask for their settings; the certificate must name it",
		})
	}
	name, text := s.TXT()
	return append(all, textRecord(name, text, "it vouches for the settings that programs are told (PACC); it changes when they do"))
}

func reportsTo(rua string, domain mail.Domain) string {
	if rua == "" {
		return "postmaster@" + domain.ASCII()
	}
	return rua
}

func (d domainRecords) print(c console, cfg config.Config, keys int, all []dnsRecord) error {
	for _, r := range all {
		if d.JSON {
			if err := printJSON(c.out, r); err != nil {
				return err
			}
			continue
		}
		c.prose("; %s\n", r.Why)
		c.printf("%s. 3600 IN %s ", r.Name, r.Type)
		c.lines(r.zone() + "\n")
	}
	if d.JSON {
		return nil
	}
	host := cfg.Hostname.ASCII()
	c.prose("; and %s itself needs A or AAAA records, and the address a reverse name that is %s: ask who gave you the address\n",
		host, host)
	switch {
	case !cfg.DKIM.Sign:
		c.prose("; no DKIM: dkim.sign is off\n")
	case keys == 0:
		c.prose("; no DKIM: the domain has no keys yet; sallyport dkim rotate %s makes them\n", d.Domain)
	}
	if len(cfg.TLSPolicy.Listen) == 0 {
		c.prose("; no MTA-STS: nothing serves our policy, as tls_policy.listen would\n")
	}
	if len(cfg.Autoconfig.Listen) == 0 {
		c.prose("; no settings for programs over HTTPS: nothing tells them, as autoconfig.listen would\n")
	}
	return nil
}
