package migrate

import "strings"

// Kind says what becomes of a line. The zero Kind is that it is lost.
type Kind uint8

const (
	Lost     Kind = iota // mail is taken, refused, sent or protected otherwise than it was
	Changed              // this server does it in its own way, and mail goes where it went
	Carried              // carried over
	Unneeded             // nothing here depends on it
)

// String returns the words of the report.
func (k Kind) String() string {
	switch k {
	case Changed:
		return "done otherwise here"
	case Carried:
		return "carried over"
	case Unneeded:
		return "not needed"
	}
	return "could not be carried over"
}

// Topic says what a line is about, so that what was lost can be looked for by kind.
type Topic string

const (
	TopicRecipients Topic = "recipients" // which addresses are ours, and who has them
	TopicDelivery   Topic = "delivery"   // where mail goes
	TopicTrust      Topic = "trust"      // who may send, and as whom
	TopicTLS        Topic = "tls"
	TopicFilters    Topic = "filters" // what is refused or marked for what it is or where it comes from
	TopicRewriting  Topic = "rewriting"
	TopicDoors      Topic = "doors"
	TopicLimits     Topic = "limits"
	TopicOther      Topic = "other"
)

// Topics returns every topic, in the order of the report.
func Topics() []Topic {
	return []Topic{TopicRecipients, TopicDelivery, TopicTrust, TopicTLS, TopicFilters, TopicRewriting, TopicDoors, TopicLimits, TopicOther}
}

// Verdict is what becomes of one line of a file.
type Verdict struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	What  string `json:"what"` // the parameter or the key
	Kind  Kind   `json:"-"`
	Word  string `json:"verdict"`
	Topic Topic  `json:"about"`
	Text  string `json:"text"` // as what, or why
}

// noted is a verdict that the import itself reached about a parameter.
type noted struct {
	kind  Kind
	topic Topic
	text  string
}

// rule is what becomes of parameters about which the import itself says nothing.
type rule struct {
	noted
	names, prefixes, suffixes string // blank-separated
}

