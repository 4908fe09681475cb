package migrate

import "strings"

// Kind says what becomes of a line. The zero Kind is that it is lost.
type Kind uint8

const (
	Lost     Kind = iota // could not be carried over
	Carried              // carried over
	Unneeded             // not needed here
)

// String returns the words of the report.
func (k Kind) String() string {
	switch k {
	case Carried:
		return "carried over"
	case Unneeded:
		return "not needed"
	}
	return "could not be carried over"
}

// Verdict is what becomes of one line of a file.
type Verdict struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"` // the parameter or the key
	Kind Kind   `json:"-"`
	Word string `json:"verdict"`
	Text string `json:"text"` // as what, or why
}

// noted is a verdict that the import itself reached about a parameter.
type noted struct {
	kind Kind
	text string
}

// judge says what becomes of a parameter about which the import has nothing to say.
func judge(s Setting) noted {
	for _, f := range []func(string) (noted, bool){judgeTrust, judgeTLS, judgeFilters, judgeLocal, judgePrefix} {
		if v, ok := f(s.Name); ok {
			return v
		}
	}
	return noted{Lost, "this importer does not know it; find out with 'postconf -d " + s.Name + "' and postconf(5) what it did, and whether you miss it"}
}

func judgeTrust(name string) (noted, bool) {
	switch name {
	case "mynetworks", "mynetworks_style", "smtpd_authorized_xforward_hosts", "smtpd_authorized_xclient_hosts", "permit_mx_backup_networks":
		return noted{Lost, "no address is ever trusted here: a container, a NAT or a balancer makes the world look local. Give each host and program that sends an account of its own (docs/guides/application-relay.md)"}, true
	case "smtpd_sender_login_maps":
		return noted{Lost, "an account sends as its own addresses; let it send as others of ours with 'sallyport delegate add ACCOUNT ADDRESS'"}, true
	case "smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_sender_restrictions", "smtpd_client_restrictions",
		"smtpd_helo_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_reject_unlisted_recipient", "smtpd_reject_unlisted_sender",
		"smtpd_helo_required", "smtpd_delay_reject", "disable_vrfy_command", "strict_rfc821_envelopes", "allow_percent_hack", "swap_bangpath", "local_recipient_maps",
		"smtpd_forbid_bare_newline", "smtpd_forbid_unauth_pipelining", "smtpd_discard_ehlo_keywords":
		return noted{Unneeded, "strangers never relay, senders are bound to their account and unknown recipients are refused, whatever is configured. Blocklists, greylisting and access tables named here are not carried over"}, true
	case "smtpd_sasl_auth_enable", "smtpd_sasl_type", "smtpd_sasl_path", "smtpd_sasl_security_options", "smtpd_sasl_tls_security_options", "broken_sasl_auth_clients",
		"smtpd_sasl_local_domain", "smtpd_sasl_authenticated_header", "cyrus_sasl_config_path":
		return noted{Lost, "accounts are kept here: make each with 'sallyport account add', since their passwords cannot be read out of another system"}, true
	}
	return noted{}, false
}

func judgeTLS(name string) (noted, bool) {
	switch {
	case name == "smtpd_use_tls" || name == "smtpd_tls_security_level" || name == "smtp_use_tls" || name == "smtpd_tls_auth_only" || name == "smtpd_enforce_tls":
		return noted{Unneeded, "TLS is offered wherever there is a certificate, and nobody signs in without it"}, true
	case strings.HasPrefix(name, "smtp_tls_policy") || name == "smtp_dns_support_level" || name == "smtp_tls_CAfile" || name == "smtp_tls_CApath":
		return noted{Lost, "MTA-STS and DANE are obeyed by themselves; a policy for one domain is the key tls of its [route], its roots the key ca"}, true
	case strings.HasPrefix(name, "smtpd_tls_") || strings.HasPrefix(name, "smtp_tls_") || strings.HasPrefix(name, "tls_") || strings.HasPrefix(name, "lmtp_tls_"):
		return noted{Unneeded, "protocols, ciphers, session caches and logging of TLS are Go's and this server's own"}, true
	}
	return noted{}, false
}

