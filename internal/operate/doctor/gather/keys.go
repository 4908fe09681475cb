package gather

import (
	"context"
	"slices"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/keyring"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
)

// examineKeys compares the keys that sign mail with what the DNS shows of them.
func examineKeys(ctx context.Context, o Options) []doctor.Finding {
	if o.KeysFault != "" {
		return []doctor.Finding{{Check: "dkim", Subject: o.Hostname.ASCII(), State: doctor.Unknown, What: "the keys that sign could not be read: " + o.KeysFault, Remedy: "run this again when the queue can be looked into"}}
	}
	var names []dkim.KeyName
	for _, k := range o.Keys {
		if d, err := mail.ParseDomain(k.Domain); err == nil {
			names = append(names, dkim.KeyName{Selector: k.Selector, Domain: d})
		}
	}
	found := o.Find(ctx, names)
	var out []doctor.Finding
	for _, d := range o.Domains {
		domain := d.ASCII()
		if !slices.ContainsFunc(o.Keys, func(k Key) bool { return k.Domain == domain }) {
			out = append(out, doctor.Finding{Check: "dkim", Subject: domain, State: doctor.Warning,
				What: "mail from this domain is not signed: it has no keys", Remedy: "sallyport dkim rotate " + domain + " makes them and prints their records"})
		}
	}
	for _, k := range o.Keys {
		d, err := mail.ParseDomain(k.Domain)
		if err != nil {
			continue
		}
		sight := keyring.See(keyring.Key{Record: k.Text}, found[dkim.KeyName{Selector: k.Selector, Domain: d}])
		out = append(out, keyFinding(k, sight))
	}
	return out
}

// keyFinding judges one key by what the DNS shows.
func keyFinding(k Key, sight keyring.Sight) doctor.Finding {
	f := doctor.Finding{Check: "dkim", Subject: k.Name, State: doctor.Fine, What: k.Algorithm + ", " + k.State + ": the DNS shows it"}
	publish := "publish: " + k.Zone
	switch sight {
	case keyring.SightShown:
	case keyring.SightMissing:
		f.State, f.What, f.Remedy = doctor.Warning, "the record is not in the DNS yet; the key signs nothing until it is", publish
		switch k.State {
		case keyring.StateActive.String():
			f.State, f.What = doctor.Wrong, "the record is not in the DNS, and the key is in use: what it signed cannot be verified"
		case keyring.StateRetired.String():
			f.What = "the record was taken out while mail that the key signed may still be under way"
		}
	case keyring.SightWrong:
		f.State, f.What, f.Remedy = doctor.Wrong, "the DNS shows another key under this name", publish
	default:
		f.State, f.What, f.Remedy = doctor.Unknown, "the DNS does not answer", "see what is said of the name servers"
	}
	return f
}