func (r rule) fits(name string) bool {
	for _, n := range strings.Fields(r.names) {
		if n == name {
			return true
		}
	}
	for _, p := range strings.Fields(r.prefixes) {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	for _, s := range strings.Fields(r.suffixes) {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// judge says what becomes of a parameter with a value as it is written, about which the import has
// nothing to say.
func judge(name, value string) noted {
	for _, r := range rules() {
		if !r.fits(name) {
			continue
		}
		if v := strings.ToLower(strings.TrimSpace(value)); r.kind == Lost && (v == "" || v == "no" || v == "none" || contains(byDefault(name), v)) {
			return noted{Unneeded, r.topic, "it asks for nothing"}
		}
		return r.noted
	}
	return noted{
		Lost, TopicOther,
		"this importer does not know it; find out with 'postconf -d " + name + "' and postconf(5) what it did, and whether you miss it",
	}
}

// byDefault are the values, in lower case, by which a parameter whose loss would matter asks
// for no more than Postfix does by itself.
func byDefault(name string) []string {
	return map[string][]string{
		"authorized_submit_users":       {"static:anyone"},
		"local_login_sender_maps":       {"static:*"},
		"message_drop_headers":          {"bcc, content-length, resent-bcc, return-path"},
		"postscreen_access_list":        {"permit_mynetworks"},
		"smtp_helo_name":                {"$myhostname"},
		"smtpd_authorized_verp_clients": {"$mynetworks"},
	}[name]
}

// known reports whether a parameter is one of Postfix's own that judge knows.
func known(name string) bool {
	for _, r := range rules() {
		if r.fits(name) {
			return true
		}
	}
	return false
}

// rules are in the order in which they count. Every parameter of Postfix 3.7 is in one of
// them. postconf(5).
func rules() []rule {
	var all []rule
	for _, part := range [][]rule{rulesOfTrust(), rulesOfTLS(), rulesOfFilters(), rulesOfDelivery(), rulesOfTheRest()} {
		all = append(all, part...)
	}
	return all
}

func rulesOfTrust() []rule {
	return []rule{
		{noted{Lost, TopicTrust, "no address is ever trusted here: a container, a NAT or a balancer makes the world look local. Give each host and program that sends an account of its own (docs/guides/application-relay.md)"},
			`mynetworks mynetworks_style smtpd_authorized_xforward_hosts smtpd_authorized_xclient_hosts
			 permit_mx_backup_networks qmqpd_authorized_clients smtpd_authorized_verp_clients`, "", ""},
		{noted{Lost, TopicTrust, certificateSignsIn}, "relay_clientcerts smtpd_tls_ask_ccert smtpd_tls_req_ccert", "", ""},
		{noted{Lost, TopicTrust, "who may send by the sendmail command stands in [sendmail]: by name or uid, and as which account"}, "authorized_submit_users local_login_sender_maps", "", ""},
		{noted{Changed, TopicTrust, "accounts are kept here: make each with 'sallyport account add', since their passwords cannot be read out of another system"},
			"smtpd_sasl_auth_enable smtpd_sasl_type smtpd_sasl_path smtpd_sasl_local_domain smtpd_sasl_service cyrus_sasl_config_path", "", ""},
		{noted{Unneeded, TopicTrust, "nobody signs in without TLS, by mechanisms that auth.mechanisms lists"},
			"broken_sasl_auth_clients empty_address_local_login_sender_maps_lookup_key", "smtpd_sasl_", ""},
		{noted{Unneeded, TopicTrust, "strangers never relay, senders are bound to their account and unknown recipients are refused, whatever is configured"},
			`smtpd_reject_unlisted_recipient smtpd_reject_unlisted_sender smtpd_helo_required smtpd_delay_reject disable_vrfy_command strict_rfc821_envelopes allow_percent_hack swap_bangpath
			 allow_untrusted_routing smtpd_restriction_classes smtpd_relay_before_recipient_restrictions smtpd_null_access_lookup_key smtpd_delay_open_until_valid_rcpt
			 smtpd_log_access_permit_actions smtpd_noop_commands smtpd_forbidden_commands smtpd_etrn_restrictions smtpd_peername_lookup reject_tempfail_action
			 authorized_flush_users authorized_mailq_users local_header_rewrite_clients resolve_dequoted_address resolve_null_domain resolve_numeric_domain
			 show_user_unknown_table_name maps_rbl_domains allow_min_user`,
			"smtpd_forbid_ smtpd_discard_ehlo_", "_reject_code _defer_code _tempfail_action _reject_reason"},
		{noted{Unneeded, TopicTrust, "it is a code or a text of answers, which are this server's own"}, "reject_code defer_code", "", ""},
	}
}

func rulesOfTLS() []rule {
	return []rule{
		{noted{Lost, TopicTLS, "one certificate serves every name; let it bear all of them (acme.names obtains such a one)"},
			"tls_server_sni_maps smtpd_tls_eccert_file smtpd_tls_eckey_file smtpd_tls_dcert_file smtpd_tls_dkey_file", "", ""},
		{noted{Lost, TopicTLS, "a certificate is shown to the next hops that it is for: cert and cert_key of a [route]"},
			`smtp_tls_cert_file smtp_tls_key_file smtp_tls_chain_files smtp_tls_eccert_file smtp_tls_eckey_file
			 smtp_tls_dcert_file smtp_tls_dkey_file lmtp_tls_cert_file lmtp_tls_key_file lmtp_tls_chain_files
			 lmtp_tls_eccert_file lmtp_tls_eckey_file lmtp_tls_dcert_file lmtp_tls_dkey_file`, "", ""},
		{noted{Lost, TopicTLS, "roots other than the system's are the key ca of the [route] or [domain] that needs them"},
			`smtp_tls_trust_anchor_file lmtp_tls_trust_anchor_file smtp_tls_per_site lmtp_tls_per_site
			 lmtp_tls_policy_maps smtp_tls_fingerprint_cert_match lmtp_tls_fingerprint_cert_match
			 smtp_enforce_tls lmtp_enforce_tls smtpd_enforce_tls lmtp_dns_support_level`, "", ""},
		{noted{Changed, TopicTLS, "roots are the system's, and where others are needed the key ca of a [route] or [domain]"}, "smtp_tls_CAfile smtp_tls_CApath lmtp_tls_CAfile lmtp_tls_CApath smtpd_tls_CAfile smtpd_tls_CApath", "", ""},
		{noted{Unneeded, TopicTLS, "TLS is offered wherever there is a certificate, and nobody signs in without it"}, "smtpd_use_tls smtp_use_tls lmtp_use_tls smtpd_tls_auth_only", "", ""},
		{noted{Unneeded, TopicTLS, "protocols, ciphers, session caches and logging of TLS are Go's and this server's own"}, "openssl_path smtpd_starttls_timeout smtp_starttls_timeout lmtp_starttls_timeout tlsmgr_service_name", "smtpd_tls_ smtp_tls_ lmtp_tls_ tls_ tlsproxy_", ""},
	}
}

func rulesOfFilters() []rule {
	return []rule{
		{noted{Lost, TopicFilters, "a filter is asked during the session here, as a milter or Rspamd (docs/guides/rspamd.md); mail is never handed out and taken back"},
			`content_filter smtpd_proxy_filter smtpd_command_filter default_filter_nexthop smtp_reply_filter
			 lmtp_reply_filter smtp_dns_reply_filter lmtp_dns_reply_filter smtpd_dns_reply_filter`, "", ""},
		{noted{Lost, TopicFilters, "patterns over fields and bodies are for Rspamd or a milter (docs/guides/rspamd.md)"},
			`header_checks body_checks mime_header_checks nested_header_checks milter_header_checks
			 smtp_header_checks smtp_body_checks smtp_mime_header_checks smtp_nested_header_checks
			 lmtp_header_checks lmtp_body_checks lmtp_mime_header_checks lmtp_nested_header_checks
			 message_reject_characters message_drop_headers`, "", ""},
		{noted{Lost, TopicFilters, "who is kept out, or exempt, by address is a line of screen.list; lists of others are [dnsbl.NAME] (docs/screen.md)"}, "postscreen_dnsbl_sites postscreen_access_list", "", ""},
		{noted{Lost, TopicFilters, "milters are the same on every door"}, "smtpd_milter_maps", "", ""},
		{noted{Unneeded, TopicFilters, "it goes with a filter, and each [milter] and [rspamd] has bounds of its own"},
			`body_checks_size_limit receive_override_options smtpd_proxy_options smtpd_proxy_ehlo
			 smtpd_proxy_timeout default_rbl_reply rbl_reply_maps internal_mail_filter_classes
			 message_strip_characters strict_7bit_headers strict_8bitmime strict_8bitmime_body
			 strict_mime_encoding_domain disable_mime_input_processing disable_mime_output_conversion
			 detect_8bit_encoding_header`, "milter_ smtpd_policy_service_ postscreen_ dnsblog_ smtpd_reject_footer", "_expansion_filter"},
		{noted{Lost, TopicRewriting, "addresses and messages are never rewritten or copied here; a copy of somebody's mail is an alias that names itself beside others"},
			`sender_canonical_maps recipient_canonical_maps canonical_maps smtp_generic_maps lmtp_generic_maps
			 masquerade_domains sender_bcc_maps recipient_bcc_maps always_bcc relocated_maps
			 remote_header_rewrite_domain`, "", ""},
		{noted{Unneeded, TopicRewriting, "it goes with rewriting, of which there is none"},
			`canonical_classes sender_canonical_classes recipient_canonical_classes masquerade_classes
			 masquerade_exceptions append_dot_mydomain append_at_myorigin always_add_missing_headers
			 header_from_format undisclosed_recipients_header propagate_unmatched_extensions
			 prepend_delivered_header enable_original_recipient cleanup_replace_stray_cr_lf
			 sendmail_fix_line_endings`, "", ""},
	}
}

func rulesOfDelivery() []rule {
	return []rule{
		{noted{Lost, TopicDelivery, "no program runs on delivery: let it take mail by LMTP or SMTP, and name it as deliver of the domain (docs/guides/dovecot.md)"}, "mailbox_command mailbox_command_maps", "", ""},
		{noted{Lost, TopicDelivery, "mail goes to Maildirs below maildir.root, whatever was configured; point whoever reads the old ones there (docs/guides/maildir.md)"}, "home_mailbox", "", ""},
		{noted{Lost, TopicDelivery, "who has no mailbox is refused"}, "fallback_transport fallback_transport_maps mailbox_transport_maps best_mx_transport", "", ""},
		{noted{Lost, TopicDelivery, "the way of a message depends on its recipient alone"},
			`sender_dependent_relayhost_maps sender_dependent_default_transport_maps
			 smtp_sender_dependent_authentication lmtp_sender_dependent_authentication`, "", ""},
		{noted{Lost, TopicDelivery, "the next hops behind that of a [route] are its others; behind the exchangers of the DNS stands none"}, "fallback_relay smtp_fallback_relay lmtp_fallback_relay", "", ""},
		{noted{Lost, TopicDelivery, "no mail waits to be asked for, and none is held back by its way"}, "defer_transports", "", ""},
		{noted{Lost, TopicDelivery, "no server behind is signed in to"}, "lmtp_sasl_auth_enable lmtp_sasl_password_maps", "", ""},
		{noted{Lost, TopicDelivery, "mail leaves by the address that the system chooses, under the hostname"}, "smtp_bind_address smtp_bind_address6 lmtp_bind_address lmtp_bind_address6 smtp_helo_name", "", ""},
		{noted{Unneeded, TopicDelivery, "no program is run and no file written for what a person's own file says; a forward is 'sallyport forward add'"},
			`allow_mail_to_commands allow_mail_to_files local_command_shell
			 command_execution_directory command_time_limit`, "", ""},
		{noted{Changed, TopicLimits, "how much a mailbox may hold says mailbox.quota, and nothing bounds it without"}, "mailbox_size_limit virtual_mailbox_limit", "", ""},
		{noted{Unneeded, TopicDelivery, "mailboxes are Maildirs of this server's own user, below maildir.root (docs/guides/maildir.md)"},
			`mail_spool_directory virtual_mailbox_base virtual_uid_maps virtual_gid_maps virtual_minimum_uid
			 virtual_mailbox_lock mailbox_delivery_lock
			 strict_mailbox_ownership require_home_directory deliver_lock_attempts deliver_lock_delay
			 stale_lock_time sun_mailtool_compatibility`, "", ""},
		{noted{Changed, TopicDelivery, "connections to one destination are bounded by limits.deliveries_per_domain, and by connections of a [route] or [domain]"},
			"", "", `_destination_concurrency_limit _destination_rate_delay _transport_rate_delay
			 _destination_recipient_limit`},
		{noted{Unneeded, TopicDelivery, "it is how Postfix schedules and connects, which this server does in its own way"},
			`alias_database smtp_address_preference lmtp_address_preference lmtp_lhlo_name
			 smtp_balance_inet_protocols lmtp_balance_inet_protocols transport_retry_time ignore_mx_lookup_error
			 disable_dns_lookups expand_owner_alias owner_request_special reset_owner_alias frozen_delivered_to
			 dont_remove export_environment import_environment execution_directory_expansion_filter
			 initial_destination_concurrency destination_concurrency_feedback_debug smtp_sasl_security_options
			 smtp_sasl_tls_security_options smtp_sasl_tls_verified_security_options smtp_sasl_mechanism_filter
			 smtp_sasl_path smtp_sasl_type smtp_sasl_auth_cache_name smtp_sasl_auth_cache_time
			 smtp_sasl_auth_soft_bounce smtp_send_dummy_mail_auth send_cyrus_sasl_authzid`,
			`default_delivery_ default_destination_ default_extra_ default_minimum_ default_recipient_ lmtp_
			 smtp_ qmgr_ address_verify_ fast_flush_`, `_delivery_slot_cost _delivery_slot_discount _delivery_slot_loan
			 _destination_concurrency_failed_cohort_limit _destination_concurrency_negative_feedback
			 _destination_concurrency_positive_feedback _extra_recipient_limit _initial_destination_concurrency
			 _minimum_delivery_slots _recipient_limit _recipient_refill_delay _recipient_refill_limit _time_limit
			 _delivery_status_filter`},
	}
}

func rulesOfTheRest() []rule {
	return []rule{
		{noted{Changed, TopicOther, "the banner names host and protocol; a text for strangers is the key notice"}, "smtpd_banner", "", ""},
		{noted{Changed, TopicLimits, "the schedule of attempts is that of [retry]"}, "bounce_queue_lifetime queue_run_delay confirm_delay_cleared", "", ""},
		{noted{Lost, TopicDoors, "balancers are listed in proxy.from, by address"}, "smtpd_upstream_proxy_protocol", "", ""},
		{noted{Changed, TopicDoors, "an address of a translator is none of this host's; only postmaster@[address] depends on it (the key literals)"}, "proxy_interfaces", "", ""},
		{noted{Changed, TopicRecipients, "postmaster and abuse of each domain are the key postmaster"},
			`notify_classes bounce_notice_recipient 2bounce_notice_recipient error_notice_recipient
			 delay_notice_recipient empty_address_recipient double_bounce_sender`, "", ""},
		{noted{Changed, TopicOther, "notifications are written by this server, in English"}, "bounce_template_file", "", ""},
		{noted{Lost, TopicOther, "nothing here answers so; to stop mail from being returned, hold it: 'sallyport queue hold'"}, "soft_bounce", "", ""},
		{noted{Lost, TopicOther, "each instance is a configuration, a data folder and a service of its own here: import each"}, "multi_instance_directories", "", ""},
		{noted{Unneeded, TopicLimits, "every bound here has a name and a default of its own (docs/config.md, docs/bounds.md)"},
			`default_process_limit smtpd_timeout smtpd_error_sleep_time line_length_limit
			 header_address_token_limit duplicate_filter_limit in_flow_delay bounce_size_limit max_idle max_use
			 fork_attempts fork_delay trigger_timeout daemon_timeout service_throttle_time
			 application_event_drain_time mime_boundary_length_limit mime_nesting_limit
			 delay_logging_resolution_limit queue_file_attribute_count_limit virtual_alias_recursion_limit
			 virtual_alias_address_length_limit smtpd_per_request_deadline smtpd_min_data_rate
			 smtpd_recipient_overshoot_limit smtpd_history_flush_threshold smtpd_upstream_proxy_timeout
			 tcp_windowsize lmdb_map_size stress`,
			"anvil_ ipc_ smtpd_client_ smtpd_soft_ smtpd_hard_ smtpd_junk_ berkeley_db_ hash_queue_ connection_cache_ qmqpd_", ""},
		{noted{Unneeded, TopicOther, "it has no counterpart, and nothing depends on it"},
			`compatibility_level biff readme_directory html_directory manpage_directory sample_directory setgid_group command_directory daemon_directory data_directory queue_directory mail_owner
			 sendmail_path newaliases_path mailq_path shlib_directory meta_directory debugger_command default_privs config_directory mail_name mail_version mail_release_date myorigin mydomain
			 smtputf8_enable smtputf8_autodetect_classes strict_smtputf8 inet_protocols parent_domain_matches_subdomains alternate_config_directories backwards_bounce_logfile_compatibility
			 daemon_table_open_error_is_fatal default_database_type default_verp_delimiters verp_delimiter_filter disable_verp_bounces dns_ncache_ttl_fix_enable dnssec_probe
			 enable_idna2003_compatibility enable_long_queue_ids enable_threaded_bounces fault_injection_code helpful_warnings info_log_address_format known_tcp_ports
			 master_service_disable process_id process_id_directory process_name proxy_read_maps proxy_write_maps postlogd_watchdog_timeout respectful_logging service_name
			 local_delivery_status_filter empty_address_default_transport_maps_lookup_key empty_address_relayhost_maps_lookup_key debug_peer_level debug_peer_list`,
			"syslog_ maillog_ multi_instance_ postmulti_", "_service_name _port_logging"},
	}
}
