package migrate

import (
	"crypto/tls"
	"encoding/pem"
	"strings"
)

// tls reads with what certificate the doors are opened.
func (im *importer) tls() {
	im.cert, im.key = im.value("smtpd_tls_cert_file"), im.value("smtpd_tls_key_file")
	if im.key == "" {
		im.key = im.cert // smtpd_tls_key_file defaults to $smtpd_tls_cert_file
	}
	if strings.EqualFold(im.cert, "none") {
		im.cert = ""
	}
	const doors = "where people sign in"
	if chains := Words(im.value("smtpd_tls_chain_files")); len(chains) > 0 { // they outrank the others. postconf(5)
		for _, old := range []string{"smtpd_tls_cert_file", "smtpd_tls_key_file"} {
			if im.given(old) {
				im.note(old, Unneeded, TopicTLS, "smtpd_tls_chain_files is set, and that counts")
			}
		}
		im.chains(chains)
	} else if im.cert != "" {
		im.note("smtpd_tls_cert_file", Carried, TopicTLS, "tls.cert; submission needs it, %s", doors)
		im.note("smtpd_tls_key_file", Carried, TopicTLS, "tls.key (nobody but its owner and its group may have access)")
	}
	if im.cert == "" {
		im.key = ""
	}
	switch level := strings.ToLower(im.value("smtpd_tls_security_level")); {
	case level == "encrypt" || im.yes("smtpd_enforce_tls"):
		im.note("smtpd_tls_security_level", Lost, TopicTLS,
			"the mx door takes mail without TLS too; who must not come without it is told so by a policy of ours (tls_policy.listen)")
	case level == "none" && im.cert != "":
		im.note("smtpd_tls_security_level", Changed, TopicTLS, "TLS is offered wherever there is a certificate")
	case level == "verify" || level == "secure":
		im.note("smtpd_tls_security_level", Lost, TopicTLS, certificateSignsIn)
	}
}

// pemFile is what a file of smtpd_tls_chain_files holds.
type pemFile struct {
	name        string
	text        []byte
	keys, certs int
}

// chains finds key and chain among the files of smtpd_tls_chain_files: each key is
// followed by its certificate and the chain, over one or several files. postconf(5).
func (im *importer) chains(files []string) {
	im.cert, im.key = "", ""
	var read []pemFile
	for _, name := range files {
		text, err := im.read(name)
		if err != nil {
			im.note("smtpd_tls_chain_files", Lost, TopicTLS,
				"%v: which of the files has the key cannot be seen; run the import as root, or write tls.cert and tls.key yourself",
				err)
			return
		}
		f := pemFile{name: name, text: text}
		for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
			switch {
			case strings.HasSuffix(b.Type, "PRIVATE KEY"):
				f.keys++
			case b.Type == "CERTIFICATE":
				f.certs++
			}
		}
		read = append(read, f)
	}
	at := 0
	for at < len(read) && read[at].keys == 0 {
		at++
	}
	if at == len(read) {
		im.note("smtpd_tls_chain_files", Lost, TopicTLS, "none of the files holds a private key in PEM")
		return
	}
	key, chain := read[at], read[at:]
	for i, f := range chain[1:] {
		if f.keys > 0 {
			chain = chain[:i+1]
			break
		}
	}
	im.chain(key, chain)
	if left := len(files) - at - len(chain); left > 0 {
		im.beside("smtpd_tls_chain_files", strings.Join(files[at+len(chain):], ", "), Lost, TopicTLS,
			"one certificate and its key are all that [tls] takes")
	}
	if key.keys > 1 {
		im.beside("smtpd_tls_chain_files", key.name, Lost, TopicTLS,
			"the file holds %d keys; the first one with its certificate is used", key.keys)
	}
}

// chain takes one key with its certificates, which one file has to hold.
func (im *importer) chain(key pemFile, chain []pemFile) {
	var with []pemFile
	var whole []byte
	for _, f := range chain {
		if f.certs > 0 {
			with = append(with, f)
		}
		whole = append(append(whole, f.text...), '\n')
	}
	switch {
	case len(with) == 0:
		im.note("smtpd_tls_chain_files", Lost, TopicTLS, "%s holds a key, and no certificate follows it", key.name)
		return
	case !pairs(whole, key.text):
		im.note("smtpd_tls_chain_files", Lost, TopicTLS, "the key of %s is not that of the first certificate", key.name)
		return
	case len(with) == 1:
		im.cert = with[0].name
	default:
		im.cert = "tls-chain.pem"
		im.secrets[im.cert] = string(certificates(whole))
	}
	im.key = key.name
	im.note("smtpd_tls_chain_files", Carried, TopicTLS,
		"tls.cert = %s and tls.key = %s, by what the files hold; submission needs it, where people sign in",
		im.cert, im.key)
}

func pairs(chain, key []byte) bool {
	_, err := tls.X509KeyPair(chain, key)
	return err == nil
}

func certificates(text []byte) (out []byte) {
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == "CERTIFICATE" {
			out = append(out, pem.EncodeToMemory(b)...)
		}
	}
	return out
}

