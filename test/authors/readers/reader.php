<?php
// Reads header fields, one message after the other, with what PHP has.
error_reporting(0);
function of_imap(string $value): array {
	$out = [];
	foreach (imap_rfc822_parse_adrlist($value, '') as $a) {
		if (isset($a->mailbox, $a->host) && $a->host !== '' && $a->host !== '.SYNTAX-ERROR.') {
			$out[] = $a->mailbox . '@' . $a->host;
		}
	}
	imap_errors();
	return $out;
}
$readers = [];
if (function_exists('imap_rfc822_parse_adrlist')) {
	$readers['php imap_rfc822_parse_adrlist'] = 'of_imap';
	$readers['php decoded, then imap_rfc822_parse_adrlist'] = fn($v) => of_imap(imap_utf8($v));
}
if (function_exists('mailparse_rfc822_parse_addresses')) {
	$readers['php mailparse_rfc822_parse_addresses'] = fn($v) => array_map(fn($a) => $a['address'], mailparse_rfc822_parse_addresses($v));
}
while (($line = fgets(STDIN)) !== false) {
	$job = json_decode($line, true);
	$raw = hex2bin($job['raw']);
	$section = preg_replace("/\r\n(?=[ \t])/", '', explode("\r\n\r\n", $raw)[0]);
	$values = [];
	foreach (explode("\r\n", $section) as $field) {
		if (stripos($field, $job['name'] . ':') === 0) {
			$values[] = trim(substr($field, strlen($job['name']) + 1));
		}
	}
	$out = [];
	foreach ($readers as $name => $read) {
		$out[$name] = [];
		foreach ($values as $v) {
			array_push($out[$name], ...array_values(array_filter($read($v), 'strlen')));
		}
	}
	echo json_encode($out, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
