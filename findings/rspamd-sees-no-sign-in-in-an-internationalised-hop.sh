#!/usr/bin/env bash
# packages: rspamd 3.4-1, spamassassin 4.0.1-1~deb12u1 (Debian 12) and what they depend on
# versions: Rspamd 3.4, SpamAssassin 4.0.1
# behaviour: a server that took a message with SMTPUTF8 says so in the with clause of its Received field:
#   UTF8SMTPSA is what ESMTPSA is for others (RFC 6531 §4.3). Rspamd knows none of the four words: the hop
#   was neither encrypted nor signed in for it, and its protocol is unknown. SpamAssassin knows them.
# usual guess: both read what is in the registry since 2012, and that large providers write.
# what follows: sallyport writes the words only for messages that came with SMTPUTF8, and tells Rspamd who
#   signed in, and by what TLS, in the headers of its request, never by a field of the message.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends rspamd=3.4-1 spamassassin=4.0.1-1~deb12u1 2>/dev/null | awk '$1 == "Inst" && $2 != "rspamd" && $2 != "spamassassin" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q rspamd=3.4-1 spamassassin=4.0.1-1~deb12u1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:):$dir/root/usr/lib/rspamd
message() { # WORD
	printf 'Received: from client.example (client.example [192.0.2.1])\r\n\tby mx.example.net with %s id 4711;\r\n\tSun, 29 Nov 2026 15:04:05 +0000\r\n' "$1"
	printf 'From: someone@example.org\r\nSubject: x\r\nDate: Sun, 29 Nov 2026 15:04:05 +0000\r\n\r\nhello\r\n'
}
cat >received.lua <<'LUA'
local rspamd_task = require "rspamd_task"
local f = assert(io.open("message", "rb"))
local text = f:read("*a")
f:close()
local ok, task = rspamd_task.load_from_string(text, rspamd_config)
assert(ok and task:process_message())
for _, hop in ipairs(task:get_received_headers()) do
  print(string.format("ip %s, protocol %s, TLS %s, signed in %s", tostring(hop.real_ip), tostring(hop.proto),
    tostring(hop.flags.ssl or false), tostring(hop.flags.authenticated or false)))
end
LUA
cat >received.pl <<'PL'
use strict; use warnings;
use Mail::SpamAssassin; use Mail::SpamAssassin::PerMsgStatus;
my $sa = Mail::SpamAssassin->new({ rules_filename => "$ENV{ROOT}/usr/share/spamassassin", site_rules_filename => "$ENV{ROOT}/nothing",
    userprefs_filename => '/dev/null', userstate_dir => "$ENV{ROOT}", dont_copy_prefs => 1, local_tests_only => 1, LOCAL_STATE_DIR => "$ENV{ROOT}/nothing" });
$sa->init(0);
open my $f, '<', 'message' or die; local $/; my $text = <$f>;
my $mail = $sa->parse($text);
$mail->extract_message_metadata(Mail::SpamAssassin::PerMsgStatus->new($sa, $mail));
my $relays = join ' ', map { $mail->get_metadata("X-Spam-Relays-$_") } qw(Trusted Untrusted);
my ($ip) = $relays =~ /\bip=(\S+)/;
my ($auth) = $relays =~ /\bauth=(\S*)/;
print "ip $ip, signed in ", ($auth ? "true" : "false"), "\n";
PL
lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
{
	for word in ESMTPSA UTF8SMTPSA; do
		message "$word" >message
		echo "$word"
		echo "  Rspamd:       $(LD_LIBRARY_PATH=$so timeout 60 root/usr/bin/rspamadm --var=LUALIBDIR="$dir/root/usr/share/rspamd/lualib" lua -b received.lua 2>/dev/null | grep ^ip)"
		echo "  SpamAssassin: $(ROOT=$dir/root PERL5LIB=$lib timeout 60 perl received.pl)"
	done
} | tee out
diff out - <<'WANT'
ESMTPSA
  Rspamd:       ip 192.0.2.1, protocol esmtpsa, TLS true, signed in true
  SpamAssassin: ip 192.0.2.1, signed in true
UTF8SMTPSA
  Rspamd:       ip 192.0.2.1, protocol unknown, TLS false, signed in false
  SpamAssassin: ip 192.0.2.1, signed in true
WANT