// outwardTLS reads what is demanded of the connections that mail leaves by.
func (im *importer) outwardTLS() {
	level := strings.ToLower(im.value("smtp_tls_security_level"))
	if level == "" && im.yes("smtp_enforce_tls") {
		level = "encrypt"
	}
	const name = "smtp_tls_security_level"
	switch level {
	case "", "may":
		im.note(name, Carried, TopicTLS, "TLS wherever it is offered, by itself")
	case "none":
		im.note(name, Changed, TopicTLS, "TLS is used wherever it is offered")
	case "dane", "dane-only":
		im.dane(name, level)
	case "encrypt", "verify", "secure", "fingerprint":
		open := im.demand(level)
		switch {
		case level == "fingerprint":
			im.note(name, Lost, TopicTLS,
				"a certificate is known by who signed it, never by its print: put its issuer, or itself, into ca of the [route] or [domain]")
		case open && !im.closed:
			im.note(name, Lost, TopicTLS,
				"of domains that are reached by their MX nothing is demanded but what MTA-STS and DANE say; routes and servers behind have tls = \"required\"")
		default:
			im.note(name, Carried, TopicTLS, `tls = "required": the certificate must verify as well; ca names a root of your own`)
		}
	default:
		im.note(name, Lost, TopicTLS, "%s is no level of TLS", shown(level))
	}
	if v := strings.ToLower(im.value("smtp_dns_support_level")); v == "dnssec" {
		if im.validates {
			im.note("smtp_dns_support_level", Carried, TopicTLS, `tls_policy.dns_validates = "on"`)
		} else {
			im.dane("smtp_dns_support_level", "dane")
		}
	} else if im.given("smtp_dns_support_level") {
		im.note("smtp_dns_support_level", Unneeded, TopicTLS, "it asks for nothing")
	}
	if im.yes("smtp_tls_wrappermode") {
		im.note("smtp_tls_wrappermode", Carried, TopicTLS,
			"smtps:// wherever mail leaves by a named host; the exchangers of a domain are never reached so")
	}
	im.policies()
}

// demand makes every connection to a host that is named prove its certificate, and reports whether
// mail also leaves by MX.
func (im *importer) demand(level string) (byMX bool) {
	byMX = true
	for i := range im.routes {
		r := &im.routes[i]
		if strings.HasPrefix(r.to, "smtp://") {
			r.tls = "required"
		}
		byMX = byMX && r.domain != "*"
	}
	for _, d := range im.domains {
		if strings.HasPrefix(d.deliver, "smtp://") {
			d.tls = "required"
		}
	}
	return byMX
}

// dane needs a resolver on this host that validates; Postfix took the one of resolv.conf at
// its word.
func (im *importer) dane(name, level string) {
	text, err := im.read("/etc/resolv.conf")
	loopback, any := err == nil, false
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			any = true
			loopback = loopback && onlyLoopback(f[1])
		}
	}
	if !loopback || !any {
		im.note(name, Lost, TopicTLS,
			"DANE counts only with a resolver on this host that validates DNSSEC, such as unbound: name it in mx.dns and write tls_policy.dns_validates = \"on\"; until then no TLSA record is obeyed")
		return
	}
	im.validates = true
	im.note(name, Carried, TopicTLS,
		`tls_policy.dns_validates = "on", since resolv.conf names this host alone: make sure that its resolver validates DNSSEC`)
	if level == "dane-only" {
		im.beside(name, level, Lost, TopicTLS, "domains without TLSA records get mail too")
	}
}

// policies reads smtp_tls_policy_maps: what is demanded of one next hop.
func (im *importer) policies() {
	const name = "smtp_tls_policy_maps"
	if !im.given(name) {
		return
	}
	im.note(name, Carried, TopicTLS,
		"tls of the [route] or [domain] that it is about, entry by entry as told below; MTA-STS and DANE are obeyed by themselves")
	for _, spec := range Words(im.value(name)) {
		if strings.HasPrefix(spec, "socketmap:") || strings.HasPrefix(spec, "tcp:") {
			im.beside(name, spec, Changed, TopicTLS, "MTA-STS and DANE are obeyed by themselves")
			continue
		}
		entries, err := im.p.Table(spec, im.read)
		if err != nil {
			im.beside(name, spec, Lost, TopicTLS, "%v", err)
		}
		for _, e := range entries {
			im.policy(e)
		}
	}
}

func (im *importer) policy(e Entry) {
	level, _, _ := strings.Cut(strings.ToLower(e.Value), " ")
	mode := map[string]string{
		"none": "none", "may": "opportunistic", "encrypt": "required", "verify": "required",
		"secure": "required",
	}[level]
	found := false
	for i := range im.routes {
		if r := &im.routes[i]; mode != "" && (r.hop == e.Key || r.domain == strings.ToLower(e.Key)) && strings.HasPrefix(r.to, "smtp://") && r.user == "" {
			r.tls, found = mode, true
		}
	}
	for _, d := range im.domains {
		if mode != "" && (d.hop == e.Key || d.name == strings.ToLower(e.Key)) && strings.HasPrefix(d.deliver, "smtp://") {
			d.tls, found = mode, true
		}
	}
	switch {
	case found:
		im.entry(e, Carried, TopicTLS, "tls = %q", mode)
	case level == "may" || level == "none":
		im.entry(e, Unneeded, TopicTLS, "it asks for nothing that is not so by itself")
	case (level == "dane" || level == "dane-only") && im.validates:
		im.entry(e, Carried, TopicTLS, "DANE is obeyed by itself")
	default:
		im.entry(e, Lost, TopicTLS, "of a domain without a [route] nothing is demanded but what MTA-STS and DANE say")
	}
}
