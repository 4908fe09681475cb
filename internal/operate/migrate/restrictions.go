package migrate

import (
	"fmt"
	"strings"
)

// restrictionLists are the parameters whose value is a list of conditions.
func restrictionLists() []string {
	return []string{"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions", "smtpd_recipient_restrictions",
		"smtpd_data_restrictions", "smtpd_end_of_data_restrictions"}
}

// restrictions judges every condition of the lists. access(5), SMTPD_ACCESS_README.
func (im *importer) restrictions() {
	for _, name := range restrictionLists() {
		s, given := im.p.Given(name)
		if !given {
			continue
		}
		told, all := 0, im.conditions(im.value(name), 0)
		for i, c := range all {
			if i > 0 && all[i-1] == "warn_if_reject" { // nobody was refused for it
				continue
			}
			n, asks := im.askedList(c)
			if !asks {
				n = judgeCondition(c)
			}
			if n.kind == Unneeded {
				continue
			}
			told++
			im.extra = append(im.extra, Verdict{
				File: im.main, Line: s.Line, What: name + ": " + shown(c), Kind: n.kind, Topic: n.topic,
				Text: n.text,
			})
		}
		text := "strangers never relay, senders are bound to their account and unknown recipients are refused, whatever is configured"
		if told > 0 {
			text += fmt.Sprintf("; of what else it asks for, %d are told of by themselves", told)
		}
		im.notes[name] = noted{Unneeded, TopicTrust, text}
	}
}

// conditions parts a list into conditions, each with its argument, and puts restriction
// classes in. smtpd_restriction_classes in postconf(5).
func (im *importer) conditions(list string, depth int) (all []string) {
	words := Words(list)
	classes := Words(im.value("smtpd_restriction_classes"))
	for i := 0; i < len(words); i++ {
		w := strings.ToLower(words[i])
		switch {
		case contains(classes, words[i]) && depth < maxDepth:
			all = append(all, im.conditions(im.value(words[i]), depth+1)...)
		case takesArgument(w) && i+1 < len(words):
			i++
			all = append(all, w+" "+words[i])
		case strings.Contains(w, ":"): // a table by itself is check_*_access of the list's own kind
			all = append(all, "check_access "+words[i])
		default:
			all = append(all, w)
		}
	}
	return all
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func takesArgument(w string) bool {
	return strings.HasPrefix(w, "check_") && w != "check_relay_domains" || w == "sleep" ||
		strings.HasPrefix(w, "permit_dnswl_") || strings.HasPrefix(w, "permit_rhswl_") ||
		w == "reject_rbl_client" || strings.HasPrefix(w, "reject_rhsbl_") || w == "reject_rbl"
}

// certificateSignsIn says what a client's certificate is good for.
const certificateSignsIn = "no certificate lets anybody relay by itself: give who sends an account, and enrol its certificate ('sallyport cert enroll', docs/certificates.md)"

// judgeCondition says what becomes of one condition.
func judgeCondition(c string) noted {
	name, _, _ := strings.Cut(c, " ")
	switch {
	case name == "check_policy_service":
		return noted{
			Lost, TopicFilters,
			"no policy service is asked. Greylisting: screen.greylist (docs/screen.md). SPF: it is checked by itself. Quotas: domain.NAME.quota, or the server behind knows them. Rates: [budget] and [inflow]. What else it judged is for Rspamd (docs/guides/rspamd.md)",
		}
	case name == "reject_rbl_client" || name == "reject_rbl" || strings.HasPrefix(name, "reject_rhsbl_") || strings.HasPrefix(name, "permit_dnswl_") || strings.HasPrefix(name, "permit_rhswl_") || name == "reject_maps_rbl":
		return noted{Lost, TopicFilters, "lists of addresses, of sender's domains and of names in EHLO are [dnsbl.NAME] here, asked about every stranger (docs/screen.md); others are for Rspamd (docs/guides/rspamd.md)"}
	case strings.HasPrefix(name, "check_"):
		return noted{
			Lost, TopicFilters,
			"tables of who may do what are not carried over: what it let in has to sign in, what it kept out is let in until it is a line of screen.list (docs/screen.md)",
		}
	case name == "permit_mx_backup":
		return noted{Lost, TopicTrust, "no domain is ours because its DNS says so; each is a [domain]"}
	case strings.HasPrefix(name, "permit_tls_"):
		return noted{Lost, TopicTrust, certificateSignsIn}
	case strings.HasPrefix(name, "reject_unknown_") && name != "reject_unknown_recipient_domain", name == "reject_unverified_sender",
		strings.HasPrefix(name, "reject_invalid_helo"), strings.HasPrefix(name, "reject_non_fqdn_helo"), name == "reject_unknown_client", name == "reject_invalid_hostname", name == "reject_non_fqdn_hostname":
		return noted{
			Lost, TopicFilters,
			"the client's and the sender's names are not refused for their DNS or form; SPF, DKIM and DMARC judge who sends, and Rspamd the rest (docs/guides/rspamd.md)",
		}
	case name == "reject_plaintext_session":
		return noted{Lost, TopicTLS, "the mx door takes mail without TLS too"}
	case name == "reject_unverified_recipient":
		return noted{Carried, TopicRecipients, "the server behind a domain is asked at RCPT wherever no list is known"}
	}
	return noted{kind: Unneeded}
}