func judgeFilters(name string) (noted, bool) {
	switch name {
	case "smtpd_milters", "non_smtpd_milters", "milter_default_action", "milter_protocol", "content_filter", "smtpd_proxy_filter", "header_checks", "body_checks",
		"mime_header_checks", "nested_header_checks", "smtp_header_checks", "receive_override_options":
		return noted{Lost, "filters are configured anew (see docs/guides/rspamd.md); signing with DKIM needs none"}, true
	case "sender_canonical_maps", "recipient_canonical_maps", "canonical_maps", "canonical_classes", "sender_canonical_classes", "recipient_canonical_classes", "smtp_generic_maps", "masquerade_domains", "masquerade_classes", "sender_bcc_maps",
		"recipient_bcc_maps", "always_bcc", "relocated_maps", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps", "fallback_relay", "smtp_fallback_relay":
		return noted{Lost, "addresses and messages are never rewritten, copied or routed by their sender here"}, true
	case "mailbox_command", "mailbox_command_maps", "forward_path", "home_mailbox", "mail_spool_directory", "allow_mail_to_commands", "allow_mail_to_files", "luser_relay", "fallback_transport", "mailbox_transport":
		return noted{Lost, "no program runs and no file is written on delivery: mail goes to a Maildir, or to a server behind by LMTP or SMTP"}, true
	}
	return noted{}, false
}

func judgeLocal(name string) (noted, bool) {
	switch name {
	case "compatibility_level", "biff", "append_dot_mydomain", "append_at_myorigin", "readme_directory", "html_directory", "manpage_directory", "sample_directory", "setgid_group",
		"command_directory", "daemon_directory", "data_directory", "queue_directory", "mail_owner", "sendmail_path", "newaliases_path", "mailq_path", "shlib_directory", "meta_directory", "debug_peer_level", "debugger_command",
		"default_privs", "unknown_local_recipient_reject_code", "mailbox_size_limit", "virtual_mailbox_limit", "alias_database", "config_directory", "mail_name", "mail_version",
		"virtual_mailbox_base", "virtual_uid_maps", "virtual_gid_maps", "virtual_minimum_uid", "syslog_facility", "syslog_name", "maillog_file", "default_destination_concurrency_limit",
		"myorigin", "mydomain", "smtputf8_enable", "inet_protocols", "bounce_size_limit", "notify_classes", "soft_bounce", "import_environment", "export_environment", "parent_domain_matches_subdomains", "owner_request_special", "smtp_sasl_security_options", "smtp_sasl_tls_security_options", "smtp_sasl_mechanism_filter":
		return noted{Unneeded, "it has no counterpart, and nothing depends on it"}, true
	case "smtpd_banner":
		return noted{Lost, "the banner names host and protocol; a text for strangers is the key notice"}, true
	case "maximal_queue_lifetime", "bounce_queue_lifetime", "minimal_backoff_time", "maximal_backoff_time", "queue_run_delay", "delay_warning_time":
		return noted{Lost, "the schedule of attempts is that of [retry]; its defaults suit most"}, true
	case "proxy_interfaces", "smtpd_upstream_proxy_protocol", "postscreen_upstream_proxy_protocol":
		return noted{Lost, "balancers are listed in proxy.from, by address"}, true
	case "smtp_bind_address", "smtp_bind_address6", "smtp_helo_name", "smtp_address_preference":
		return noted{Lost, "mail leaves by the address that the system chooses, under the hostname"}, true
	}
	return noted{}, false
}

func judgePrefix(name string) (noted, bool) {
	for _, p := range []string{"postscreen_", "smtpd_client_", "anvil_", "smtpd_soft_", "smtpd_hard_", "smtpd_error_", "smtpd_timeout", "smtp_destination_", "lmtp_destination_", "default_process_limit", "qmgr_", "smtpd_recipient_", "header_size_", "line_length_", "hopcount_", "in_flow_", "smtp_connect", "smtp_helo_timeout", "smtp_data", "smtpd_per_record"} {
		if strings.HasPrefix(name, p) {
			return noted{Unneeded, "every bound here has a name and a default of its own (docs/config.md, docs/bounds.md)"}, true
		}
	}
	return noted{}, false
}
